#!/usr/bin/python3
"""More cuts than the plain ones: an ex-primary that restarts alone, one way, and majorities that differ."""
import psycopg2

from pgquorum_tap import main, wait_for
from pgquorum_tap.scenarios import write_through


def three_nodes(test):
    network = test.network(3)
    return test.cluster(network=network), network


def an_ex_primary_that_restarts_alone_stays_a_standby(test, made):
    """38, S5: it knows of no later epoch, is the primary of the last rule that it knows, and asks nobody."""
    cluster, network = made

    def fault(old):
        network.isolate(old)
        cluster.kill(old)

    def recover(old):
        since = cluster.log_size(old)
        cluster.start(old)
        # The test program sits on the bridge: it still reaches the node.
        wait_for(lambda: cluster.value("SELECT pg_is_in_recovery()", node=old), f"{old} answers", 30,
                 (psycopg2.Error,))
        # It asks to resume, which only a majority can allow.
        cluster.await_log(old, "-> resuming", since)
        assert cluster.value("SELECT pg_is_in_recovery() AND NOT gate_open FROM system.write_gate", node=old)
        assert "promot" not in cluster.log_since(old, since), "it promoted itself"
        network.heal_all()
    result = write_through(cluster, fault, recover=recover)
    assert result.new != result.old
    assert not result.problems, result.problems
    assert result.overlap_ms == 0


def three_nodes_that_see_three_majorities(test, made):
    """5, 6: each node loses one direction to its neighbour: all three still reach somebody, nobody the same."""
    cluster, network = made

    def fault(_):
        nodes = network.nodes()
        for a, b in zip(nodes, nodes[1:] + nodes[:1]):
            network.cut_one_way(a, b)
        # TCP needs both directions: no connection is left, and none may acknowledge. Two are mended.
        network.heal_one_way(nodes[0], nodes[1])
    result = write_through(cluster, fault, recover=lambda _: network.heal_all())
    assert not result.problems, result.problems
    assert result.overlap_ms == 0, result.overlap_ms
    test.note(f"write outage {result.outage_ms:.0f} ms, primary {result.old} -> {result.new}")


def the_candidate_is_cut_off_and_the_other_voter_is_not(test, made):
    """7: the most advanced standby is cut off from the other one at the moment at which the primary dies; then it is back."""
    cluster, network = made

    def fault(old):
        first, second = [n for n in cluster.nodes if n != old]
        network.partition(first, second)
        cluster.kill(old)
        cluster.start(old)
        # Its old life is over; with it there is a majority on both sides of the cut, and it is the same node.
    result = write_through(cluster, fault, recover=lambda _: network.heal_all())
    assert not result.problems, result.problems
    test.note(f"write outage {result.outage_ms:.0f} ms, primary {result.old} -> {result.new}")


main(an_ex_primary_that_restarts_alone_stays_a_standby, three_nodes_that_see_three_majorities,
     the_candidate_is_cut_off_and_the_other_voter_is_not, shared=three_nodes)
