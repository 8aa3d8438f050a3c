#!/usr/bin/python3
"""system.raft_metrics, raft_histograms, raft_histogram_buckets and raft_peers follow what happens."""
import signal
import threading

import psycopg2

from pgquorum_tap import main
from pgquorum_tap.waiting import wait_for


def three_nodes(test):
    return test.cluster(settings={"pgquorum.snapshot_entries": 20, "pgquorum.election_timeout": "1500ms",
                                  "pgquorum.election_timeout_max": "2s", "pgquorum.raft_heartbeat_interval": "250ms",
                                  "pgquorum.max_entries_per_append": 1})


def metrics(cluster, node):
    return dict(cluster.sql("SELECT metric, value FROM system.raft_metrics", node=node))


def histograms(cluster, node):
    """{name: (count, p50, max)}"""
    rows = cluster.sql("SELECT histogram, count, p50, max FROM system.raft_histograms", node=node)
    return {row[0]: row[1:] for row in rows}


def leader(cluster):
    def found():
        for node in cluster.nodes:
            if cluster.value("SELECT role FROM system.raft_status", node=node) == "leader":
                return node
        return None
    return wait_for(found, "a Raft leader", errors=(psycopg2.Error, IndexError))


def change(cluster, times):
    for priority in range(times):
        cluster.sql("SELECT system.set_priority('node1', %s)", (50 + priority % 5,))


def what_the_core_goes_by(_, cluster):
    """Not failover's heartbeat, which has a setting of the cluster's own."""
    for node in cluster.nodes:
        row = cluster.sql("""SELECT election_timeout_ms, election_timeout_max_ms, heartbeat_interval_ms,
                             max_entries_per_append FROM system.raft_status""", node=node)
        assert row == [(1500, 2000, 250, 1)], row
    # Each view reads what was published last when it is asked.
    wait_for(lambda: cluster.value("""SELECT s.term = max(value) FILTER (WHERE metric = 'term')
                                      AND s.log_bytes = max(value) FILTER (WHERE metric = 'log_bytes')
                                      AND s.snapshot_index = max(value) FILTER (WHERE metric = 'snapshot_index')
                                      FROM system.raft_status s, system.raft_metrics
                                      GROUP BY s.term, s.log_bytes, s.snapshot_index"""), "the views show the same")


def numbers_grow_with_the_work(test, cluster):
    primary, first = cluster.await_primary(), leader(cluster)
    follower = next(node for node in cluster.nodes if node != first)
    before = {node: metrics(cluster, node) for node in cluster.nodes}
    measured = histograms(cluster, primary)
    change(cluster, 30)

    def grown(node, name, by):
        wait_for(lambda: metrics(cluster, node)[name] >= before[node][name] + by, f"{name} of {node} has grown by {by}")

    for name in ("proposals_accepted", "commit_index", "appends_sent", "entries_sent"):
        grown(first, name, 30)
    for name in ("applied_index", "stable_index", "last_index", "log_writes", "log_syncs"):
        grown(follower, name, 1)
    grown(follower, "log_bytes_written", 30 * 32)
    grown(follower, "snapshots_taken", 1)
    wait_for(lambda: histograms(cluster, primary)["commit"][0] >= measured["commit"][0] + 30, "30 commits were measured")
    for name in ("commit", "sync", "group", "snapshot"):
        count, p50, most = histograms(cluster, primary)[name]
        assert count > 0 and 0 < p50 <= most, (name, count, p50, most)
    assert metrics(cluster, first)["is_leader"] == 1
    assert metrics(cluster, follower)["is_leader"] == 0


def buckets_add_up(_, cluster):
    node = cluster.await_primary()

    def consistent():
        rows = cluster.sql("""SELECT b.less_than, b.count, h.count FROM system.raft_histograms h
                              JOIN system.raft_histogram_buckets b USING (histogram) WHERE histogram = 'sync'
                              ORDER BY less_than NULLS LAST""", node=node)
        counts = [row[1] for row in rows]
        assert counts == sorted(counts) and rows[-1][0] is None
        assert [row[0] for row in rows[:-1]] == [2 ** i for i in range(len(rows) - 1)]
        return counts[-1] == counts[-2] == rows[0][2] > 0
    wait_for(consistent, "the last bucket holds every value")


def a_silent_follower(_, cluster):
    first = leader(cluster)
    assert cluster.value("SELECT count(*) FROM system.raft_peers", node=first) == 2
    silent = next(node for node in cluster.standbys() if node != first)
    assert cluster.value("SELECT count(*) FROM system.raft_peers", node=silent) == 0

    def peer():
        return cluster.sql("SELECT active, state, match_index, next_index FROM system.raft_peers WHERE node_id = %s",
                           (silent,), first)[0]
    wait_for(lambda: peer()[:2] == (True, "replicate"), "the follower is heard")
    cluster.pause(silent)
    try:
        wait_for(lambda: not peer()[0], "the follower is known to be silent")
        matched = peer()[2]
        change(cluster, 10)
        wait_for(lambda: metrics(cluster, first)["commit_index"] >= matched + 10, "the others go on")
        assert peer()[2] == matched
    finally:
        cluster.resume(silent)
    wait_for(lambda: peer()[0] and peer()[2] >= matched + 10 and peer()[3] == peer()[2] + 1, "it has caught up")
    sent = metrics(cluster, first)
    assert sent["entries_sent"] <= sent["appends_sent"], sent  # pgquorum.max_entries_per_append
    cluster.await_healthy()


def what_waits_without_a_majority(_, cluster):
    first, others = leader(cluster), []
    before = metrics(cluster, first)
    others = [node for node in cluster.nodes if node != first]
    for node in others:
        cluster.pause(node)

    def propose():
        try:
            cluster.sql("SELECT system.set_priority('node1', 60)", node=first)
        except psycopg2.Error:
            pass  # its outcome is open
    asking = threading.Thread(target=propose)
    asking.start()
    try:
        wait_for(lambda: metrics(cluster, first)["waiting_proposals"] > 0, "the proposal waits")
        wait_for(lambda: metrics(cluster, first)["stepped_down_quorum"] > before["stepped_down_quorum"],
                 "the leader gives up")
        assert metrics(cluster, first)["is_leader"] == 0
    finally:
        for node in others:
            cluster.resume(node)
        asking.join()
    cluster.await_healthy()
    wait_for(lambda: metrics(cluster, first)["waiting_proposals"] == 0, "nothing waits any more")


def what_nobody_measures_is_null(_, cluster):
    node = cluster.standbys()[0]
    assert None not in metrics(cluster, node).values()
    cluster.signal_processes(node, "pgquorum consensus", signal.SIGSTOP)
    try:
        wait_for(lambda: set(metrics(cluster, node).values()) == {None}, "no number of a worker that is frozen")
        assert set(histograms(cluster, node).values()) == {(None, None, None)}
        assert cluster.value("SELECT count(*) FROM system.raft_histogram_buckets", node=node) == 0
    finally:
        cluster.signal_processes(node, "pgquorum consensus", signal.SIGCONT)
    wait_for(lambda: None not in metrics(cluster, node).values(), "the numbers again")
    cluster.await_healthy()


main(what_the_core_goes_by, numbers_grow_with_the_work, buckets_add_up, a_silent_follower, what_waits_without_a_majority,
     what_nobody_measures_is_null, shared=three_nodes)
