"""A member of a cluster that nobody else belongs to, with a stand-in for the consensus worker
(extension/test/stand_in_worker.cpp): what the preloaded library does alone can be tested without a cluster."""
import atexit
import contextlib
import os
import pathlib
import pwd
import shutil
import signal
import subprocess

import psycopg2

from .ports import free_ports

FUNCTIONS = """
CREATE EXTENSION pgquorum;
CREATE FUNCTION gate_open(acks int, lease_ms int) RETURNS void LANGUAGE c AS 'pgquorum_worker', 'pgquorum_test_open';
CREATE FUNCTION gate_close(retryable bool) RETURNS void LANGUAGE c AS 'pgquorum_worker', 'pgquorum_test_close';
CREATE FUNCTION admit(clients bool) RETURNS void LANGUAGE c AS 'pgquorum_worker', 'pgquorum_test_admit';
CREATE FUNCTION settle(ms int) RETURNS void LANGUAGE c AS 'pgquorum_worker', 'pgquorum_test_settle';
CREATE FUNCTION accept(list text) RETURNS void LANGUAGE c AS 'pgquorum_worker', 'pgquorum_test_accept';
CREATE FUNCTION in_force(generation int, list_is_empty bool) RETURNS bool LANGUAGE c
  AS 'pgquorum_worker', 'pgquorum_test_in_force';
CREATE TABLE t (i int);
CREATE SEQUENCE s;
CREATE ROLE app LOGIN;
GRANT ALL ON t TO app;
CREATE ROLE operator LOGIN IN ROLE pgquorum_admin;
"""
ROOT = os.geteuid() == 0
ACCOUNT = pwd.getpwnam("postgres") if ROOT else pwd.getpwuid(os.geteuid())


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def record(kind, values):
    """The text of one of pgquorum's files (extension/identity/text_record.h)."""
    text = f"pgquorum {kind} 1\n" + "".join(f"{k} = {v}\n" for k, v in sorted(values.items()))
    return text + f"crc32c = {crc32c(text.encode()):08x}\n"


def read_record(path):
    return dict(line.split(" = ", 1) for line in path.read_text().splitlines()[1:])


def run(program, *words, check=True):
    command = [str(pathlib.Path(os.environ["PGQUORUM_BINDIR"]) / program), *map(str, words)]
    if ROOT:
        command = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups", *command]
    return subprocess.run(command, cwd="/", check=check, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout


class Server:
    """A server in a directory of its own."""

    def __init__(self, root):
        self.root, self.data, self.log = root, root / "data", root / "log"
        self.port = free_ports(2)

    def settings(self, text):
        with open(self.data / "postgresql.conf", "a", encoding="ascii") as conf:
            conf.write(f"\nport = {self.port}\n{text}\n")

    def start(self, check=True):
        return run("pg_ctl", "-D", self.data, "-l", self.log, "-w", "-t", "60", "start", check=check)

    def stop(self, mode="immediate"):
        if (self.data / "postmaster.pid").exists():
            run("pg_ctl", "-D", self.data, "-m", mode, "-t", "60", "stop")

    def postmaster(self):
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def reload(self):
        os.kill(self.postmaster(), signal.SIGHUP)

    def write(self, path, text):
        path.write_text(text, encoding="ascii")
        os.chown(path, ACCOUNT.pw_uid, -1)

    def connect(self, user="postgres"):
        connection = psycopg2.connect(host="127.0.0.1", port=self.port, user=user, dbname="postgres")
        connection.autocommit = True
        return connection

    def sql(self, query, user="postgres"):
        with contextlib.closing(self.connect(user)) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall() if cursor.description else None

    def value(self, query):
        return self.sql(query)[0][0]

    def state_of(self, query, user="postgres"):
        """SQLSTATE and hint of the error (text of the error, when no connection was made), or None."""
        try:
            self.sql(query, user)
        except psycopg2.Error as error:
            return error.pgcode or "connection", (error.diag.message_hint or str(error))
        return None


_template = None


def template():
    """A standalone server's data directory with the extension and the functions, made once for all tests of a file."""
    global _template
    if _template is None:
        root = pathlib.Path(f"/tmp/pgquorum-tap-{os.getpid()}-template")
        root.mkdir(mode=0o755)
        atexit.register(shutil.rmtree, root, ignore_errors=True)
        (root / "lib").mkdir()
        modules = pathlib.Path(os.environ["PGQUORUM_BUILD"]) / "modules"
        shutil.copy(modules / "pgquorum_stand_in_worker.so", root / "lib" / "pgquorum_worker.so")
        os.chown(root, ACCOUNT.pw_uid, -1)
        server = Server(root)
        run("initdb", "-D", server.data, "-k", "-U", "postgres", "-A", "trust")
        server.settings("listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nmax_prepared_transactions = 5\n"
                        f"shared_preload_libraries = 'pgquorum'\ndynamic_library_path = '{root}/lib:$libdir'\n"
                        "fsync = off\nwal_keep_size = '128MB'\ninclude_if_exists 'pgquorum.conf'")
        server.start()
        try:
            server.sql(FUNCTIONS)
        finally:
            server.stop("fast")
        _template = server.data
    return _template


def standalone(test, name, extra=""):
    """A server that is no member yet, not started."""
    root = test.directory() if not hasattr(test, "lone_root") else test.lone_root
    test.lone_root = root
    home = root / name
    home.mkdir()
    for path in (root, home):
        os.chown(path, ACCOUNT.pw_uid, -1)
    server = Server(home)
    subprocess.run(["cp", "-a", str(template()), str(server.data)], check=True)
    server.settings(extra)
    test.on_end(server.stop)
    return server


class LoneMember(Server):
    """The member; not started."""

    def __init__(self, test, extra="", name="member", adopt=None):
        server = adopt or standalone(test, name, extra)
        super().__init__(server.root)
        self.port = server.port
        self.state = self.root / "data.pgquorum"
        self.state.mkdir()
        os.chown(self.state, ACCOUNT.pw_uid, -1)
        control = run("pg_controldata", "-D", self.data)
        system = next(line.split()[-1] for line in control.splitlines() if "system identifier" in line)
        ids = {"cluster_id": f"{9:016x}", "raft_node_id": f"{1:016x}"}
        self.write(self.state / "identity", record("identity", {
            **ids, "cluster_name": "prod", "node_name": "node1", "system_identifier": system,
            "listen": f"127.0.0.1:{self.port}", "raft": f"127.0.0.1:{self.port + 1}", "join_addresses": ""}))
        self.write(self.data / "pgquorum.member", record("member", {**ids, "state_directory": self.state}))

    def order_repair(self, kind, source):
        self.write(self.state / "intent", record("intent", {
            "kind": kind, "source_node": "source", "reason": "test", "attempts": 0, "touched": 0, "last_error": "",
            "source_conninfo": f"host=127.0.0.1 port={source.port} user=postgres dbname=postgres",
            "epoch_generation": f"{1:016x}", "epoch_number": 2}))

    def order_restart(self, boot_id):
        self.write(self.state / "demote", record("demote", {
            "postmaster_pid": self.postmaster(), "boot_id": boot_id, "reason": "test"}))
