#!/usr/bin/python3
"""Every node stopped and started once, the primary last, while clients write."""
from pgquorum_tap import main
from pgquorum_tap.scenarios import write_through


def a_rolling_restart(test):
    cluster = test.cluster()

    def fault(old):
        for node in [n for n in cluster.nodes if n != old] + [old]:
            cluster.stop(node)
            cluster.start(node)
            cluster.await_healthy()
    result = write_through(cluster, fault)
    assert not result.problems, result.problems
    test.note(f"longest write outage {result.outage_ms:.0f} ms")


main(a_rolling_restart)
