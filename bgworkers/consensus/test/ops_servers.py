#!/usr/bin/python3
"""Runs the operations of postgres_*.h in a worker of real servers: ops_servers.py LIBRARY BINDIR.

LIBRARY is pgquorum_ops_test.so (PGQUORUM_DEV_TESTS). Needs an account that may run PostgreSQL
(scripts/as-owner). Prints what it measured; any failed check ends it with an error.
"""
import json
import os
import shutil
import signal
import time

import psycopg2

import ops_promotion
from ops_cluster import LIBRARY, ROOT, await_, check, lsn, n1, n2, n3, note, run

def setup():
    n1.init()
    n1.start()
    n1.sql(f"CREATE FUNCTION pgquorum_ops(text) RETURNS text LANGUAGE c STRICT AS "
           f"'{LIBRARY}', 'pgquorum_ops'")
    n1.sql("CREATE TABLE t (a int, pad text)")
    n2.clone(n1)
    n3.clone(n1)
    n2.start()
    n3.start()


def test_primary_facts():
    f = n1.facts()
    check(not f["in_recovery"] and f["timeline"] == 1 and f["ancestors"] == [], f)
    check(lsn(n1.sql("SELECT pg_current_wal_flush_lsn()")) >= f["flush"] > 0, f)
    check(f["system_identifier"] == int(n1.sql("SELECT system_identifier FROM pg_control_system()")), f)
    check(f["checkpointed_timeline"] and f["wal_writable"] and f["warnings"] == "", f)
    check(f["client_backends"] == 1, f["client_backends"])
    n1.sql("INSERT INTO t SELECT g, 'x' FROM generate_series(1, 100) g")
    check(n1.facts()["flush"] > f["flush"], "flush does not move")
    for kind in ("cached", "invalidate"):
        note(f"Gather() {kind}: {n1.op('bench', kind, 500)['ns_each'] / 1000:.1f} us")


def test_guard():
    for _ in range(3):
        answer = n1.op("error")
        check(answer["sqlstate"] == "22012" and "raised with a lock held" in answer["error"], answer)
    check(n1.ok("slots")["slots"] == [], "the lock was not released")


def test_files():
    path = f"{ROOT}/pledge"
    check(not n1.ok("pledge", path, 5)["there"], "absent pledge")
    n1.ok("pledge", path, 5, "epoch 7")
    check(n1.ok("pledge", path, 5)["content"] == "epoch 7", "pledge")
    check(n1.op("pledge", path, 6)["sqlstate"] == "XX001", "foreign pledge accepted")
    with open(path, "r+b") as f:
        f.seek(20)
        byte = f.read(1)
        f.seek(20)
        f.write(bytes([byte[0] ^ 1]))
    check(n1.op("pledge", path, 5)["sqlstate"] == "XX001", "damaged pledge accepted")


def test_follow():
    n1.ok("slot_ensure", "pgquorum_n2")
    n1.ok("slot_ensure", "pgquorum_n3")
    n1.ok("slot_ensure", "pgquorum_n3")
    for node in (n2, n3):
        node.follow(n1, 1)
        note(f"{node.name} streams {await_('streaming', lambda: node.streaming_from(n1)):.0f} ms "
             "after its first upstream was written")
        check(node.op("in_force")["ok"], node.op("in_force"))
    await_("two senders", lambda: [s["state"] for s in n1.facts()["senders"]] == [3, 3])
    f = n1.facts()
    check(sorted(s["name"] for s in f["senders"]) == ["n2.t1", "n3.t1"], f["senders"])
    n1.sql("INSERT INTO t SELECT g, 'y' FROM generate_series(1, 100) g")
    flush = n1.facts()["flush"]
    await_("flush reported", lambda: all(s["flush"] >= flush for s in n1.facts()["senders"]))
    f = n2.facts()
    check(f["receiver_slot"] == "pgquorum_n2" and f["receiver_timeline"] == 1, f)
    await_("receiver flushed", lambda: n2.facts()["receiver_flushed"] >= flush)
    await_("replayed", lambda: n2.facts()["replay_end"] >= flush)


