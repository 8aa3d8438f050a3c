#!/usr/bin/python3
"""fusion.py BUILD [--scale N] [--rounds N] [--seconds S] [--profile]: fusion tables beside heap tables.

One server, two databases: in one pgbench's tables are fusion tables, in the other heap tables. Both caches have 256 MB, commits
are durable. The two take turns in short slices, and which goes first changes; what is reported is the median of the pairs'
ratios (fusion / heap, so 1 is as fast), so that a slow minute of the machine hits both sides of a pair. Then the recovery of
64 MB of redo after a kill of everything. --profile: where the processors' time goes in fusion's slices (needs perf and rights).
"""
import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tap" / "lib"))
# pylint: disable=wrong-import-position
from pgquorum_tap.cluster import bindir, run  # noqa: E402
from pgquorum_tap.fusion import FusionServer  # noqa: E402

SIDES = ("fusion", "heap")
CLIENTS, THREADS = 8, 2
REDO_BYTES = 64 << 20
SETTINGS = {"shared_buffers": "256MB", "pgquorum.fusion_cache": "256MB", "pgquorum.fusion_max_redo": "4096",
            "pgquorum.fusion_checkpoint_timeout": "1d", "max_wal_size": "4GB", "checkpoint_timeout": "30min", "autovacuum": "off",
            "maintenance_work_mem": "256MB"}
# What is reached, by measure; recovery in seconds.
GOALS = {"read-only": 0.7, "TPC-B": 0.6, "COPY": 0.5, "index build": 0.5, "sequential scan": 0.5}
RECOVERY_GOAL_SECONDS = 1.0


class Bench:
    def __init__(self, server, options):
        self._server, self._options = server, options
        node = server.nodes["node1"]
        self._where = ("-h", node.host, "-p", node.port, "-U", server.account)
        self._rows = options.directory / "rows.csv"

    def sql(self, side, statement):
        # One process: a parallel plan would measure the machine's processors.
        text = f"SET max_parallel_workers_per_gather = 0; SET max_parallel_maintenance_workers = 0; {statement}"
        return run(bindir() / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", *self._where, "-d", side, "-c", text, timeout=1800).stdout

    def pgbench(self, side, *words):
        done = run(bindir() / "pgbench", *self._where, *words, side, timeout=1800)
        found = re.search(r"tps = ([0-9.]+)", done.stdout)
        return float(found.group(1)) if found else None

    def prepare(self):
        for side in SIDES:
            self._server.sql(f"CREATE DATABASE {side}")
            self.sql(side, "CREATE EXTENSION pgquorum")
            self.sql(side, f"ALTER DATABASE {side} SET default_table_access_method = {side}")
            self.pgbench(side, "-i", "-q", "-s", self._options.scale)
            self.sql(side, "CREATE TABLE copied (LIKE pgbench_accounts)")
        rows = self.sql("heap", "COPY (SELECT * FROM pgbench_accounts LIMIT 1000000) TO STDOUT")
        self._rows.write_text(rows)
        self._rows.chmod(0o644)

    def load(self, side, *words):
        """Transactions a second."""
        return self.pgbench(side, "-n", "-c", CLIENTS, "-j", THREADS, "-T", self._options.seconds, *words)

    def rate(self, side, statement):
        began = time.monotonic()
        self.sql(side, statement)
        return 1 / (time.monotonic() - began)

    def measure(self, name, side):
        """How often a second: larger is faster."""
        self._server.sql("CHECKPOINT")
        if name == "read-only":
            return self.load(side, "-S")
        if name == "TPC-B":
            return self.load(side)
        if name == "COPY":
            self.sql(side, "TRUNCATE copied")
            return self.rate(side, f"COPY copied FROM '{self._rows}'")
        if name == "index build":
            self.sql(side, "DROP INDEX IF EXISTS copied_aid")
            return self.rate(side, "CREATE INDEX copied_aid ON copied (aid)")
        self.sql(side, "SELECT sum(abalance) FROM copied")
        return self.rate(side, "SELECT sum(abalance) FROM copied")

    def pairs(self, name):
        seen = []
        for number in range(self._options.rounds):
            order = SIDES if number % 2 else SIDES[::-1]
            seen.append({side: self.profiled(name, side) for side in order})
        return seen

    def profiled(self, name, side):
        if not self._options.profile or side != "fusion":
            return self.measure(name, side)
        data = self._options.directory / f"{name.replace(' ', '_')}.perf"
        with subprocess.Popen(["perf", "record", "-q", "-a", "-F", "499", "-o", data]) as perf:
            rate = self.measure(name, side)
            perf.terminate()
        report = subprocess.run(["perf", "report", "-i", data, "--stdio", "--no-children", "--comm", "postgres", "-s", "symbol",
                                 "--percent-limit", "1.5"], capture_output=True, text=True, check=False).stdout
        print(f"\n{name}: functions of the server's processes, in percent of all time\n"
              + "\n".join(line for line in report.splitlines() if line and not line.startswith("#")))
        return rate

    def recovery_seconds(self):
        """From the start of the recovery to its end, for at least 64 MB of redo, and how many bytes there were."""
        self._server.stop("node1")
        self._server.start("node1")
        while int(self.sql("fusion", "SELECT redo_bytes FROM system.fusion_checkpoint")) < REDO_BYTES:
            self.pgbench("fusion", "-n", "-c", CLIENTS, "-j", THREADS, "-T", "1")
        self._server.kill_all()
        self.sql("fusion", "SELECT count(*) FROM pgbench_branches")
        row = self.sql("fusion", "SELECT recovery_us, recovery_bytes FROM system.fusion_storage").split("|")
        return int(row[0]) / 1e6, int(row[1])


def report(name, pairs):
    ratio = statistics.median(pair["fusion"] / pair["heap"] for pair in pairs)
    fusion, heap = (statistics.median(pair[side] for pair in pairs) for side in SIDES)
    ratios = [pair["fusion"] / pair["heap"] for pair in pairs]
    if name not in ("read-only", "TPC-B"):
        fusion, heap, unit = 1 / fusion, 1 / heap, "s"
    else:
        unit = "tps"
    print(f"| {name} | {fusion:.3g} {unit} | {heap:.3g} {unit} | {ratio:.2f} ({min(ratios):.2f}–{max(ratios):.2f}) | "
          f"≥ {GOALS[name]} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--scale", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=10, help="of a slice of pgbench")
    parser.add_argument("--only", action="append", choices=GOALS)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    for line in (options.build / "tmp_install" / "env").read_text().splitlines():
        os.environ.setdefault(*line.split("=", 1))
    server = FusionServer(settings=SETTINGS)
    options.directory = server.directory
    try:
        server.up()
        bench = Bench(server, options)
        bench.prepare()
        print("settings: " + "; ".join(f"{key} = {value}" for key, value in SETTINGS.items()))
        print(f"scale {options.scale}, {CLIENTS} clients, pairs: {options.rounds}, load {os.getloadavg()[0]:.1f}\n\n"
              "| | fusion | heap | ratio (range) | to reach |\n|---|---|---|---|---|", flush=True)
        for name in options.only or GOALS:
            report(name, bench.pairs(name))
        if not options.only:
            seconds, size = bench.recovery_seconds()
            print(f"| recovery of {size / (1 << 20):.0f} MB of redo | {seconds:.2f} s | – | – | ≤ {RECOVERY_GOAL_SECONDS} s |")
    finally:
        server.down()


if __name__ == "__main__":
    main()
