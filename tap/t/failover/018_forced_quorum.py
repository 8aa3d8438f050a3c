#!/usr/bin/python3
"""11: two of three die for good and the third goes on without them, by order; the two come back and stay closed; they join
anew. The orders that are refused change nothing."""
import json
import time

import psycopg2

from pgquorum_tap import Checker, WriteLoad, main, wait_for
from pgquorum_tap.by_hand import ByHand
from pgquorum_tap.cluster import pgquorum


def three_by_hand(test):
    cluster = test.cluster(kind=ByHand, nodes=3)
    for node in ("node2", "node3"):
        cluster.join(node)
    cluster.await_healthy()
    return cluster


def order(cluster, node, *words, names=None):
    return pgquorum("cluster", "force-quorum", "--data", cluster.nodes[node].data, "--nodes", names or node, *words,
                    check=False)


def refused(cluster, node, code, said, *words, names=None):
    done = order(cluster, node, *words, names=names)
    assert done.returncode == code and said in done.stderr, done
    state = cluster.nodes[node].state
    assert not (state / "force_quorum").exists(), "the order was written all the same"


def what_is_not_asked_for_rightly_is_refused(test, cluster):
    left = cluster.standbys()[0]
    confirmed = "--confirm-data-loss"
    refused(cluster, left, 2, "only with --confirm-data-loss")
    refused(cluster, left, 1, "runs (process", confirmed)
    cluster.stop(left)
    refused(cluster, left, 2, "only with --confirm-data-loss")
    refused(cluster, left, 1, "there is no member \"node9\"", confirmed, names=f"{left},node9")
    other = next(n for n in cluster.members() if n != left)
    refused(cluster, left, 2, "not among the survivors", confirmed, names=other)
    # The other two are a majority by themselves.
    refused(cluster, left, 1, "a majority answers", confirmed)
    refused(cluster, left, 1, "nobody would be left out", confirmed, names=",".join(cluster.members()))
    with WriteLoad(cluster) as load:
        load.await_acknowledged(20)
        cluster.start(left)
        cluster.await_healthy()
    Checker(cluster, load).check()


def closed(cluster, node):
    """It says that it is, to whom it lets in, and why."""
    rows = cluster.sql("SELECT node_id, role, status, reason FROM system.cluster_health", node=node)
    return rows[0] if len(rows) == 1 and rows[0][2] == "fenced" and "join the cluster anew" in rows[0][3] else None


def takes_no_write(cluster, node):
    try:
        cluster.sql("CREATE TABLE written_by_the_lost()", node=node)
    except psycopg2.Error as error:
        return error.pgcode == "25006"
    return False


def the_survivor_of_two_deaths_goes_on_by_order(test, cluster):
    """All that the survivor had is there; what is acknowledged afterwards is never lost."""
    cluster.await_healthy()
    left, gone = cluster.standbys()
    lost = [cluster.await_primary(), gone]
    with WriteLoad(cluster) as load:
        load.await_acknowledged(100)
        held = acknowledged_rows(load)
        cluster.await_caught_up()
        for node in lost:
            cluster.kill(node)
    cluster.stop(left)
    done = order(cluster, left, "--confirm-data-loss", "--json")
    assert done.returncode == 0, done
    told = json.loads(done.stdout)
    assert told["survivors"] == [left] and sorted(told["shut_out"]) == sorted(lost), told
    refused_again = order(cluster, left, "--confirm-data-loss")
    assert refused_again.returncode == 1 and "waits already" in refused_again.stderr, refused_again
    since = cluster.log_size(left)
    cluster.start(left)
    cluster.now_members([left])
    cluster.await_healthy()
    assert not (cluster.nodes[left].state / "force_quorum").exists()
    assert "forced quorum: the Raft log goes on with" in cluster.log_since(left, since)
    kind, outcome = cluster.sql("SELECT kind, outcome FROM system.failover_history ORDER BY epoch DESC LIMIT 1")[0]
    assert (kind, outcome) == ("forced failover", "succeeded"), (kind, outcome)
    with WriteLoad(cluster, table="after_the_order") as later:
        later.await_acknowledged(50)
        come_back(cluster, lost, left)
        later.await_acknowledged(len(later.acknowledged()) + 50)
        # A second start finds no order, and knows from the log who was shut out.
        cluster.stop(left)
        cluster.start(left)
        later.await_acknowledged(len(later.acknowledged()) + 50)
        for node in lost:
            assert closed(cluster, node), f"{node} is open again"
            refused(cluster, node, 1, "runs (process", "--confirm-data-loss")
            cluster.stop(node)
            refused(cluster, node, 1, "belongs to the cluster no more", "--confirm-data-loss")
            anew(cluster, node)
        cluster.await_healthy()
    Checker(cluster, later).check()
    kept = set(cluster.sql(f"SELECT * FROM {load.table}"))
    assert held <= kept, f"{len(held - kept)} rows that the survivor had are gone"
    assert kept <= {(a.client, a.number) for a in load.attempts()}, "rows that nobody wrote"
    # One standby's word is enough for an acknowledgement: the last ones may have been the other's.
    lost_rows = acknowledged_rows(load) - kept
    test.note(f"{len(lost_rows)} of {len(load.acknowledged())} acknowledged rows were lost with the two")


def acknowledged_rows(load):
    return {(a.client, a.number) for a in load.attempts() if a.outcome == "acknowledged"}


def come_back(cluster, lost, left):
    """Together they are a majority of the old cluster. They hear the survivor, and close for good."""
    for node in lost:
        cluster.start(node)
    for node in lost:
        wait_for(lambda n=node: closed(cluster, n), f"{node} is closed", 60, (psycopg2.Error,))
        assert takes_no_write(cluster, node), f"{node} takes a write"
        assert (cluster.nodes[node].state / "shut_out").exists()
    assert cluster.primary() == left


def anew(cluster, node):
    """Its directories moved away, it joins under its old name and addresses."""
    stamp = int(time.monotonic() * 1000)
    for directory in (cluster.nodes[node].data, cluster.nodes[node].state):
        directory.rename(directory.with_name(f"{directory.name}.old{stamp}"))
    cluster.join(node)


main(what_is_not_asked_for_rightly_is_refused, the_survivor_of_two_deaths_goes_on_by_order, shared=three_by_hand)