def test_sync_list():
    check(not n1.facts()["sync_defined"], "list defined too early")
    n1.lead(["n2.t1", "n3.t1"], 1, 2)
    ms = await_("list in force", lambda: n1.facts()["sync_defined"] and
                [s["priority"] for s in n1.facts()["senders"]] == [1, 1])
    note(f"list in force in checkpointer and walsenders after {ms:.0f} ms")
    check(n1.sql("SHOW synchronous_standby_names") == 'ANY 1 ("n2.t1","n3.t1")', "list text")
    check(n1.op("in_force")["ok"], n1.op("in_force"))
    check(n1.op("apply", "", "", "", "", "a", 2, 2, 0, 0)["sqlstate"] == "22023", "g beyond names")
    long = n1.op("apply", "h" * 1000, 1, "a", "", "", 0, 9, 0, 0)
    check(long["sqlstate"] == "22023" and n1.op("in_force")["ok"], long)
    n1.sql("ALTER SYSTEM SET synchronous_standby_names = 'other'")
    n1.sql("SELECT pg_reload_conf()")
    await_("override seen", lambda: not n1.op("in_force")["ok"])
    n1.sql("ALTER SYSTEM RESET synchronous_standby_names")
    n1.sql("SELECT pg_reload_conf()")
    await_("override gone", lambda: n1.op("in_force")["ok"])


def test_retention():
    """The slot that pg_rewind needs stays one checkpoint behind."""
    n1.ok("retain")
    first = n1.facts()["checkpoint_redo"]
    slot = {s["name"]: s["restart"] for s in n1.ok("slots")["slots"]}["pgquorum__rewind"]
    check(0 < slot <= first, (slot, first))
    n1.sql("INSERT INTO t VALUES (0, 'retention')")
    n1.sql("CHECKPOINT")
    n1.ok("retain")
    n1.ok("retain")
    slot = {s["name"]: s["restart"] for s in n1.ok("slots")["slots"]}["pgquorum__rewind"]
    check(slot == first < n1.facts()["checkpoint_redo"], (slot, first))
    n1.ok("reconcile", "n1", n1.facts()["flush"], 0, "n2=0,n3=0")
    check("pgquorum__rewind" in [s["name"] for s in n1.ok("slots")["slots"]], "reconciled away")


def test_waiters():
    """A commit that nobody acknowledges: seen, and dropped unanswered by terminate_clients."""
    n1.lead(["nobody.t1"], 1, 3)
    await_("list", lambda: n1.sql("SHOW synchronous_standby_names") == 'ANY 1 ("nobody.t1")')
    pid = os.fork()
    if pid == 0:
        try:
            n1.sql("INSERT INTO t VALUES (-1, 'waiter')")
        except psycopg2.Error:
            os._exit(7)
        os._exit(0)
    await_("waiter", lambda: n1.facts()["sync_waiters"] == 1)
    check(n1.op("clients")["all"] == 2, n1.op("clients"))
    try:
        n1.op("terminate_clients")
    except psycopg2.Error:
        pass  # this session too
    check(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7, "the commit was acknowledged")
    await_("no waiter", lambda: n1.facts()["sync_waiters"] == 0)
    n1.lead(["n2.t1", "n3.t1"], 1, 4)


