#!/usr/bin/python3
"""failover.py BUILD [--runs N] [--only NAME,…] [--saturate SECONDS]: write outages of the failover scenarios, medians over runs.

Three nodes in network namespaces of their own (as root; without root on localhost, and the scenarios with cuts are
left out), each under a supervisor that restarts a dead server after 100 ms, all settings at their defaults but what
is printed. Three roaming clients insert a row every 10 ms through the multi-host string, hosts in random order,
connect_timeout=2; a statement without answer is abandoned after 2 s by closing the socket. One client sticks to the
first primary, and a probe writes to every node each 30 ms.

For planned switchovers the times of their single steps follow, from the nodes' logs.

Write outage: the longest interval between consecutive acknowledgements of the roaming clients together that ends
after the fault. Rows are compared on all nodes after each run. Exit code 1 when a row is lost, double or wrongly
there, when two nodes acknowledged, or when a scenario did not come to its end.

--only saturation runs something else: pgbench as fast as the machine can for that long (default ten minutes), during which
nothing must fail over. It counts failovers, elections and lapses of the lease on all nodes.
"""
import argparse
import os
import pathlib
import re
import statistics
import sys
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tap" / "lib"))
# pylint: disable=wrong-import-position
import steps  # noqa: E402
from pgquorum_tap import Cluster, Network  # noqa: E402
from pgquorum_tap.cluster import bindir, run  # noqa: E402
from pgquorum_tap.scenarios import (time_to_rejoin, with_everybody, worker_memory_kb,  # noqa: E402
                                    write_through)


class Bench:
    """One cluster; a method for each scenario, which returns its figure in ms."""

    def __init__(self, cluster, network):
        self.cluster = cluster
        self.network = network
        self.failures = []
        self.switchover_steps = steps.Steps(cluster)

    def _judge(self, result):
        if result.problems:
            self.failures += result.problems
        if result.overlap_ms > 0:
            self.failures.append(f"two nodes acknowledged for {result.overlap_ms:.0f} ms")
        return result.outage_ms

    def _run(self, fault, **options):
        return self._judge(write_through(self.cluster, fault, before=300, after=300, prepare=with_everybody, **options))

    def node(self):
        return self._run(self.cluster.kill, recover=self.cluster.start)

    def postmaster(self):
        return self._run(self.cluster.kill_postmaster)

    def backend(self):
        before = self.cluster.await_primary()
        outage = self._run(self.cluster.kill_backend)
        if self.cluster.await_primary() != before:
            self.failures.append("a killed backend moved the primary")
        return outage

    def isolated(self):
        return self._run(self.network.isolate, recover=lambda _: self.network.heal_all())

    def silent(self):
        return self._run(lambda old: self.network.isolate(old, from_client=True),
                         recover=lambda _: self.network.heal_all())

    def paused(self):
        return self._run(self.cluster.pause, recover=self.cluster.resume)

    def standby(self):
        standby = self.cluster.standbys()[0]
        return self._run(lambda _: self.cluster.kill(standby), recover=lambda _: self.cluster.start(standby))

    def standby_link(self):
        standby = self.cluster.standbys()[0]
        return self._run(lambda old: self.network.partition(old, standby), recover=lambda _: self.network.heal_all())

    def switchover(self):
        target = self.cluster.standbys()[0]
        self.switchover_steps.begin()
        result = write_through(self.cluster, lambda _: self.cluster.sql("SELECT system.failover(%s)", (target,), node=target),
                               before=300, after=300, prepare=with_everybody)
        self.switchover_steps.end(result.load.outage(result.fault))
        return self._judge(result)

    def rolling(self):
        """Total: the sum of all pauses above 100 ms while every node is restarted once."""
        def fault(old):
            for node in [n for n in self.cluster.nodes if n != old] + [old]:
                self.cluster.stop(node)
                self.cluster.start(node)
                self.cluster.await_healthy()
        result = write_through(self.cluster, fault, prepare=with_everybody, timeout=240)
        self._judge(result)
        times = result.load.acknowledged(since=result.fault - 1, roaming_only=True)
        return sum((b - a) * 1000 for a, b in zip(times, times[1:]) if b - a > 0.1)

    def rejoin(self):
        old = self.cluster.await_primary()
        self.cluster.kill(old)
        new = self.cluster.await_primary(other_than=old)
        elapsed = time_to_rejoin(self.cluster, old, new)
        self.cluster.await_healthy()
        return elapsed


