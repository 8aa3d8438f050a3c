#!/usr/bin/python3
"""throughput.py BUILD [--rounds N] [--seconds S]: what pgquorum costs a busy primary.

pgbench, TPC-B-like, 8 clients, against three pgquorum nodes with quorum commit and against plain PostgreSQL with two
streaming standbys and the same ANY 1; the same settings otherwise. The two take turns, one at a time on the machine,
and the ratio of the medians is printed.
"""
import argparse
import os
import pathlib
import re
import statistics
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tap" / "lib"))
# pylint: disable=wrong-import-position
from pgquorum_tap import Cluster, wait_for  # noqa: E402
from pgquorum_tap.cluster import bindir, run  # noqa: E402
from pgquorum_tap.stock import StockCluster  # noqa: E402

CLIENTS, THREADS, SCALE, TARGET = 8, 2, 10, 0.97
# On both sides, so that nothing but pgquorum differs.
SETTINGS = {"max_wal_senders": "20", "max_replication_slots": "20", "max_worker_processes": "16",
            "wal_keep_size": "512MB", "wal_retrieve_retry_interval": "100ms", "wal_receiver_status_interval": "1s",
            "max_wal_size": "4GB", "checkpoint_timeout": "30min"}


def start(cluster):
    for node in cluster.nodes:
        cluster.start(node)


def stop(cluster):
    """The primary first would be a failover; the standbys first lose the quorum, but nobody writes now."""
    primary = cluster.primary()
    for node in [n for n in cluster.nodes if n != primary] + [primary]:
        cluster.stop(node)


def await_ready(cluster):
    if isinstance(cluster, StockCluster):
        wait_for(lambda: cluster.value("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == 2,
                 "both standbys stream")
    else:
        cluster.await_healthy()


def pgbench(cluster, *words):
    primary = cluster.nodes[cluster.await_primary()]
    done = run(bindir() / "pgbench", "-h", primary.host, "-p", primary.port, "-U", cluster.account, *words, "postgres",
               timeout=600)
    found = re.search(r"tps = ([0-9.]+)", done.stdout)
    return float(found.group(1)) if found else None


def measure(cluster, seconds):
    start(cluster)
    await_ready(cluster)
    pgbench(cluster, "-n", "-c", CLIENTS, "-j", THREADS, "-T", 2)  # warm
    tps = pgbench(cluster, "-n", "-c", CLIENTS, "-j", THREADS, "-T", seconds)
    stop(cluster)
    return tps


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=20)
    options = parser.parse_args()
    for line in (options.build / "tmp_install" / "env").read_text().splitlines():
        os.environ.setdefault(*line.split("=", 1))
    member = Cluster(settings=SETTINGS)
    stock = StockCluster(settings=SETTINGS, synchronous="ANY 1 (node2, node3)")
    try:
        for cluster in (member, stock):
            cluster.up()
            await_ready(cluster)
            pgbench(cluster, "-i", "-q", "-s", SCALE)
            stop(cluster)
        print("settings: " + "; ".join(f"{k} = {v}" for k, v in SETTINGS.items()), flush=True)
        print("| round | pgquorum tps | plain tps | ratio |\n|---|---|---|---|", flush=True)
        rounds = []
        for number in range(1, options.rounds + 1):
            ours, plain = measure(member, options.seconds), measure(stock, options.seconds)
            rounds.append((ours, plain))
            print(f"| {number} | {ours:.0f} | {plain:.0f} | {ours / plain:.3f} |", flush=True)
        ratio = statistics.median(o / p for o, p in rounds)
        print(f"\nmedian ratio {ratio:.3f} (to reach: ≥ {TARGET}), load {os.getloadavg()[0]:.1f} at the end")
    finally:
        member.down()
        stock.down()


if __name__ == "__main__":
    main()