def test_slots_on_standby():
    before = n2.facts()
    n2.ok("slot_ensure", "pgquorum_n3")
    n2.ok("slot_ensure", "pgquorum_n1")
    slots = {s["name"]: s for s in n2.ok("slots")["slots"]}
    check(set(slots) == {"pgquorum_n1", "pgquorum_n3"} and
          all(s["restart"] > 0 and s["active_pid"] == 0 for s in slots.values()), slots)
    start = slots["pgquorum_n1"]["restart"]
    end = before["replay_end"]
    check(n2.ok("slot_advance", "pgquorum_n1", end, end)["value"], "did not move")
    check(not n2.ok("slot_advance", "pgquorum_n1", start, end)["value"], "moved backwards")
    check(not n2.ok("slot_advance", "pgquorum_n1", end + 10**9, end)["value"], "moved past the end")
    check(n2.sql("SELECT restart_lsn - '0/0' FROM pg_replication_slots WHERE slot_name = 'pgquorum_n1'")
          == end, "restart_lsn")
    # In use on the primary: refused, tolerated.
    check(n1.op("slot_drop", "pgquorum_n2")["sqlstate"] == "55006", "dropped a slot in use")
    check(not n1.ok("slot_advance", "pgquorum_n2", 2**60, 2**60)["value"], "advanced a slot in use")
    # Logical, and the bound of the server.
    n1.ok("slot_drop", "absent")
    n2.ok("reconcile", "n2", end, 0, f"n1={end},n2=0,n4=0")
    names = sorted(s["name"] for s in n2.ok("slots")["slots"])
    check(names == ["pgquorum_n1", "pgquorum_n4"], names)
    n2.ok("reconcile", "n2", end, 1024, f"n1={end},n3=0")
    slots = {s["name"]: s["restart"] for s in n2.ok("slots")["slots"]}
    check(slots["pgquorum_n3"] >= end - 1024, (slots, end))
    # A restart keeps them.
    n2.sql("CHECKPOINT")
    n2.stop("fast")
    n2.start()
    await_("slots restored", lambda: n2.op("slots").get("ok"))
    check({s["name"]: s["restart"] for s in n2.ok("slots")["slots"]} == slots, "slots after restart")
    n2.follow(n1, 1)
    await_("streaming", lambda: n2.streaming_from(n1))
    # The worker's flags: no other process's were overwritten (EnterProcArray).
    check(n2.sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walreceiver'") == 1, "")


def test_switch_upstream():
    samples = []
    for upstream in (n2, n1, n2, n1, n2, n1):
        n3.follow(upstream, 1)
        samples.append(await_("switch", lambda: n3.streaming_from(upstream)))
    note("upstream switched in " + ", ".join(f"{ms:.0f}" for ms in samples) + " ms")
    n3.follow(None, 1)
    note(f"upstream cleared: receiver gone after "
         f"{await_('gone', lambda: not n3.facts()['receiver_running']):.0f} ms")
    n3.follow(n1, 1)
    await_("streaming", lambda: n3.streaming_from(n1))


def test_ends_walsenders():
    old = {s["name"]: s["pid"] for s in n1.facts()["senders"]}
    check(n1.ok("end_senders", "n3.t1")["value"] == 1, "told")
    await_("a new one", lambda: {s["name"]: s["pid"] for s in n1.facts()["senders"]}.get("n3.t1")
           not in (None, old["n3.t1"]))
    check({s["name"]: s["pid"] for s in n1.facts()["senders"]}["n2.t1"] == old["n2.t1"], "the other")


def test_probe():
    n1.ok("probe")
    await_("probe", lambda: n1.op("probe_result")["ended"])
    answer = n1.op("probe_result")
    check(answer["alive"], answer)
    note(f"live listener answers in {answer['us']} us")
    connection = n1.connect()  # while connecting is still possible
    cursor = connection.cursor()
    os.kill(n1.pid(), signal.SIGSTOP)
    try:
        cursor.execute("SELECT pgquorum_ops('probe')")
        time.sleep(1.2)
        cursor.execute("SELECT pgquorum_ops('probe_result')")
        answer = json.loads(cursor.fetchone()[0])
        check(answer["ended"] and not answer["alive"], answer)
        note(f"stopped listener: {answer['error']}")
    finally:
        os.kill(n1.pid(), signal.SIGCONT)
        connection.close()


def test_end_of_replay():
    n3.ok("watch_replay")
    answer = n3.op("replay_end")
    check(not answer["settled"] and "upstream" in answer["obstacle"], answer)
    # Much received, nothing replayed: settled only when all is.
    n3.sql("SELECT pg_wal_replay_pause()")
    await_("paused", lambda: n3.sql("SELECT pg_get_wal_replay_pause_state()") == "paused")
    n1.sql("INSERT INTO t SELECT g, repeat('z', 500) FROM generate_series(1, 100000) g")
    flush = n1.facts()["flush"]
    await_("received", lambda: n3.facts()["receiver_flushed"] >= flush)
    n3.follow(None, 1, lift=1)
    time.sleep(0.3)
    check(n3.facts()["receiver_running"], "the server itself has ended the receiver")
    note(f"receiver of a paused standby ended in {n3.end_receiver():.0f} ms")
    behind = n3.facts()
    check(behind["replay_paused"] and behind["replay_end"] < flush, behind)
    check(n3.ok("follows", behind["replay_end"])["value"], "WAL follows but was not found")
    n3.ok("watch_replay")
    time.sleep(0.3)
    answer = n3.op("replay_end")
    check(not answer["settled"] and answer["obstacle"] == "replay is paused", answer)
    received = n3.facts()["receiver_flushed"]
    n3.ok("lift_pause")
    ms = await_("settled", lambda: n3.op("replay_end")["settled"], 60)
    answer = n3.op("replay_end")
    check(answer["end"] >= flush and answer["timeline"] == 1, (answer, flush))
    check(not n3.ok("follows", answer["end"])["value"], "something follows the end")
    note(f"{(answer['end'] - behind['replay_end']) >> 20} MB replayed and settled in {ms:.0f} ms "
         f"(received {received - answer['end']} bytes beyond the last whole record)")
    answer = n3.settle()
    note(f"settled with nothing to replay in {answer['us'] / 1000:.1f} ms")
    # After a restart without upstream the position is what is on disk.
    n3.stop("immediate")
    n3.start()
    n3.follow(None, 1)
    again = n3.settle()
    check(again["end"] == answer["end"], (again, answer))
    check(not n3.facts()["receiver_moved"], "a receiver that never ran has moved")
    n3.follow(n1, 1)
    await_("streaming", lambda: n3.streaming_from(n1))


def test_replay_delay():
    with open(f"{n3.data}/postgresql.conf") as conf:
        text = conf.read()
    with open(f"{n3.data}/postgresql.conf", "w") as conf:
        conf.write(text.replace("include_if_exists", "recovery_min_apply_delay = '1h'\ninclude_if_exists"))
    n3.sql("SELECT pg_reload_conf()")
    await_("delay", lambda: n3.facts()["replay_delay_ms"] == 3600000)
    n1.sql("INSERT INTO t VALUES (0, 'delayed')")
    flush = n1.facts()["flush"]
    await_("received", lambda: n3.facts()["receiver_flushed"] >= flush)
    time.sleep(0.2)
    check(n3.facts()["replay_end"] < flush, "not delayed")
    n3.follow(None, 1, lift=1)
    n3.end_receiver()
    answer = n3.settle()
    check(answer["end"] >= flush, (answer, flush))
    note(f"delayed replay settled in {answer['us'] / 1000:.0f} ms")
    n3.configure()
    n3.follow(n1, 1)
    await_("streaming", lambda: n3.streaming_from(n1))


def make_pki(directory, name):
    """A CA and a certificate of it, as the state directory holds them."""
    os.mkdir(directory)
    ca = ["-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=ca", "-days", "2", "-keyout",
          f"{directory}/ca.key", "-out", f"{directory}/ca.crt"]
    run("openssl", "req", *ca)
    run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout",
        f"{directory}/node.key", "-out", f"{directory}/node.csr")
    run("openssl", "x509", "-req", "-in", f"{directory}/node.csr", "-CA", f"{directory}/ca.crt", "-CAkey",
        f"{directory}/ca.key", "-CAcreateserial", "-days", "2", "-out", f"{directory}/node.crt")
    os.chmod(f"{directory}/node.key", 0o600)


