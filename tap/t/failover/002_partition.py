#!/usr/bin/python3
"""Nodes in network namespaces: the primary cut off, silent, or cut in one direction only."""
from pgquorum_tap import main
from pgquorum_tap.scenarios import write_through


def three_nodes(test):
    network = test.network(3)
    return test.cluster(network=network), network


def inside(network):
    """Adds a client on the primary's side of the cut: it must get no row acknowledged that is lost."""
    def prepare(load, old):
        load.add_client("inside", node=old, prepare=lambda: network.enter(old))
    return prepare


def the_primary_is_cut_off_from_all_nodes(test, made):
    cluster, network = made
    result = write_through(cluster, network.isolate, prepare=inside(network),
                           recover=lambda _: network.heal_all())
    assert result.new != result.old
    assert not result.problems, result.problems
    assert result.overlap_ms == 0, result.overlap_ms
    test.note(f"write outage {result.outage_ms:.0f} ms")


def the_primary_is_silent(test, made):
    cluster, network = made
    result = write_through(cluster, lambda old: network.isolate(old, from_client=True),
                           recover=lambda _: network.heal_all())
    assert result.new != result.old
    assert not result.problems, result.problems
    test.note(f"write outage {result.outage_ms:.0f} ms")


def one_standby_is_cut_off(test, made):
    cluster, network = made
    standby = cluster.standbys()[0]
    result = write_through(cluster, lambda old: network.partition(old, standby),
                           recover=lambda _: network.heal_all())
    assert not result.problems, result.problems
    assert result.overlap_ms == 0, result.overlap_ms
    test.note(f"write stall {result.outage_ms:.0f} ms, primary {result.old} -> {result.new}")


def the_primary_hears_and_is_not_heard(test, made):
    cluster, network = made

    def fault(old):
        for other in network.nodes():
            if other != old:
                network.cut_one_way(old, other)
    result = write_through(cluster, fault, recover=lambda _: network.heal_all())
    assert not result.problems, result.problems
    assert result.overlap_ms == 0, result.overlap_ms
    test.note(f"write outage {result.outage_ms:.0f} ms, primary {result.old} -> {result.new}")


main(the_primary_is_cut_off_from_all_nodes, the_primary_is_silent, one_standby_is_cut_off,
     the_primary_hears_and_is_not_heard, shared=three_nodes)
