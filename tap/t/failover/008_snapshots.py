#!/usr/bin/python3
"""When a node takes a snapshot of the cluster's state, and that it starts from one."""
from pgquorum_tap import main
from pgquorum_tap.waiting import wait_for

OFF = {"pgquorum.snapshot_entries": 0, "pgquorum.snapshot_interval": 0}


def snapshots(node):
    return [path for path in (node.state / "raft").glob("snapshot-*") if path.suffix != ".partial"]


def change(cluster, times):
    node = next(iter(cluster.nodes))
    for priority in range(times):
        cluster.sql("SELECT system.set_priority(%s, %s)", (node, 1 + priority % 5))
    return cluster.nodes[node]


def none_when_both_limits_are_off(test):
    cluster = test.cluster(nodes=1, settings=OFF)
    node = change(cluster, 30)
    assert not snapshots(node)


def after_a_number_of_entries(test):
    cluster = test.cluster(nodes=1, settings=OFF | {"pgquorum.snapshot_entries": 20, "pgquorum.log_retention": 0})
    node = change(cluster, 30)
    first = wait_for(lambda: snapshots(node), "a snapshot after 20 entries")
    change(cluster, 30)
    wait_for(lambda: snapshots(node) and snapshots(node) != first, "a newer one in its place")
    before = cluster.sql("SELECT priority FROM system.cluster_members")
    cluster.kill(node.id)
    cluster.start(node.id)
    wait_for(lambda: cluster.sql("SELECT priority FROM system.cluster_members") == before, "the state as it was",
             errors=(Exception,))


def after_a_time(test):
    cluster = test.cluster(nodes=1, settings=OFF | {"pgquorum.snapshot_interval": 1})
    node = change(cluster, 1)
    wait_for(lambda: snapshots(node), "a snapshot after a second")


def entries_stay_for_those_who_were_away(test):
    cluster = test.cluster(settings=OFF | {"pgquorum.snapshot_entries": 20, "pgquorum.log_retention": 40})
    leader = next(node for node in cluster.nodes if cluster.value("SELECT role FROM system.raft_status", node=node) == "leader")
    away = next(node for node in cluster.standbys() if node != leader)

    def number(node, metric):
        return cluster.value("SELECT value FROM system.raft_metrics WHERE metric = %s", (metric,), node)

    def return_after(changes):
        cluster.stop(away)
        change(cluster, changes)
        cluster.start(away)
        cluster.await_healthy()

    change(cluster, 70)
    wait_for(lambda: number(leader, "first_index") == number(leader, "snapshot_index") - 40 + 1,
             "the log begins 40 entries before the end of the snapshot")
    sent = number(leader, "snapshots_started")
    return_after(5)
    assert (number(leader, "snapshots_started"), number(away, "snapshots_installed")) == (sent, 0)
    return_after(150)
    assert number(leader, "snapshots_started") > sent
    assert number(away, "snapshots_installed") > 0


main(none_when_both_limits_are_off, after_a_number_of_entries, after_a_time, entries_stay_for_those_who_were_away)
