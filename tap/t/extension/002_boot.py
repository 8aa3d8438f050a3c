#!/usr/bin/python3
"""What the postmaster does for a member before it opens anything: role, identity, repair, restart in place."""
import os
import shutil
import signal

import psycopg2
from pgquorum_tap import main, wait_for
from pgquorum_tap.lone_member import LoneMember, read_record, record, run, standalone


def processes_of(postmaster, title):
    """Children of the postmaster whose title contains the text."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as stat, open(f"/proc/{pid}/cmdline", encoding="utf-8") as line:
                if stat.read().rsplit(")", 1)[1].split()[1] == str(postmaster) and title in line.read():
                    found.append(int(pid))
        except OSError:
            continue
    return found


def processes_of_program(program, directory):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", encoding="utf-8") as line:
                words = line.read().split("\0")
        except OSError:
            continue
        if words[0].endswith(program) and any(str(directory) in word for word in words):
            found.append(int(pid))
    return found


def diverged_pair(test):
    """A crashed server with a row that its former standby, now a primary of its own, does not have."""
    old = standalone(test, "member")
    old.start()
    old.sql("INSERT INTO t VALUES (1)")
    new = type(old)(old.root.parent / "source")
    new.root.mkdir()
    shutil.chown(new.root, os.stat(old.root).st_uid)
    run("pg_basebackup", "-h", "127.0.0.1", "-p", old.port, "-U", "postgres", "-D", new.data, "-R", "-c", "fast")
    new.settings("shared_preload_libraries = ''")
    test.on_end(new.stop)
    new.start()
    new.sql("SELECT pg_promote(true, 60)")
    new.sql("INSERT INTO t VALUES (2)")
    new.sql("CHECKPOINT")
    old.sql("INSERT INTO t VALUES (666)")
    old.stop("immediate")
    return LoneMember(test, adopt=old), new


def wait_rows(server, rows):
    wait_for(lambda: server.sql("SELECT i FROM t ORDER BY i") == [(i,) for i in rows], f"the rows are {rows}",
             errors=(psycopg2.Error,))


def a_member_starts_as_a_standby_and_a_standalone_server_does_not(test):
    server = standalone(test, "member")
    server.start()
    assert not server.value("SELECT pg_is_in_recovery()")
    assert not (server.data / "standby.signal").exists()
    server.stop("fast")
    member = LoneMember(test, adopt=server)
    member.start()
    assert member.value("SELECT pg_is_in_recovery()")
    assert member.sql("SELECT node_id, cluster_name, mode FROM system.node_status") == [("node1", "prod", "member")]


def is_closed(member, reason):
    assert member.value("SELECT pg_is_in_recovery()")
    refused = member.state_of("SELECT 1", "app")
    assert refused and reason in refused[1], refused
    mode, why = member.sql("SELECT mode, closed_reason FROM system.node_status")[0]
    assert mode == "closed" and reason in why, (mode, why)
    assert member.sql("SELECT status FROM system.cluster_health") == [("fenced",)]
    assert member.state_of("SELECT system.pause_failover()")[0] == "55000"


def a_member_without_its_state_directory_is_closed(test):
    member = LoneMember(test)
    member.state.rename(member.root / "elsewhere")
    member.settings("primary_conninfo = 'host=127.0.0.1 port=1'")
    member.start()
    is_closed(member, "No such file or directory")
    assert member.value("SHOW primary_conninfo") == "", "a closed node follows nobody"
    # Promoted by hand it still does not write.
    member.sql("SELECT pg_promote()")
    assert member.state_of("INSERT INTO t VALUES (1)")[0] == "25006"


def a_copied_data_directory_is_closed_or_refused(test):
    member = LoneMember(test)
    other = LoneMember(test, name="other")
    member.start()
    shutil.copy(member.data / "pgquorum.member", other.data / "pgquorum.member")
    other.start(check=False)
    assert "another server uses state directory" in other.log.read_text()
    member.stop("fast")
    identity = (member.state / "identity").read_text()
    member.write(member.state / "identity", identity.replace("node1", "node2"))
    other.start()
    is_closed(other, "checksum is wrong")


def an_upstream_that_pgquorum_did_not_choose_closes_the_node(test):
    member = LoneMember(test)
    member.start()
    assert member.state_of("ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=1'")[0] == "55000"
    member.stop("fast")
    with open(member.data / "postgresql.auto.conf", "a", encoding="ascii") as conf:
        conf.write("primary_conninfo = 'host=127.0.0.1 port=1'\n")
    member.start()
    is_closed(member, "set outside of")


def a_diverged_member_is_rewound_in_place(test):
    member, source = diverged_pair(test)
    member.order_repair("rewind", source)
    # It becomes consistent only by streaming what the rewind left out.
    run("pg_ctl", "-D", member.data, "-l", member.log, "-W", "start")
    wait_for(lambda: (member.state / "repaired").exists(), "the rewind is done")
    wait_for(lambda: "entering standby mode" in member.log.read_text(), "the server has started again")
    with open(member.data / "pgquorum.conf", "a", encoding="ascii") as conf:
        conf.write(f"primary_conninfo = 'host=127.0.0.1 port={source.port} user=postgres'\n")
    member.reload()
    wait_rows(member, [1, 2])
    assert member.sql("SELECT node_id, last_repair FROM system.node_status") == [("node1", "rewound")]
    assert not (member.state / "intent").exists()
    member.stop("fast")
    member.start()
    assert member.value("SELECT last_repair FROM system.node_status") is None, "a repair is told once"


def an_unreachable_source_leaves_the_server_as_it_was(test):
    member, source = diverged_pair(test)
    source.stop("fast")
    member.order_repair("rewind", source)
    member.start()
    wait_rows(member, [1, 666])
    assert member.value("SELECT last_repair FROM system.node_status") == "failed"
    intent = read_record(member.state / "intent")
    assert intent["touched"] == "0" and intent["attempts"] == "1" and "failed" in intent["last_error"], intent


def a_half_rewound_directory_is_never_opened(test):
    member, source = diverged_pair(test)
    member.order_repair("rewind", source)
    intent = (member.state / "intent")
    values = {k: v for k, v in read_record(intent).items() if k != "crc32c"}
    source.stop("fast")
    # The damage: an attempt that was interrupted.
    member.write(intent, record("intent", {**values, "touched": 1, "attempts": 3}))
    run("pg_ctl", "-D", member.data, "-l", member.log, "-W", "start")
    wait_for(lambda: member.log.read_text().count("could not repair the data directory") >= 2, "it tries again")
    assert "entering standby mode" not in member.log.read_text()
    # After the rewinds are used up it takes a new base backup as soon as there is a source.
    source.start()
    wait_for(lambda: "entering standby mode" in member.log.read_text(), "the server runs on a new base backup", timeout=120)
    wait_rows(member, [1, 2])
    assert member.value("SELECT last_repair FROM system.node_status") == "recloned"


def a_kill_in_the_middle_of_a_rewind_is_survived(test):
    member, source = diverged_pair(test)
    source.sql("CREATE TABLE bulk AS SELECT repeat('x', 1000) FROM generate_series(1, 20000); CHECKPOINT")
    member.order_repair("rewind", source)
    run("pg_ctl", "-D", member.data, "-l", member.log, "-W", "start")
    wait_for(lambda: "need to copy" in member.log.read_text(), "the rewind changes the directory")
    log = member.log.read_text()
    postmaster = int(next(line for line in log.splitlines() if "need to copy" in line).split("[")[1].split("]")[0])
    os.kill(postmaster, signal.SIGKILL)
    # The program must not go on without its postmaster.
    wait_for(lambda: not processes_of_program("pg_rewind", member.data), "pg_rewind is gone")
    wait_for(lambda: not os.path.exists(f"/proc/{postmaster}"), "the postmaster is gone")
    (member.data / "postmaster.pid").unlink(missing_ok=True)
    # pg_rewind may have emptied the configuration files: a server that does not know pgquorum must not open this,
    # even with the others in order.
    stray = member.root / "stray.log"
    saved = member.state / "conf"
    options = f"-c shared_preload_libraries='' -c hba_file='{saved}/pg_hba.conf' -c ident_file='{saved}/pg_ident.conf'"
    run("pg_ctl", "-D", member.data, "-l", stray, "-w", "-t", "10", "-o", f"-p {member.port} {options}", "start", check=False)
    # pg_rewind removes the label among the first things that it does.
    refusals = ('invalid data in file "backup_label"', 'recovery command file "recovery.conf" is not supported')
    assert any(refusal in stray.read_text() for refusal in refusals), stray.read_text()
    # The worst case: nothing in the data directory says what it is.
    for name in ("postgresql.conf", "pgquorum.member"):
        member.write(member.data / name, "")
    # It waits in vain for consistency: there is no upstream yet.
    run("pgquorum", "node", "start", "--data", member.data, "--log", member.log, "--timeout", "1", check=False)
    wait_for(lambda: (member.state / "repaired").exists(), "the repair is done", timeout=120)
    wait_for(lambda: "entering standby mode" in member.log.read_text()[len(log):], "the server runs")
    with open(member.data / "pgquorum.conf", "a", encoding="ascii") as conf:
        conf.write(f"primary_conninfo = 'host=127.0.0.1 port={source.port} user=postgres'\n")
    member.reload()
    wait_rows(member, [1, 2])
    assert member.value("SELECT count(*) FROM bulk") == 20000
    assert member.value("SHOW port") == str(member.port)


def a_member_is_cloned_anew_in_place(test):
    member, source = diverged_pair(test)
    member.order_repair("reclone", source)
    member.start()
    wait_rows(member, [1, 2])
    assert member.sql("SELECT node_id, last_repair FROM system.node_status") == [("node1", "recloned")]
    assert member.value("SHOW port") == str(member.port)


def a_restart_in_place_keeps_the_process(test):
    member = LoneMember(test, "logging_collector = on")
    member.start()
    pid, boot = member.postmaster(), member.value("SELECT boot_id FROM system.node_status")
    for _ in range(3):
        member.order_restart(boot)
        os.kill(pid, signal.SIGQUIT)
        before = boot
        boot = wait_for(lambda: (lambda now: now if now != before else None)(
            member.value("SELECT boot_id FROM system.node_status")), "a new boot", errors=(psycopg2.Error,))
        assert member.postmaster() == pid
        assert member.value("SELECT pg_is_in_recovery()")
        assert len(processes_of(pid, "logger")) == 1, "a logging collector was left behind"
    # An order for another boot is stale: a stop is a stop.
    member.order_restart("00000000deadbeef")
    member.stop("fast")
    assert not (member.data / "postmaster.pid").exists()


main(a_member_starts_as_a_standby_and_a_standalone_server_does_not, a_member_without_its_state_directory_is_closed,
     a_copied_data_directory_is_closed_or_refused, an_upstream_that_pgquorum_did_not_choose_closes_the_node,
     a_diverged_member_is_rewound_in_place, an_unreachable_source_leaves_the_server_as_it_was,
     a_half_rewound_directory_is_never_opened, a_kill_in_the_middle_of_a_rewind_is_survived,
     a_member_is_cloned_anew_in_place, a_restart_in_place_keeps_the_process)