def test_tls_upstream():
    pki = f"{ROOT}/pki it's"
    make_pki(pki, "postgres")
    quoted = pki.replace("'", "''")
    with open(f"{n1.data}/postgresql.conf", "a") as conf:
        conf.write(f"listen_addresses = '127.0.0.1'\nssl = on\nssl_ca_file = '{quoted}/ca.crt'\n"
                   f"ssl_cert_file = '{quoted}/node.crt'\nssl_key_file = '{quoted}/node.key'\n")
    with open(f"{n1.data}/pg_hba.conf") as hba:
        lines = [line for line in hba if not line.startswith("host")]
    with open(f"{n1.data}/pg_hba.conf", "w") as hba:
        hba.writelines(lines + ["hostssl replication all 127.0.0.1/32 cert\n"])
    n1.stop("fast")
    n1.start()
    n1.lead(["n2.t1", "n3.t1"], 1, 5)
    n3.ok("apply", "127.0.0.1", n1.port, "n3.t1", "pgquorum_n3", "", 0, 6, 0, 100, pki)
    ms = await_("streaming", lambda: n3.facts()["receiver_host"] == "127.0.0.1" and n3.streaming_from(n1))
    check(n1.sql("SELECT client_dn FROM pg_stat_ssl JOIN pg_stat_replication USING (pid) "
                 "WHERE application_name = 'n3.t1'") == "/CN=postgres", "certificate")
    note(f"streams by certificate over TLS after {ms:.0f} ms")
    await_("n2 is back", lambda: n2.streaming_from(n1))


def segment_of(node, timeline, position):
    """The open WAL file that holds `position`, and the offset in it."""
    size = 16 << 20
    number = position // size
    name = f"{timeline:08X}{number // 256:08X}{number % 256:08X}"
    return open(f"{node.data}/pg_wal/{name}", "r+b"), position % size


