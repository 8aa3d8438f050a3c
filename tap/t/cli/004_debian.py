#!/usr/bin/python3
"""A cluster in Debian's layout: configuration below /etc/postgresql, servers started and stopped by pg_ctlcluster.

Debian's tools know one place for programs and one for configuration. This program takes a mount namespace of its own, in
which the temporary installation is at the first and an empty directory at the second: the machine's own stay as they
are."""
import json
import os
import pathlib
import shutil
import subprocess
import sys

from pgquorum_tap import main, wait_for
from pgquorum_tap.cluster import bindir, pgquorum, run
from pgquorum_tap.ports import free_ports

INSIDE = "PGQUORUM_TAP_DEBIAN"
PROGRAMS, SHARE = pathlib.Path("/usr/lib/postgresql/15"), pathlib.Path("/usr/share/postgresql/15")


def enter():
    """Starts this program again, in the namespace."""
    if os.geteuid() == 0 and shutil.which("pg_createcluster") and INSIDE not in os.environ:
        os.environ[INSIDE] = str(bindir())
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])
    if INSIDE in os.environ:
        installed = pathlib.Path(os.environ[INSIDE]).parent
        for source, target in ((installed, PROGRAMS), (os.environ["PGQUORUM_SHAREDIR"], SHARE)):
            subprocess.run(["mount", "--bind", source, target], check=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", "/etc/postgresql"], check=True)
        os.environ["PGQUORUM_BINDIR"] = str(PROGRAMS / "bin")


class Debian:
    def __init__(self, test):
        self.base = test.directory()
        shutil.chown(self.base, "postgres")
        self.port = free_ports(4)
        test.on_end(self.down)
        self.nodes = []

    def data(self, node):
        return self.base / node

    def ctl(self, node, verb, *words, check=True):
        return run("pg_ctlcluster", "--skip-systemctl-redirect", "15", node, verb, *words, check=check)

    def create(self, node):
        """What the administrator has before: an empty server. Returns the options that make it a node."""
        port = self.port + 2 * len(self.nodes)
        run("pg_createcluster", "15", node, "--datadir", self.data(node), "--port", port, "--socketdir", self.base,
            "--logfile", self.base / f"{node}.log", "--", "-k", "-A", "trust")
        self.nodes.append(node)
        return ["--node-id", node, "--data", self.data(node), "--listen", f"127.0.0.1:{port}", "--raft", f"127.0.0.1:{port + 1}",
                "--socket-directory", self.base]

    def await_healthy(self, primary):
        def healthy():
            for node in self.nodes:
                said = pgquorum("cluster", "status", "--json", "--data", self.data(node), check=False)
                if said.returncode != 0:
                    return False
                roles = {n["node_id"]: n["role"] for n in json.loads(said.stdout)["nodes"]}
                if len(roles) != len(self.nodes) or roles[primary] != "primary":
                    return False
            return True
        wait_for(healthy, f"{self.nodes} are healthy, {primary} is the primary", 60)

    def down(self):
        for node in self.nodes:
            self.ctl(node, "stop", "-m", "immediate", check=False)


def a_cluster_of_debians_tools(test):
    if INSIDE not in os.environ:
        test.skip("needs root and Debian's postgresql-common")
    debian = Debian(test)
    pgquorum("node", "init", "--cluster", "prod", *debian.create("node1"))
    debian.ctl("node1", "start")
    debian.await_healthy("node1")

    options = debian.create("node2")
    shutil.rmtree(debian.data("node2"))
    token = pgquorum("cluster", "token", "--data", debian.data("node1")).stdout.strip()
    pgquorum("cluster", "join", "--token", token, "--cluster-address", f"127.0.0.1:{debian.port + 1}", *options)
    assert not (debian.data("node2") / "postgresql.conf").exists(), "the configuration is in two places"
    debian.ctl("node2", "start")
    debian.await_healthy("node1")

    # The old primary restarts itself in place, with the configuration where it was.
    pgquorum("cluster", "failover", "--to", "node2", "--data", debian.data("node1"))
    debian.await_healthy("node2")
    debian.ctl("node1", "restart")
    debian.await_healthy("node2")
    debian.ctl("node1", "stop")
    assert debian.ctl("node1", "status", check=False).returncode == 3
    pgquorum("node", "start", "--data", debian.data("node1"))
    debian.await_healthy("node2")


enter()
main(a_cluster_of_debians_tools)
