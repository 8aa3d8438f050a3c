#!/usr/bin/python3
"""kill -9 of the primary's node, postmaster and backend, and of a standby, under load."""
from pgquorum_tap import main
from pgquorum_tap.scenarios import write_through


def supervised(test):
    return test.cluster(supervise=True)


def the_whole_node(test, cluster):
    result = write_through(cluster, cluster.kill, recover=cluster.start)
    assert result.new != result.old
    assert not result.problems, result.problems
    assert cluster.health(result.new)[result.old] == ("standby", "healthy")
    test.note(f"write outage {result.outage_ms:.0f} ms")


def the_postmaster(test, cluster):
    result = write_through(cluster, cluster.kill_postmaster)
    assert not result.problems, result.problems
    test.note(f"write outage {result.outage_ms:.0f} ms, primary {result.old} -> {result.new}")


def a_backend(test, cluster):
    """The server restarts itself; no second primary, nothing lost."""
    for _ in range(3):
        result = write_through(cluster, cluster.kill_backend)
        assert result.new == result.old, (result.old, result.new)
        assert not result.problems, result.problems
        test.note(f"write outage {result.outage_ms:.0f} ms")


def a_standby(test, cluster):
    standby = cluster.standbys()[0]
    result = write_through(cluster, lambda _: cluster.kill(standby), recover=lambda _: cluster.start(standby))
    assert result.new == result.old
    assert not result.problems, result.problems
    test.note(f"write stall {result.outage_ms:.0f} ms")


main(the_whole_node, the_postmaster, a_backend, a_standby, shared=supervised)
