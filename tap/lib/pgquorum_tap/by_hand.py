"""A cluster made with `node init` and `cluster join`, as an administrator makes it: nodes come and go."""
import ctypes
import os
import pathlib
import shutil
import signal

from .cluster import Cluster, Node, children, pgquorum, run
from .ports import free_ports

PR_SET_CHILD_SUBREAPER = 36


def _descendants(pid):
    found = []
    try:
        for child in children(pid):
            found += [child] + _descendants(child)
    except OSError:
        pass  # it has ended
    return found


class ByHand(Cluster):
    """`nodes` is how many there may be at a time. All their addresses are known, to clients too, from the start; only
    members() exist."""

    def __init__(self, nodes=3, **arguments):
        super().__init__(nodes=nodes, **arguments)
        self._members = []
        self._on_down = []
        # The servers' parent is this process when pg_ctl has ended: whoever is killed must be reaped.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def members(self):
        return list(self._members)

    def prepare(self):
        """Places for the nodes, and nothing in them."""
        self.account = "postgres" if os.geteuid() == 0 else os.environ["PGQUORUM_OWNER"]
        self.directory.mkdir(mode=0o755)
        self._port = self._port or free_ports(2 * self.size)
        for i in range(self.size):
            self._place(f"node{i + 1}", i)

    def now_members(self, names):
        """Somebody else has made them."""
        self._members = list(names)

    def up(self):
        self.prepare()
        n = self.nodes["node1"]
        words = ["node", "init", "--node-id", n.id, "--cluster", "byhand", "--data", n.data, *self._addresses(n),
                 "--hba", "local all all trust", "--hba", "host all all samenet trust"]
        for name, value in self._settings.items():
            words += ["--set", f"{name}={value}"]
        pgquorum(*words)
        self._members = [n.id]
        self.start(n.id)
        self.await_healthy()
        return self

    def _place(self, name, index):
        home = self.directory / name
        self.nodes[name] = Node(name, "127.0.0.1", self._port + index, home / "data", home / "data.pgquorum",
                                home / "server.log", "")
        home.mkdir(mode=0o755, exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(home, self.account)

    def raft_address(self, node):
        return f"{node.host}:{node.port + self.size}"

    def _addresses(self, node):
        return ["--listen", f"{node.host}:{node.port}", "--raft", self.raft_address(node), "--socket-directory", ""]

    def join(self, node, contact=None, name=None, witness=False):
        """Makes the node a member through another one, and starts it. `name`: what it is called, when not as its
        place."""
        contact = self.nodes[contact or self._members[0]]
        token = pgquorum("cluster", "token", "--data", contact.data).stdout.strip()
        n = self.nodes[node]
        pgquorum("cluster", "join", "--token", token, "--node-id", name or node, "--data", n.data,
                 "--cluster-address", self.raft_address(contact), *self._addresses(n),
                 *(["--witness", "--hba", "local all all trust", "--hba", "host all all samenet trust"]
                   if witness else []))
        self.witnesses |= {node} if witness else set()
        self._members.append(node)
        self.start(node)

    def forget(self, node):
        """It was removed from the cluster: its directories go."""
        if (self.nodes[node].data / "postmaster.pid").exists():
            self.kill(node)
        self._members.remove(node)
        self.witnesses.discard(node)
        shutil.rmtree(self.nodes[node].data)
        shutil.rmtree(self.nodes[node].state)

    def on_down(self, function, *arguments):
        """Called when the servers have ended and before the directories go."""
        self._on_down.append((function, arguments))

    def start(self, node):
        pgquorum("node", "start", "--data", self.nodes[node].data, "--log", self.nodes[node].log)

    def stop(self, node, mode="fast"):
        pgquorum("node", "stop", "--data", self.nodes[node].data, "--mode", mode)

    def kill(self, node):
        postmaster = self.postmaster(node)
        victims = [postmaster] + _descendants(postmaster)
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for pid in victims:
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                pass  # reaped by its own parent

    def down(self):
        for node in self.nodes:
            try:
                self.kill(node)
            except (OSError, ValueError):
                pass  # no server
        for function, arguments in self._on_down:
            function(*arguments)
        run("rm", "-rf", pathlib.Path(self.directory))
