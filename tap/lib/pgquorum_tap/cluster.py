"""A sandbox cluster under test: the pgquorum command does the work, this class asks it to and looks."""
import collections
import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess

import psycopg2

from .ports import free_ports
from .waiting import TimedOut, wait_for

Node = collections.namedtuple("Node", "id host port data state log namespace")

_numbers = itertools.count(1)

NOT_YET = (psycopg2.OperationalError, psycopg2.errors.UndefinedTable, psycopg2.InterfaceError)


class CommandFailed(AssertionError):
    """A command of the test ended with an exit code that it should not have."""


def bindir():
    """Programs of the temporary installation (scripts/temp-install)."""
    return pathlib.Path(os.environ["PGQUORUM_BINDIR"])


def run(*words, check=True, timeout=180, **options):
    """Runs a program; returns its CompletedProcess with text output."""
    if "input" not in options:
        options["stdin"] = subprocess.DEVNULL
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=timeout, check=False,
                          **options)
    if check and done.returncode != 0:
        raise CommandFailed(f"{' '.join(map(str, words))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def pgquorum(*words, **options):
    """The command line program."""
    return run(bindir() / "pgquorum", *words, **options)


def children(pid):
    """{process id: command line} of a process's children."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as listed:
        pids = [int(child) for child in listed.read().split()]
    found = {}
    for child in pids:
        try:
            with open(f"/proc/{child}/cmdline", encoding="utf-8", errors="replace") as command:
                found[child] = command.read().rstrip("\0 ")
        except OSError:
            pass  # it has ended
    return found


class Cluster:
    """`nodes` members. With a Network each lives in its own namespace. `supervise` restarts a dead server after
    100 ms. `settings` go to postgresql.conf of all nodes. `witness`: the last node is one."""

    def __init__(self, nodes=3, network=None, supervise=False, settings=None, directory=None, port=None, timeout=120,
                 witness=False):
        self.name = f"cluster{next(_numbers)}"
        self.directory = pathlib.Path(directory or f"/tmp/pgquorum-tap-{os.getpid()}-{self.name}")
        self.network = network
        self.size = nodes
        self._port = port
        self._supervise = supervise
        self._settings = settings or {}
        self._timeout = timeout
        self.nodes = {}
        self.witnesses = {f"node{nodes}"} if witness else set()
        self.account = None

    # ---- life --------------------------------------------------------------------------------------------------

    def up(self):
        port = self._port or free_ports(2 * self.size)
        words = ["sandbox", "up", "--dir", self.directory, "--nodes", self.size, "--port", port,
                 "--timeout", self._timeout]
        if self.network:
            words += ["--hosts", ",".join(self.network.addresses), "--namespaces", ",".join(self.network.namespaces)]
        if self._supervise:
            words.append("--supervise")
        if self.witnesses:
            words.append("--witness")
        for name, value in self._settings.items():
            words += ["--set", f"{name}={value}"]
        pgquorum(*words, timeout=self._timeout + 60)
        self.attach()
        return self

    def attach(self):
        """Reads the description of a sandbox that exists."""
        document = json.loads((self.directory / "sandbox.json").read_text())
        self.account = document["account"]
        self.nodes = {n["id"]: Node(n["id"], n["host"], n["port"], pathlib.Path(n["data"]), pathlib.Path(n["state"]),
                                    pathlib.Path(n["log"]), n["namespace"]) for n in document["nodes"]}
        return self

    def down(self):
        if (self.directory / "sandbox.json").exists():
            pgquorum("sandbox", "down", "--dir", self.directory)
        elif self.directory.exists():
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.down()

    # ---- connections -------------------------------------------------------------------------------------------

    def url(self, target="read-write", shuffle=False):
        """The ordinary multi-host string of an application."""
        nodes = [n for n in self.nodes.values() if n.id not in self.witnesses]
        if shuffle:
            random.shuffle(nodes)
        hosts = ",".join(f"{n.host}:{n.port}" for n in nodes)
        return f"postgresql://{self.account}@{hosts}/postgres?target_session_attrs={target}&connect_timeout=2"

    def node_url(self, node):
        n = self.nodes[node]
        return f"postgresql://{self.account}@{n.host}:{n.port}/postgres?connect_timeout=2"

    def connect(self, node=None):
        connection = psycopg2.connect(self.node_url(node) if node else self.url())
        connection.autocommit = True
        return connection

    def sql(self, query, parameters=None, node=None):
        """Rows of a query on a node, or on the primary."""
        connection = self.connect(node)
        try:
            with connection.cursor() as cursor:
                cursor.execute(query, parameters)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    def value(self, query, parameters=None, node=None):
        return self.sql(query, parameters, node)[0][0]

    def members(self):
        """Nodes that belong to the cluster now."""
        return list(self.nodes)

    def data_nodes(self):
        """Members that hold the data: all but the witnesses."""
        return [node for node in self.members() if node not in self.witnesses]

    # ---- what it looks like --------------------------------------------------------------------------------------

    def primary(self):
        """Node id of the server that takes writes now, or None."""
        try:
            connection = self.connect()
        except psycopg2.OperationalError:
            return None
        try:
            port, host = connection.info.port, connection.info.host
        finally:
            connection.close()
        return next(n.id for n in self.nodes.values() if (n.host, n.port) == (host, port))

    def await_primary(self, other_than=None, timeout=60):
        def found():
            primary = self.primary()
            return primary if primary != other_than else None
        return wait_for(found, f"a primary other than {other_than}", timeout)

    def health(self, node):
        """{node id: (role, status)} as `node` sees it."""
        rows = self.sql("SELECT node_id, role, status FROM system.cluster_health", node=node)
        return {name: (role, status) for name, role, status in rows}

    def await_healthy(self, timeout=90, seen_from=None):
        """Until the node (default: all, each for itself) says that every node is healthy, with one primary."""
        def healthy():
            for node in [seen_from] if seen_from else self.members():
                health = self.health(node)
                if set(health) != set(self.members()) or any(status != "healthy" for _, status in health.values()):
                    return None
                if [role for role, _ in health.values()].count("primary") != 1:
                    return None
            return True
        try:
            wait_for(healthy, "every node is healthy", timeout, NOT_YET)
        except TimedOut as late:
            raise TimedOut(f"{late}\n{self.complaints()}") from late

    def complaints(self):
        """What each node says about each, for people."""
        lines = []
        for node in self.members():
            try:
                rows = self.sql("SELECT node_id, role, status, reason FROM system.cluster_health", node=node)
                lines += [f"{node} sees " + " ".join(str(word) for word in row) for row in rows]
            except psycopg2.Error as error:
                lines.append(f"{node} answers {str(error).strip().splitlines()[0]}")
        return "\n".join(lines)

    def standbys(self):
        primary = self.await_primary()
        return [node for node in self.data_nodes() if node != primary]

    def await_caught_up(self, timeout=60):
        """Until every node has replayed what the primary has written by now."""
        lsn = self.value("SELECT pg_current_wal_lsn()")
        for node in self.data_nodes():
            wait_for(lambda n=node: self.value(
                "SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() >= %s::pg_lsn ELSE true END",
                (lsn,), n), f"{node} has replayed {lsn}", timeout, NOT_YET)

    def status(self):
        return json.loads(pgquorum("sandbox", "status", "--json", "--dir", self.directory, check=False).stdout)

    def runs(self, node):
        """It has processes, whatever they do."""
        return next(n["processes"] for n in self.status()["nodes"] if n["node_id"] == node) != "stopped"

    # ---- faults ------------------------------------------------------------------------------------------------

    def _verb(self, verb, node, *words):
        pgquorum("sandbox", verb, "--dir", self.directory, node, *words)

    def kill(self, node):
        self._verb("kill", node)

    def kill_postmaster(self, node):
        self._verb("kill", node, "--postmaster")

    def pause(self, node):
        self._verb("pause", node)

    def resume(self, node):
        self._verb("resume", node)

    def start(self, node):
        self._verb("start", node)

    def stop(self, node, mode="fast"):
        self._verb("stop", node, "--mode", mode)

    def postmaster(self, node):
        """Process id of the node's postmaster."""
        return int((self.nodes[node].data / "postmaster.pid").read_text().split()[0])

    def kill_backend(self, node):
        """kill -9 of a client backend that was made for it."""
        connection = self.connect(node)
        os.kill(connection.info.backend_pid, signal.SIGKILL)
        connection.close()

    def server_processes(self, node, title):
        """Process ids of the server's own processes whose title contains the text."""
        return [pid for pid, words in children(self.postmaster(node)).items() if title in words]

    def signal_processes(self, node, title, number):
        """Signals them, at least one."""
        found = self.server_processes(node, title)
        assert found, f"no process of {node} is a {title}"
        for pid in found:
            os.kill(pid, number)
        return found

    def write_without_standbys(self, node, statement):
        """A statement that is committed on this node alone: its walsenders are frozen before, so that nobody receives
        it, and stay so. What follows is the node's death."""
        self.signal_processes(node, "walsender", signal.SIGSTOP)
        self.sql(f"SET synchronous_commit = local; {statement}", node=node)

    # ---- logs --------------------------------------------------------------------------------------------------

    def log_size(self, node):
        """Where the node's log ends now: for log_since() and await_log()."""
        log = self.nodes[node].log
        return log.stat().st_size if log.exists() else 0

    def log_since(self, node, size=0):
        with open(self.nodes[node].log, "rb") as log:
            log.seek(size)
            return log.read().decode(errors="replace")

    def await_log(self, node, text, since=0, timeout=60):
        """Until the node's log says so after `since` (log_size)."""
        wait_for(lambda: text in self.log_since(node, since), f"the log of {node} says \"{text}\"", timeout)

    def log_tails(self, lines=40):
        tails = {}
        for node in self.nodes or ["node1"]:
            path = self.directory / node / "server.log"
            if path.exists():
                tails[node] = "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
        return tails

    def save_logs(self, target):
        for path in self.directory.glob("node*/*.log"):
            (target / path.parent.name).mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target / path.parent.name)
