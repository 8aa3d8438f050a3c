#!/usr/bin/python3
"""Planned changes: a switchover, and what is refused."""
import psycopg2

from pgquorum_tap import main
from pgquorum_tap.scenarios import write_through


def three_nodes(test):
    return test.cluster()


def a_switchover_under_load(test, cluster):
    target = cluster.standbys()[0]
    # Asked of the target: the old primary ends its sessions, the asking one too.
    result = write_through(cluster, lambda _: cluster.sql("SELECT system.failover(%s)", (target,), node=target))
    assert result.new == target, (result.old, result.new, target)
    assert not result.problems, result.problems
    history = cluster.sql("SELECT kind, outcome, old_primary, new_primary FROM system.failover_history LIMIT 1")
    assert history[0][2:] == (result.old, target), history
    test.note(f"write outage {result.outage_ms:.0f} ms")


def what_is_not_safe_is_refused_without_downtime(test, cluster):
    standby = cluster.standbys()[0]

    def fault(_):
        for target, words in (("nobody", "no member"), (standby, "")):
            if target == standby:
                cluster.kill(standby)
            try:
                cluster.sql("SELECT system.failover(%s, '10 s')", (target,))
            except psycopg2.Error as error:
                assert words in str(error), error
            else:
                raise AssertionError(f"a switchover to {target} was not refused")
    result = write_through(cluster, fault, recover=lambda _: cluster.start(standby))
    assert result.new == result.old
    assert not result.problems, result.problems
    test.note(f"longest write stall {result.outage_ms:.0f} ms")


main(a_switchover_under_load, what_is_not_safe_is_refused_without_downtime, shared=three_nodes)
