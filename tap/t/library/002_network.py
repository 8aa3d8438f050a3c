#!/usr/bin/python3
"""Network namespaces and cuts between them."""
import socket
import threading

from pgquorum_tap import main


def within(network, place, function):
    """Runs the function with the sockets of a node, or with ours; returns what it returns."""
    if place == "client":
        return function()
    results = []

    def enter_and_run():
        network.enter(place)
        results.append(function())
    thread = threading.Thread(target=enter_and_run)
    thread.start()
    thread.join()
    return results[0]


def reaches(network, sender, receiver):
    """A datagram from `sender` arrives at `receiver`."""
    receiving = within(network, receiver, lambda: socket.socket(type=socket.SOCK_DGRAM))
    sending = within(network, sender, lambda: socket.socket(type=socket.SOCK_DGRAM))
    with receiving, sending:
        receiving.bind(("", 0))
        receiving.settimeout(0.3)
        for _ in range(3):  # the first may be lost while addresses are resolved
            sending.sendto(b"?", (network.address(receiver), receiving.getsockname()[1]))
            try:
                return receiving.recv(1) == b"?"
            except TimeoutError:
                pass
        return False


def a_cut_is_silent_and_heals(test):
    network = test.network(3)
    assert reaches(network, "node1", "node2") and reaches(network, "client", "node1")
    network.partition("node1", "node2")
    assert not reaches(network, "node1", "node2") and not reaches(network, "node2", "node1")
    assert reaches(network, "node1", "node3") and reaches(network, "client", "node2")
    network.heal("node1", "node2")
    assert reaches(network, "node1", "node2")


def an_isolated_node_reaches_nobody(test):
    network = test.network(3)
    network.isolate("node1", from_client=True)
    assert not any(reaches(network, "node1", other) for other in ("node2", "node3", "client"))
    assert reaches(network, "node2", "node3") and reaches(network, "client", "node2")
    network.heal_all()
    assert reaches(network, "client", "node1")


def a_cut_can_have_one_direction(test):
    network = test.network(2)
    network.cut_one_way("node1", "node2")
    assert not reaches(network, "node1", "node2")
    assert reaches(network, "node2", "node1")


main(a_cut_is_silent_and_heals, an_isolated_node_reaches_nobody, a_cut_can_have_one_direction)
