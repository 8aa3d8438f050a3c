"""Plain PostgreSQL with streaming standbys and nothing of pgquorum: what benchmarks compare with, and what the
library's own tests need no cluster for."""
import os
import pwd
import socket

from .cluster import Cluster, Node, bindir, run
from .ports import free_ports
from .waiting import wait_for

CONF = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
cluster_name = '{name}'
max_wal_senders = 20
hot_standby = on
"""


class StockCluster(Cluster):
    """The first node is the primary and stays it; `synchronous` is its synchronous_standby_names, `conninfo` what its
    standbys say beside their name when they connect."""

    def __init__(self, nodes=3, synchronous="", conninfo="", **arguments):
        super().__init__(nodes=nodes, **arguments)
        self._synchronous = synchronous
        self._conninfo = conninfo

    def _run(self, *words, **options):
        if os.geteuid() == 0:
            words = ("setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups", *words)
        return run(*words, cwd="/", **options)

    def up(self):
        port = self._port or free_ports(self.size)
        self.account = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self.directory.mkdir(mode=0o755)
        if os.geteuid() == 0:
            os.chown(self.directory, pwd.getpwnam("postgres").pw_uid, -1)
        for i in range(1, self.size + 1):
            name = f"node{i}"
            home = self.directory / name
            node = Node(name, "127.0.0.1", port + i - 1, home / "data", None, home / "server.log", "")
            self.nodes[name] = node
            self._run("mkdir", home)
            if i == 1:
                self._run(bindir() / "initdb", "-D", node.data, "-A", "trust", "-k", "-E", "UTF8", "--no-sync")
            else:
                first = self.nodes["node1"]
                self._run(bindir() / "pg_basebackup", "-D", node.data, "-h", first.host, "-p", first.port,
                          "-R", "-c", "fast", "-X", "stream", "--no-sync", "-d", f"application_name={name} {self._conninfo}")
            self._configure(node)
            self.start(name)
        wait_for(lambda: self.value("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'")
                 == self.size - 1, "all standbys stream")
        if self._synchronous:
            self.sql("ALTER SYSTEM SET synchronous_standby_names = '%s'" % self._synchronous)
            self.sql("SELECT pg_reload_conf()")
        return self

    def _configure(self, node):
        lines = CONF.format(port=node.port, name=node.id)
        lines += "".join(f"{name} = '{value}'\n" for name, value in self._settings.items())
        with open(node.data / "postgresql.conf", "a", encoding="utf-8") as conf:
            conf.write(lines)

    def start(self, node):
        n = self.nodes[node]
        self._run(bindir() / "pg_ctl", "start", "-w", "-s", "-D", n.data, "-l", n.log)

    def stop(self, node, mode="fast"):
        self._run(bindir() / "pg_ctl", "stop", "-w", "-s", "-m", mode, "-D", self.nodes[node].data)

    def down(self):
        for node in self.nodes.values():
            if (node.data / "postmaster.pid").exists():
                self._run(bindir() / "pg_ctl", "stop", "-w", "-s", "-m", "immediate", "-D", node.data, check=False)
        run("rm", "-rf", self.directory)


def answers(host, port, timeout=1.0):
    """A TCP connection is accepted there."""
    try:
        with socket.create_connection((host, port), timeout):
            return True
    except OSError:
        return False