def test_recycled_record():
    """An old record right behind the last received byte, as in a recycled file, is no WAL to wait for."""
    begin = lsn(n1.sql("SELECT pg_current_wal_insert_lsn()"))
    end = n1.ok("marker", "recycled")["end"]
    check(end - begin < 200 and begin // 8192 == end // 8192, (begin, end))
    n1.sql("INSERT INTO t VALUES (0, 'behind the marker')")
    flush = n1.facts()["flush"]
    await_("replayed", lambda: n3.facts()["replay_end"] >= flush)
    n3.follow(None, 1)
    n3.end_receiver()
    tail = n3.settle()["end"]
    check(n3.ok("follows", begin)["value"], "the marker was not found")
    file, offset = segment_of(n3, 1, begin)
    with file:
        file.seek(offset)
        record = file.read(end - begin)
    file, offset = segment_of(n3, 1, tail)
    with file:
        file.seek(offset)
        before = file.read(len(record))
        check(before == bytes(len(record)), "something stands behind the end already")
        file.seek(offset)
        file.write(record)
        file.flush()
        check(not n3.ok("follows", tail)["value"], "an old record taken for a successor")
        check(n3.settle()["end"] == tail, "not settled")
        file.seek(offset)
        file.write(before)
    n3.follow(n1, 1)
    await_("streaming", lambda: n3.streaming_from(n1))


def test_replay_conflict():
    reader = n3.connect()
    cursor = reader.cursor()
    cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
    cursor.execute("SELECT count(*) FROM t")
    n1.sql("DELETE FROM t WHERE pad = 'y'")
    n1.sql("VACUUM t")
    n1.sql("INSERT INTO t VALUES (0, 'after')")
    flush = n1.facts()["flush"]
    await_("received", lambda: n3.facts()["receiver_flushed"] >= flush)
    time.sleep(0.2)
    n3.follow(None, 1)
    n3.end_receiver()
    n3.ok("watch_replay")
    time.sleep(0.3)
    answer = n3.op("replay_end")
    check(not answer["settled"] and answer["obstacle"] == "WAL is being replayed", answer)
    try:
        n3.op("cancel_conflicts")
    except psycopg2.errors.SerializationFailure:
        pass  # this query too: every transaction is told
    ms = await_("settled", lambda: n3.op("replay_end")["settled"])
    note(f"replay conflict ended, settled {ms:.0f} ms later")
    check(n3.op("replay_end")["end"] >= flush, "end")
    reader.close()
    n3.follow(n1, 1)
    await_("streaming", lambda: n3.streaming_from(n1))


def test_invalidated_slot():
    n1.ok("slot_ensure", "pgquorum_n2")
    n1.ok("slot_ensure", "pgquorum_n3")
    n1.sql("ALTER SYSTEM SET max_slot_wal_keep_size = '16MB'")
    n1.sql("SELECT pg_reload_conf()")
    await_("setting", lambda: n1.sql("SHOW max_slot_wal_keep_size") == "16MB")
    for _ in range(4):
        n1.sql("CREATE TABLE IF NOT EXISTS filler (a int)")
        n1.sql("INSERT INTO filler VALUES (1)")
        n1.sql("SELECT pg_switch_wal()")
    n1.sql("CHECKPOINT")
    slots = {s["name"]: s for s in n1.ok("slots")["slots"]}
    check(slots["pgquorum_n2"]["invalidated"], slots)
    n1.ok("reconcile", "n1", n1.facts()["flush"], 0, "n2=0,n3=0")
    slots = {s["name"]: s for s in n1.ok("slots")["slots"]}
    check(not slots["pgquorum_n2"]["invalidated"] and slots["pgquorum_n2"]["restart"] > 0, slots)


def test_stop():
    begin = time.monotonic()
    pid = n1.pid()
    try:
        n1.op("stop", "immediate")
    except psycopg2.Error:
        pass
    await_("stopped", lambda: not os.path.exists(f"/proc/{pid}") or
           open(f"/proc/{pid}/stat").read().split()[2] == "Z")
    note(f"immediate stop in {(time.monotonic() - begin) * 1000:.0f} ms")


def tests_of(names):
    return [value for name, value in list(names.items()) if name.startswith("test_")]


def main():
    last = (test_invalidated_slot, test_stop)
    tests = [t for t in tests_of(globals()) if t not in last] + tests_of(vars(ops_promotion)) + list(last)
    try:
        setup()
        for test in tests:
            print(test.__name__, flush=True)
            test()
        print("all passed")
    except BaseException:
        for node in (n1, n2, n3):
            if os.path.exists(f"{ROOT}/{node.name}.log"):
                node.log = f"{ROOT}/{node.name}.log"
                print(f"--- {node.name}\n{node.tail(25)}")
        raise
    finally:
        for node in (n1, n2, n3):
            node.stop()
        shutil.rmtree(ROOT, ignore_errors=True)


if __name__ == "__main__":
    main()
