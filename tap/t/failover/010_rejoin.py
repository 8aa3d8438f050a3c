#!/usr/bin/python3
"""Nodes that come back with WAL that nobody else has, or in a directory that cannot be rewound."""
import os
import re
import signal

import psycopg2

from pgquorum_tap import Checker, WriteLoad, main, wait_for
from pgquorum_tap.cluster import children, run
from pgquorum_tap.scenarios import write_through

DIVERGE = "CREATE TABLE IF NOT EXISTS alone (t text); INSERT INTO alone SELECT repeat('x', 1000) FROM generate_series(1, 4000)"


def three_nodes(test):
    return test.cluster()


def die_with_more_wal(cluster, node, statement=DIVERGE):
    """The node dies with WAL that no other node has received, nor acknowledged."""
    cluster.write_without_standbys(node, statement)
    cluster.kill(node)


def the_longest_wal_returns_and_acknowledges_nothing(test, cluster):
    """31, 19, 29: it was not recruited, it has more WAL than the others, and the only standby that could still
    acknowledge dies: what waits now must not be released by the old position."""
    def fault(old):
        die_with_more_wal(cluster, old)

    identity = {}

    def recover(old):
        state = cluster.nodes[old].state
        identity.update({name: (state / name).read_bytes() for name in ("identity", "pki/node.crt")})
        new = cluster.await_primary(other_than=old)
        third = next(n for n in cluster.nodes if n not in (old, new))
        since = cluster.log_size(old)
        cluster.kill(third)
        cluster.start(old)
        cluster.await_log(old, "rewinding", since)
        # As a standby, or as the primary: the two had no majority while it was rewound.
        wait_for(lambda: cluster.health(new)[old][1] == "healthy", f"{old} is healthy", 90, (psycopg2.Error, KeyError))
        cluster.start(third)
    result = write_through(cluster, fault, recover=recover)
    assert not result.problems, result.problems
    state = cluster.nodes[result.old].state
    assert all((state / name).read_bytes() == content for name, content in identity.items()), "its identity was rewound"
    for node in cluster.nodes:
        assert cluster.value("SELECT to_regclass('alone') IS NULL", node=node), f"{node} has rows that nobody acknowledged"


def rewinding(cluster, node):
    """Process id of the pg_rewind that the node's postmaster runs now, or None."""
    try:
        found = children(cluster.postmaster(node))
    except (OSError, ValueError):
        # While the directory is changed its lock file is put aside.
        found = {}
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open(f"/proc/{name}/cmdline", encoding="utf-8", errors="replace") as command:
                        found[int(name)] = command.read().replace("\0", " ")
                except OSError:
                    pass
    return next((pid for pid, words in found.items() if "pg_rewind" in words and str(cluster.nodes[node].data) in
                 words.replace("\0", " ")), None)


def the_source_dies_during_the_rewind(test, cluster):
    """20: it is tried again as soon as the source is back; a half-rewound directory never serves."""
    def recover(old):
        new = cluster.await_primary(other_than=old)
        cluster.start(old)
        pid = wait_for(lambda: rewinding(cluster, old), f"{old} runs pg_rewind", 60)
        os.kill(pid, signal.SIGSTOP)
        cluster.kill(new)
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass
        cluster.start(new)
        # Without a service manager a server that gave up stays away.
        def back():
            if not cluster.runs(old):
                cluster.start(old)
            return cluster.health(new).get(old) == ("standby", "healthy")
        wait_for(back, f"{old} is healthy", 90, (psycopg2.Error,))
    result = write_through(cluster, lambda old: die_with_more_wal(cluster, old), recover=recover)
    assert not result.problems, result.problems


def a_rewind_that_is_impossible_ends_in_a_new_copy(test, cluster):
    """21: the WAL back to the last common checkpoint is gone."""
    def recover(old):
        data = cluster.nodes[old].data
        control = run(os.environ["PGQUORUM_BINDIR"] + "/pg_controldata", "-D", data).stdout
        first = re.search(r"REDO WAL file:\s+(\w+)", control).group(1)
        for segment in (data / "pg_wal").iterdir():
            if re.fullmatch(r"[0-9A-F]{24}", segment.name) and segment.name < first:
                segment.unlink()
        cluster.start(old)
        wait_for(lambda: cluster.value("SELECT last_repair FROM system.node_status", node=old) == "recloned",
                 f"{old} has a new copy", 90, (psycopg2.Error,))
    result = write_through(cluster, lambda old: die_with_more_wal(
        cluster, old, DIVERGE + "; SELECT pg_switch_wal(); CHECKPOINT; " + DIVERGE + "; SELECT pg_switch_wal(); CHECKPOINT"),
        recover=recover)
    assert not result.problems, result.problems


def a_standby_promoted_by_hand_is_fenced_and_rewound(test, cluster):
    """22: while its worker is frozen and cannot undo it. The server is a writer then, and takes no write."""
    standby = cluster.standbys()[0]
    since = cluster.log_size(standby)
    load = WriteLoad(cluster)
    load.add_probes()
    with load:
        load.await_acknowledged(100)
        worker = cluster.signal_processes(standby, "pgquorum consensus", signal.SIGSTOP)
        cluster.sql("SELECT pg_promote()", node=standby)
        assert not cluster.value("SELECT pg_is_in_recovery()", node=standby)
        try:
            cluster.sql(f"INSERT INTO {load.table} VALUES ('nobody', 1)", node=standby)
        except psycopg2.Error as error:
            assert error.pgcode == "25006", error
        else:
            raise AssertionError("a server that nobody appointed took a write")
        os.kill(worker[0], signal.SIGCONT)
        cluster.await_log(standby, "-> demoting", since)
        cluster.await_log(standby, "rewinding", since)
        load.await_acknowledged(200)
        cluster.await_healthy()
    port = cluster.nodes[standby].port
    there = [a for a in load.attempts() if a.outcome == "acknowledged" and a.node.endswith(f":{port}")]
    assert not there, f"{len(there)} rows were acknowledged by the node promoted by hand"
    Checker(cluster, load).check()


main(the_longest_wal_returns_and_acknowledges_nothing, the_source_dies_during_the_rewind,
     a_rewind_that_is_impossible_ends_in_a_new_copy, a_standby_promoted_by_hand_is_fenced_and_rewound, shared=three_nodes)
