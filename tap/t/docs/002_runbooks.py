#!/usr/bin/python3
"""The runbooks, carried out: their SQL word by word, their steps in their order."""
import os
import pathlib
import re
import shutil

import psycopg2

from pgquorum_tap import Checker, WriteLoad, main, wait_for
from pgquorum_tap.by_hand import ByHand
from pgquorum_tap.cluster import bindir, pgquorum, run
from pgquorum_tap.pki import expired

RUNBOOKS = pathlib.Path(__file__).resolve().parents[3] / "docs" / "runbooks"


def three_of_four(test):
    cluster = test.cluster(kind=ByHand, nodes=4)
    for node in ("node2", "node3"):
        cluster.join(node)
    cluster.await_healthy()
    return cluster


def sql_of(page):
    """The statements in its SQL blocks and in its running text."""
    text = (RUNBOOKS / page).read_text()
    blocks = re.findall(r"^ *```sql\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`(SELECT [^`]*)`", text)
    return [s.strip() for block in blocks for s in block.split(";") if s.strip()] + inline


def go_on(load, count=50):
    load.await_acknowledged(len(load.acknowledged()) + count)


def planned_switchover(test, cluster):
    statements = sql_of("planned-switchover.md")
    wanted = {"SELECT system.failover('node2')", "SELECT system.pause_failover()", "SELECT system.resume_failover()"}
    assert wanted <= set(statements), statements
    if cluster.await_primary() == "node2":
        cluster.sql("SELECT system.failover('node1')", node="node1")
        cluster.await_healthy()
    with WriteLoad(cluster) as load:
        go_on(load)
        cluster.sql("SELECT system.pause_failover()")
        assert cluster.value("SELECT failover_paused FROM system.node_status")
        # Nobody takes over while it is paused; the planned one works all the same.
        cluster.sql("SELECT system.failover('node2')", node="node2")
        cluster.sql("SELECT system.resume_failover()")
        go_on(load)
        assert load.last_node() == "node2"
        cluster.await_healthy()
    Checker(cluster, load).check()
    try:
        cluster.sql("SELECT system.failover('node2')")
    except psycopg2.Error as error:
        assert error.pgcode == "RX100", error
    else:
        raise AssertionError("a switchover to the primary was not refused")


def replace_a_dead_node(test, cluster):
    """node3 is gone for good; node4 takes its place. Then node3's name is used again by a new node."""
    if cluster.await_primary() == "node3":
        cluster.sql("SELECT system.failover('node1')", node="node1")
        cluster.await_healthy()
    statement = next(s for s in sql_of("replace-a-dead-node.md") if "remove_member" in s)
    with WriteLoad(cluster) as load:
        go_on(load)
        cluster.kill("node3")
        cluster.sql(statement)
        cluster.forget("node3")
        go_on(load)
        cluster.join("node4")
        cluster.await_healthy()
        counted = cluster.value("SELECT count(*) FROM system.replication_stats WHERE state = 'streaming' AND synchronous")
        assert counted == 2, counted
        go_on(load)
        cluster.join("node3")
        cluster.await_healthy()
        cluster.kill("node4")
        cluster.sql("SELECT system.remove_member('node4')")
        cluster.forget("node4")
        cluster.await_healthy()
    Checker(cluster, load).check()


def the_data_directory_is_lost(test, cluster):
    """The server does not start, and says so; the node is replaced under its own name."""
    node = cluster.standbys()[0]
    cluster.stop(node)
    shutil.rmtree(cluster.nodes[node].data)
    done = pgquorum("node", "start", "--data", cluster.nodes[node].data, check=False)
    assert done.returncode != 0, done
    cluster.sql("SELECT system.remove_member(%s)", (node,))
    cluster.nodes[node].data.mkdir()
    cluster.forget(node)
    cluster.join(node)
    cluster.await_healthy()


def lost_majority(test, cluster):
    """Two of three die; one of them comes back, and that is all that is needed."""
    with WriteLoad(cluster) as load:
        go_on(load)
        first, second = cluster.members()[:2]
        cluster.kill(first)
        cluster.kill(second)
        left = cluster.members()[2]
        wait_for(lambda: pgquorum("cluster", "status", "--data", cluster.nodes[left].data, check=False).returncode == 3,
                 "the status is not healthy", 30)
        cluster.start(first)
        go_on(load)
        cluster.start(second)
        cluster.await_healthy()
    Checker(cluster, load).check()


def expired_certificate(test, cluster):
    """A node whose certificate has expired gets a new one for its own key, signed by the authority that every member
    holds."""
    node = cluster.standbys()[0]
    pki = cluster.nodes[node].state / "pki"
    expired(pki)
    since = cluster.log_size(node)
    cluster.stop(node)
    cluster.start(node)
    cluster.await_log(node, "has expired", since)
    seen = run("openssl", "x509", "-in", pki / "node.crt", "-noout", "-subject", "-enddate").stdout
    assert "2021" in seen and node in seen, seen
    text = (RUNBOOKS / "expired-certificate.md").read_text()
    commands = re.search(r"^ *```\n( *mkdir new.*?)^ *```$", text, re.MULTILINE | re.DOTALL).group(1)
    commands += re.search(r"`(cat new/node.crt [^`]*)`", text).group(1)
    as_owner(cluster, "bash", "-euc", f"cd {pki}\n{commands}")
    as_owner(cluster, bindir() / "pg_ctl", "reload", "-D", cluster.nodes[node].data)
    cluster.await_healthy()


def as_owner(cluster, *command):
    if os.geteuid() == 0:
        command = ["setpriv", "--reuid", cluster.account, "--regid", cluster.account, "--init-groups", *command]
    return run(*command, cwd="/")


def disk_full(test, cluster):
    """What it tells to look at."""
    statements = sql_of("disk-full.md")
    assert len(statements) >= 2, statements
    for node in cluster.members():
        for statement in statements:
            if cluster.value("SELECT pg_is_in_recovery()", node=node):
                statement = statement.replace("pg_current_wal_lsn()", "pg_last_wal_replay_lsn()")
            assert cluster.sql(statement, node=node)


def what_to_watch(test, cluster):
    """The queries of docs/monitoring.md, on every node."""
    text = (RUNBOOKS.parent / "monitoring.md").read_text()
    queries = re.findall(r"`(SELECT [^`]*)`", text)
    assert len(queries) >= 10, queries
    for node in cluster.members():
        for query in queries:
            cluster.sql(query, node=node)
    assert cluster.value(queries[0]) == 1


main(planned_switchover, replace_a_dead_node, the_data_directory_is_lost, lost_majority, expired_certificate, disk_full,
     what_to_watch, shared=three_of_four)