class Saturation:
    """All processors busy, nobody dead: the primary stays."""

    CLIENTS = 16
    SCALE = 10

    def __init__(self, cluster):
        self._cluster = cluster

    def _pgbench(self, *words):
        done = run(bindir() / "pgbench", *words, self._cluster.url(), timeout=None)
        return done.stdout + done.stderr

    def _counts(self):
        """What must not grow: changes of the primary; and what may, to be looked at."""
        counts = {"failovers": self._cluster.value("SELECT count(*) FROM system.failover_history"), "elections": 0,
                  "leader changes": 0, "lease lapses": 0}
        for node in self._cluster.nodes:
            elections, changes = self._cluster.sql("SELECT elections_started, leader_changes FROM system.raft_status",
                                                   node=node)[0]
            counts["elections"] += elections
            counts["leader changes"] = max(counts["leader changes"], changes)
            counts["lease lapses"] += self._cluster.value("SELECT coalesce(lease_lapses, 0) FROM system.write_gate", node=node)
        return counts

    def measure(self, seconds):
        """{what: how often}, transactions a second, and what is wrong."""
        primary = self._cluster.await_primary()
        self._pgbench("--initialize", "--quiet", "--scale", self.SCALE)
        before = self._counts()
        said = self._pgbench("--client", self.CLIENTS, "--jobs", 2, "--time", seconds, "--no-vacuum")
        after = self._counts()
        grown = {what: after[what] - before[what] for what in before}
        problems = []
        if grown["failovers"] or self._cluster.await_primary() != primary:
            problems.append(f"{grown['failovers']} changes of the primary, and nobody had died")
        tps = float(re.search(r"^tps = ([0-9.]+)", said, re.MULTILINE).group(1))
        return grown, tps, problems


# method, title, target in ms, needs the network
SCENARIOS = (("node", "kill -9 of the primary's whole node", 1000, False),
             ("postmaster", "kill -9 of the postmaster only", 600, False),
             ("backend", "kill -9 of one backend of the primary", 2000, False),
             ("isolated", "primary cut off from all nodes", 3000, True),
             ("silent", "primary silent to nodes and clients", 3000, True),
             ("paused", "SIGSTOP of the primary's node, SIGCONT after the takeover", 3000, False),
             ("standby", "kill -9 of a standby: write stall", 300, False),
             ("standby_link", "link to a standby cut: write stall", 300, True),
             ("switchover", "planned switchover", 500, False),
             ("rolling", "rolling restart of all nodes, total", 1500, False),
             ("rejoin", "killed node restarted: healthy standby by itself", 3000, False))


def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8")
                  if line.startswith("model name")), "unknown processor")
    return f"{model}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start"


def settings(cluster):
    """Every setting of the first node that is neither at its default nor pgquorum's own bookkeeping."""
    rows = cluster.sql("SELECT name, setting, coalesce(unit, '') FROM pg_settings WHERE source = 'configuration file' "
                       "AND setting IS DISTINCT FROM boot_val ORDER BY name", node="node1")
    return [f"{name} = {value} {unit}".strip() for name, value, unit in rows]


def measure(bench, name, runs):
    values = []
    for _ in range(runs):
        try:
            values.append(getattr(bench, name)())
        except Exception:  # pylint: disable=broad-except
            bench.failures.append(f"{name}: {traceback.format_exc(limit=-2)}")
            return values
    return values


def row(title, values, target):
    if not values:
        return f"| {title} | failed | | ≤ {target} | no |"
    median = statistics.median(values)
    return (f"| {title} | {median:.0f} | {min(values):.0f}–{max(values):.0f} | ≤ {target} | "
            f"{'yes' if median <= target else 'NO'} |")


def memory(cluster):
    standby = cluster.standbys()[0]
    return worker_memory_kb(cluster, standby) / 1024


def saturate(cluster, seconds):
    grown, tps, problems = Saturation(cluster).measure(seconds)
    print(f"\n{seconds} s of pgbench with {Saturation.CLIENTS} clients, scale {Saturation.SCALE}: "
          f"{tps:.0f} transactions a second; " + ", ".join(f"{count} {what}" for what, count in grown.items()))
    for problem in problems:
        print(f"  {problem}")
    return 1 if problems else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="")
    parser.add_argument("--saturate", type=int, default=600, metavar="SECONDS")
    options = parser.parse_args()
    for line in (options.build / "tmp_install" / "env").read_text().splitlines():
        os.environ.setdefault(*line.split("=", 1))
    network = Network(3).up() if os.geteuid() == 0 else None
    cluster = Cluster(network=network, supervise=True, settings={"log_line_prefix": steps.LOG_PREFIX})
    print(f"machine: {machine()}", flush=True)
    began = time.monotonic()
    try:
        cluster.up()
        print("settings: " + "; ".join(settings(cluster)), flush=True)
        if options.only == "saturation":
            sys.exit(saturate(cluster, options.saturate))
        bench = Bench(cluster, network)
        print(f"\n| scenario, {options.runs} runs | median ms | range | to reach | reached |\n|---|---|---|---|---|",
              flush=True)
        for name, title, target, needs_network in SCENARIOS:
            if (options.only and name not in options.only.split(",")) or (needs_network and not network):
                continue
            print(row(title, measure(bench, name, options.runs), target), flush=True)
        bench.switchover_steps.report()
        print(f"\nmemory of the pgquorum workers of an idle node: {memory(cluster):.1f} MiB (to reach: ≤ 64)")
        print(f"{time.monotonic() - began:.0f} s in all; problems: {len(bench.failures)}")
        for failure in bench.failures:
            print(f"  {failure}")
        sys.exit(1 if bench.failures else 0)
    finally:
        cluster.down()
        if network:
            network.down()


if __name__ == "__main__":
    main()
