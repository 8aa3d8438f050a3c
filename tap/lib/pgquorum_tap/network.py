"""Nodes in network namespaces of their own, joined by a bridge; needs root.

A cut is silent, as a dead switch is: the sender keeps a permanent neighbour entry with a hardware address that
nobody has, so its packets leave and arrive nowhere. That needs neither iptables nor traffic control, and works in
one direction at a time. The test program itself sits on the bridge, as a client that is no node.
"""
import ctypes
import os
import subprocess
import threading

CLONE_NEWNET = 0x40000000
NOWHERE = "02:00:00:00:00:01"
CLIENT = "client"  # name of our own end in cuts

_libc = ctypes.CDLL(None, use_errno=True)


def _ip(*words, check=True):
    return subprocess.run(["ip", *map(str, words)], check=check, capture_output=True, text=True)


class Network:
    """Namespaces pgquorum-PID-node1 …, addresses in a /24 that the process id picks."""

    def __init__(self, nodes=3):
        pid = os.getpid()
        self.size = nodes
        self._prefix = f"10.{128 + (pid >> 8) % 127}.{pid & 255}"
        self._bridge = f"pq{pid}b"
        self._links = [f"pq{pid}v{i}" for i in range(1, nodes + 1)]
        self.namespaces = [f"pgquorum-{pid}-node{i}" for i in range(1, nodes + 1)]
        self.addresses = [f"{self._prefix}.{i}" for i in range(1, nodes + 1)]
        self.client_address = f"{self._prefix}.254"

    def up(self):
        _ip("link", "add", self._bridge, "type", "bridge")
        _ip("address", "add", f"{self.client_address}/24", "dev", self._bridge)
        _ip("link", "set", self._bridge, "up")
        for namespace, link, address in zip(self.namespaces, self._links, self.addresses):
            _ip("netns", "add", namespace)
            _ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", namespace)
            _ip("link", "set", link, "master", self._bridge, "up")
            _ip("-n", namespace, "address", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", namespace, "link", "set", "lo", "up")
            _ip("-n", namespace, "link", "set", "eth0", "up")
        return self

    def down(self):
        for namespace, link in zip(self.namespaces, self._links):
            _ip("link", "delete", link, check=False)
            _ip("netns", "delete", namespace, check=False)
        _ip("link", "delete", self._bridge, check=False)

    def __enter__(self):
        return self.up()

    def __exit__(self, *_):
        self.down()

    # ---- cuts --------------------------------------------------------------------------------------------------

    def address(self, who):
        return self.client_address if who == CLIENT else self.addresses[int(who.removeprefix("node")) - 1]

    def _place(self, who):
        """Arguments of ip(8) that reach the stack of `who`, and its interface."""
        if who == CLIENT:
            return [], self._bridge
        return ["-n", self.namespaces[int(who.removeprefix("node")) - 1]], "eth0"

    def cut_one_way(self, sender, receiver):
        """Packets from `sender` to `receiver` disappear; the other direction works."""
        place, device = self._place(sender)
        _ip(*place, "neighbour", "replace", self.address(receiver), "lladdr", NOWHERE, "nud", "permanent",
            "dev", device)

    def heal_one_way(self, sender, receiver):
        place, device = self._place(sender)
        _ip(*place, "neighbour", "delete", self.address(receiver), "dev", device, check=False)

    def partition(self, a, b):
        self.cut_one_way(a, b)
        self.cut_one_way(b, a)

    def heal(self, a, b):
        self.heal_one_way(a, b)
        self.heal_one_way(b, a)

    def nodes(self):
        return [f"node{i}" for i in range(1, self.size + 1)]

    def isolate(self, node, from_client=False):
        """The node loses all other nodes, and our own clients when asked to."""
        for other in self.nodes() + ([CLIENT] if from_client else []):
            if other != node:
                self.partition(node, other)

    def heal_all(self):
        everybody = self.nodes() + [CLIENT]
        for a in everybody:
            for b in everybody:
                if a != b:
                    self.heal_one_way(a, b)

    # ---- clients on a node's side --------------------------------------------------------------------------------

    def enter(self, node):
        """Moves the calling thread, for good, into the node's namespace: its new sockets belong there."""
        assert threading.current_thread() is not threading.main_thread()
        with open(f"/run/netns/{self.namespaces[int(node.removeprefix('node')) - 1]}", "rb") as namespace:
            if _libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
