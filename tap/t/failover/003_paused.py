#!/usr/bin/python3
"""SIGSTOP of a node or of its worker: the others go on, and what wakes up again does no harm."""
import signal

from pgquorum_tap import main
from pgquorum_tap.scenarios import write_through


def three_nodes(test):
    return test.cluster()


def a_frozen_primary_wakes_after_the_takeover(test, cluster):
    result = write_through(cluster, cluster.pause, recover=cluster.resume)
    assert result.new != result.old
    assert not result.problems, result.problems
    assert result.overlap_ms == 0, result.overlap_ms
    assert cluster.health(result.new)[result.old] == ("standby", "healthy")
    test.note(f"write outage {result.outage_ms:.0f} ms")


def a_frozen_standby_stops_nobody(test, cluster):
    standby = cluster.standbys()[0]
    result = write_through(cluster, lambda _: cluster.pause(standby), recover=lambda _: cluster.resume(standby))
    assert result.new == result.old
    assert not result.problems, result.problems
    test.note(f"write stall {result.outage_ms:.0f} ms")


def the_leaders_worker_is_frozen(test, cluster):
    """8: its primary may commit until the lease ends, and is replaced. A request that was on its way to the frozen leader
    is answered by its successor, and carried out once."""
    old = cluster.await_primary()
    leader = cluster.value("SELECT leader FROM system.raft_status", node=old)
    asked = next(node for node in cluster.nodes if node not in (old, leader))

    def fault(_):
        cluster.signal_processes(leader, "pgquorum consensus", signal.SIGSTOP)
        token = cluster.value("SELECT system.create_join_token()", node=asked)
        assert token, "no token"
    result = write_through(cluster, fault, recover=lambda _: cluster.signal_processes(leader, "pgquorum consensus",
                                                                                      signal.SIGCONT))
    assert not result.problems, result.problems
    assert (result.new != result.old) == (leader == old), (result.old, result.new, leader)


main(a_frozen_primary_wakes_after_the_takeover, a_frozen_standby_stops_nobody, the_leaders_worker_is_frozen,
     shared=three_nodes)
