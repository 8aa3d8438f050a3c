#!/usr/bin/python3
"""Nodes come and go while clients write, and nodes die at every step of it."""
import threading

import psycopg2

from pgquorum_tap import Checker, WriteLoad, main, wait_for
from pgquorum_tap.by_hand import ByHand


def await_voters(cluster, count):
    """Until so many nodes count for commits and for decisions, in the eyes of the primary."""
    wait_for(lambda: cluster.sql("SELECT count(*) FILTER (WHERE data_voter), count(*) FILTER (WHERE raft_voter) "
                                 "FROM system.cluster_members") == [(count, count)],
             f"{count} voters", 90, (psycopg2.Error,))


def more(load, count=50):
    load.await_acknowledged(len(load.acknowledged()) + count, timeout=90)


def removed(cluster, node):
    """Asked of the primary, again when it or the Raft leader changes in that moment."""
    def gone():
        if (node,) not in cluster.sql("SELECT node_id FROM system.cluster_members"):
            return True
        cluster.sql("SELECT system.remove_member(%s)", (node,))
        return False
    wait_for(gone, f"{node} is removed", 90, (psycopg2.Error,))
    cluster.forget(node)


def from_one_node_to_three_and_back(test):
    """15: 1 → 2 → 3 → 2 → 1 under load, somebody dies in between, and no acknowledged row is lost."""
    cluster = test.cluster(kind=ByHand)
    with WriteLoad(cluster) as load:
        more(load)
        cluster.join("node2")
        await_voters(cluster, 2)
        # Of two, none decides alone: nothing is written until it is back.
        cluster.kill("node2")
        cluster.start("node2")
        more(load)
        cluster.join("node3", contact="node2")
        await_voters(cluster, 3)
        old = cluster.await_primary()
        cluster.kill(old)
        cluster.await_primary(other_than=old)
        more(load)
        cluster.start(old)
        cluster.await_healthy()
        # A dead one is removed by the two others; of two, both have to agree.
        gone = cluster.standbys()[0]
        cluster.kill(gone)
        removed(cluster, gone)
        await_voters(cluster, 2)
        more(load)
        removed(cluster, cluster.standbys()[0])
        await_voters(cluster, 1)
        more(load)
        # The last one alone: it dies and comes back.
        last = cluster.members()[0]
        cluster.kill(last)
        cluster.start(last)
        more(load)
    Checker(cluster, load).check()
    assert cluster.members() == [last] and list(cluster.health(last)) == [last]


def a_member_leaves_and_another_joins_during_a_failover(test):
    """16: the primary dies while a node is being removed, and again while another joins."""
    cluster = test.cluster(kind=ByHand, nodes=4)
    for node in ("node2", "node3"):
        cluster.join(node)
    await_voters(cluster, 3)
    cluster.await_healthy()
    with WriteLoad(cluster) as load:
        more(load)
        old = cluster.await_primary()
        # It joins while there is no primary yet, or has just been a new one.
        started = threading.Event()
        problems = []

        def join():
            contact = cluster.standbys()[0]
            started.set()

            def joined():
                try:
                    cluster.join("node4", contact=contact)
                    return True
                except AssertionError as error:  # it says why: no primary to copy from
                    problems.append(str(error))
                    name = next((m for m in cluster.sql("SELECT node_id FROM system.cluster_members", node=contact)
                                 if m == ("node4",)), None)
                    if name:
                        cluster.sql("SELECT system.remove_member('node4')", node=contact)
                    return False
            wait_for(joined, "node4 has joined", 90, (psycopg2.Error,))
        joining = threading.Thread(target=join)
        joining.start()
        started.wait()
        cluster.kill(old)
        joining.join(120)
        assert not joining.is_alive() and "node4" in cluster.members(), problems
        more(load)
        for problem in problems:
            test.note(problem.splitlines()[-1])
        # The dead one is removed while its successor dies too: three of four are left, then two of three.
        second = cluster.await_primary(other_than=old)
        removing = threading.Thread(target=lambda: try_to_remove(cluster, old, second))
        removing.start()
        cluster.kill(second)
        removing.join(60)
        cluster.start(second)
        members = wait_for(lambda: [m for m, in cluster.sql("SELECT node_id FROM system.cluster_members")],
                           "the members", 90, (psycopg2.OperationalError,))
        if old in members:
            removed(cluster, old)
        else:
            cluster.forget(old)
        more(load)
        cluster.await_healthy()
        await_voters(cluster, 3)
    Checker(cluster, load).check()


def try_to_remove(cluster, node, asked):
    try:
        cluster.sql("SELECT system.remove_member(%s)", (node,), node=asked)
    except psycopg2.Error:
        pass  # the node that was asked has died: whether it was done shows later


main(from_one_node_to_three_and_back, a_member_leaves_and_another_joins_during_a_failover)
