"""Servers for ops_servers.py, and the words to talk to the worker in each."""
import glob
import json
import os
import subprocess
import sys
import tempfile
import time

import psycopg2

LIBRARY = os.path.abspath(sys.argv[1])  # pgquorum_ops_test.so
BINDIR = sys.argv[2]
ROOT = tempfile.mkdtemp(prefix="pgq-ops-", dir="/tmp")
TICK = 0.005


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def note(text):
    print(f"  {text}", flush=True)


def await_(what, condition, timeout=30.0):
    """Milliseconds until condition() is true."""
    begin = time.monotonic()
    while time.monotonic() - begin < timeout:
        if condition():
            return (time.monotonic() - begin) * 1000
        time.sleep(TICK)
    raise AssertionError(f"timed out: {what}")


def lsn(text):
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


class Server:
    def __init__(self, name, port):
        self.name, self.port = name, port
        self.data = f"{ROOT}/{name}"
        self.settings = {}

    def init(self):
        run(f"{BINDIR}/initdb", "-D", self.data, "-A", "trust", "-U", "postgres", "--no-sync", "-k")
        self.configure()

    def clone(self, source):
        run(f"{BINDIR}/pg_basebackup", "-D", self.data, "-h", ROOT, "-p", str(source.port), "-U",
            "postgres", "-c", "fast", "--no-sync")
        open(f"{self.data}/standby.signal", "w").close()
        open(f"{self.data}/pgquorum.conf", "w").close()
        self.configure()

    def configure(self):
        with open(f"{self.data}/postgresql.conf", "w") as conf:
            conf.write(f"""
listen_addresses = ''
unix_socket_directories = '{ROOT}'
port = {self.port}
dynamic_library_path = '{os.path.dirname(LIBRARY)}:$libdir'
shared_preload_libraries = 'pgquorum_ops_test'
max_connections = 30
max_wal_size = '128MB'
wal_level = replica
hot_standby = on
wal_keep_size = 0
max_standby_streaming_delay = -1
max_standby_archive_delay = -1
autovacuum = off
fsync = on
log_line_prefix = '%m [%p] %b '
logging_collector = off
include_if_exists = 'pgquorum.conf'
""")

    def start(self, expect=True):
        self.log = f"{ROOT}/{self.name}.log"
        done = subprocess.run([f"{BINDIR}/pg_ctl", "-D", self.data, "-l", self.log, "-w", "-t",
                               "30" if expect else "2", "start"], capture_output=True, text=True)
        check((done.returncode == 0) == expect, f"{self.name}: {done.stdout}{self.tail()}")

    def stop(self, mode="immediate"):
        subprocess.run([f"{BINDIR}/pg_ctl", "-D", self.data, "-m", mode, "-w", "stop"],
                       capture_output=True)

    def tail(self, lines=15):
        with open(self.log) as log:
            return "".join(log.readlines()[-lines:])

    def pid(self):
        with open(f"{self.data}/postmaster.pid") as f:
            return int(f.readline())

    def connect(self):
        connection = psycopg2.connect(host=ROOT, port=self.port, user="postgres", dbname="postgres")
        connection.autocommit = True
        return connection

    def sql(self, statement):
        connection = self.connect()
        try:
            cursor = connection.cursor()
            cursor.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None
        finally:
            connection.close()

    def op(self, *arguments):
        text = "|".join(str(a) for a in arguments)
        connection = self.connect()
        try:
            cursor = connection.cursor()
            cursor.execute("SELECT pgquorum_ops(%s)", (text,))
            return json.loads(cursor.fetchone()[0], strict=False)
        finally:
            connection.close()

    def ok(self, *arguments):
        answer = self.op(*arguments)
        check(answer.get("ok", True), f"{self.name} {arguments}: {answer}")
        return answer

    def facts(self):
        return self.op("facts")

    def follow(self, upstream, timeline, slot=None, lift=0, generation=1):
        if upstream is None:
            return self.ok("apply", "", "", "", "", "", 0, generation, lift, 100)
        slot = f"pgquorum_{self.name}" if slot is None else slot
        return self.ok("apply", ROOT, upstream.port, f"{self.name}.t{timeline}", slot, "", 0,
                       generation, lift, 100)

    def lead(self, names, g, generation):
        return self.ok("apply", "", "", "", "", ",".join(names), g, generation, 0, 100)

    def streaming_from(self, upstream):
        f = self.facts()
        return f["receiver_streaming"] and f["receiver_port"] == upstream.port

    def end_receiver(self):
        def gone():
            self.ok("end_receiver")
            return not self.facts()["receiver_running"]
        return await_("receiver gone", gone)

    def settle(self):
        self.ok("watch_replay")
        await_("end of replay", lambda: self.op("replay_end")["settled"])
        return self.op("replay_end")

    def history_files(self):
        return {int(os.path.basename(p)[:8], 16): os.path.getsize(p)
                for p in glob.glob(f"{self.data}/pg_wal/*.history")}


n1, n2, n3 = Server("n1", 55411), Server("n2", 55412), Server("n3", 55413)
