#!/usr/bin/python3
"""SIGSTOP of the primary's node: the others go on, and what wakes up again does no harm."""
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


main(a_frozen_primary_wakes_after_the_takeover, a_frozen_standby_stops_nobody, shared=three_nodes)
