#!/usr/bin/python3
"""kill -9 of every node at the same time: every acknowledged row is there afterwards."""
from pgquorum_tap import main
from pgquorum_tap.scenarios import write_through


def everybody_at_once(test):
    cluster = test.cluster()

    def fault(_):
        for node in cluster.nodes:
            cluster.kill(node)
        for node in cluster.nodes:
            cluster.start(node)
    result = write_through(cluster, fault)
    assert not result.problems, result.problems


main(everybody_at_once)
