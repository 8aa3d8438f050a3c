#!/usr/bin/python3
"""Wrong settings, and nodes that cannot reach each other: what is said, in the log and in SQL."""
import json

import psycopg2

from pgquorum_tap import main, wait_for
from pgquorum_tap.cluster import pgquorum


def three_nodes(test):
    return test.cluster()


def with_setting(cluster, node, setting, says, after_include=False, refused=False):
    """The node is restarted with a line more in postgresql.conf, before the line that includes pgquorum.conf or after
    it: its log `says` what is wrong. Then as before. Returns what its log said."""
    conf = cluster.nodes[node].data / "postgresql.conf"
    kept = conf.read_text()
    lines = kept.splitlines()
    include = next(i for i, line in enumerate(lines) if line.startswith("include_if_exists 'pgquorum.conf'"))
    lines.insert(len(lines) if after_include else include, setting)
    cluster.stop(node)
    conf.write_text("\n".join(lines) + "\n")
    since = cluster.log_size(node)
    cluster.start(node)
    try:
        cluster.await_log(node, says, since, 30)
        return cluster.log_since(node, since)
    finally:
        if refused:  # its log says so before it has ended
            wait_for(lambda: not cluster.runs(node), f"the end of {node}")
        else:
            cluster.stop(node, "immediate")
        conf.write_text(kept)
        cluster.start(node)
        cluster.await_healthy()


def settings_out_of_range(test, cluster):
    """The server refuses to start, as with any setting."""
    node = cluster.standbys()[0]
    with_setting(cluster, node, "pgquorum.election_timeout = 5",
                 'outside the valid range for parameter "pgquorum.election_timeout"', refused=True)
    for setting, says in (
            ("pgquorum.raft_heartbeat_interval = 501",
             "pgquorum.raft_heartbeat_interval (501 ms) must be at most half of pgquorum.election_timeout (1000 ms)"),
            ("pgquorum.election_timeout_max = 1000",
             "pgquorum.election_timeout_max (1000 ms) must be above pgquorum.election_timeout (1000 ms)")):
        with_setting(cluster, node, setting, says, refused=True)


def too_few_workers(test, cluster):
    """A member refuses to start; the number that is needed is named."""
    node = cluster.standbys()[0]
    said = with_setting(cluster, node, "max_worker_processes = 0", "max_worker_processes", refused=True)
    test.note(next(line for line in said.splitlines() if "max_worker_processes" in line))


def another_state_directory(test, cluster):
    """A member does not change it: closed, and the log names both."""
    node = cluster.standbys()[0]
    said = with_setting(cluster, node, "pgquorum.state_directory = '/nonexistent'", "this node is closed")
    assert '"/nonexistent"' in said and str(cluster.nodes[node].state) in said, said


def an_upstream_of_the_administrators_own(test, cluster):
    node = cluster.standbys()[0]
    said = with_setting(cluster, node, "primary_conninfo = 'host=192.0.2.1'", "this node is closed", after_include=True)
    assert "primary_conninfo" in said and "started streaming" not in said, said


def one_node_without_tls(test, cluster):
    """All members need the same value: the node is left alone, and says why."""
    said = with_setting(cluster, cluster.standbys()[0], "pgquorum.tls = off", "not reachable")
    test.note(next(line for line in said.splitlines() if "not reachable" in line))


def nobody_can_be_reached(test, cluster):
    """A node whose peers are all down: a standby that serves reads, refuses writes and verbs with a reason, and says
    so to programs."""
    alone = cluster.standbys()[0]
    others = [n for n in cluster.nodes if n != alone]
    for node in others:
        cluster.stop(node, "immediate")
    cluster.stop(alone, "immediate")
    since = cluster.log_size(alone)
    cluster.start(alone)
    wait_for(lambda: cluster.value("SELECT pg_is_in_recovery()", node=alone), f"{alone} answers", 30, (psycopg2.Error,))
    for other in others:
        cluster.await_log(alone, f"node {other}: nobody listens there", since)
    for statement, states in (("SELECT system.failover(NULL, '2 s')", ("RX000", "RX007", "08007")),
                              ("SELECT system.create_join_token()", ("RX000", "RX007", "08007")),
                              ("CREATE TABLE t ()", ("25006",))):
        try:
            cluster.sql(statement, node=alone)
        except psycopg2.Error as error:
            assert error.pgcode in states, (statement, error.pgcode, error)
        else:
            raise AssertionError(f"{statement} was done by a node alone")
    url = cluster.node_url(alone)
    done = pgquorum("cluster", "status", "--json", "--url", url, check=False)
    assert done.returncode == 3, done
    status = {n["node_id"]: n["status"] for n in json.loads(done.stdout)["nodes"]}
    assert all(status[other] != "healthy" for other in others), status
    for node in others:
        cluster.start(node)
    cluster.await_healthy()


main(settings_out_of_range, too_few_workers, another_state_directory, an_upstream_of_the_administrators_own,
     one_node_without_tls, nobody_can_be_reached, shared=three_nodes)
