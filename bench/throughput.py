#!/usr/bin/python3
"""throughput.py BUILD [--rounds N] [--seconds S]: what pgquorum costs a busy primary.

pgbench, TPC-B-like, 8 clients, against three pgquorum nodes with quorum commit and against plain PostgreSQL with two
streaming standbys, the same ANY 1, the same settings and TLS on the same connections. Both clusters are up all the time,
their directories side by side on one disk. They take turns in short slices, each after a checkpoint of all its nodes; two
slices that follow each other are a pair, and which side goes first changes from pair to pair. A slow minute of the machine
so hits both sides of a pair, and what is reported is the median of the pairs' ratios with the quartiles.

Time on processors per transaction, summed over all processes of a side's three nodes, does not depend on what else the
machine does; nor do flushes and bytes of WAL. What the side that is not asked uses up in the meantime is printed too: plain
PostgreSQL's slices have idle workers of pgquorum beside them.
"""
import argparse
import collections
import os
import pathlib
import re
import statistics
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tap" / "lib"))
# pylint: disable=wrong-import-position
import cost  # noqa: E402
from pgquorum_tap import Cluster, wait_for  # noqa: E402
from pgquorum_tap.cluster import bindir, run  # noqa: E402
from pgquorum_tap.stock import StockCluster  # noqa: E402

CLIENTS, THREADS, SCALE, TARGET = 8, 2, 10, 0.97
PAIRS_A_ROUND = 4
# On both sides, so that nothing but pgquorum differs. No vacuum and no checkpoint falls into a slice by chance.
SETTINGS = {"max_wal_senders": "20", "max_replication_slots": "20", "max_worker_processes": "16",
            "wal_keep_size": "512MB", "wal_retrieve_retry_interval": "100ms", "wal_receiver_status_interval": "1s",
            "max_wal_size": "4GB", "checkpoint_timeout": "30min", "autovacuum": "off"}
# What makes a commit durable and a directory checkable; read from both primaries and compared.
COMPARED = ("fsync", "synchronous_commit", "full_page_writes", "data_checksums", "wal_log_hints", "wal_level",
            "wal_compression", "wal_sync_method", "hot_standby_feedback", "shared_buffers", "ssl")

Slice = collections.namedtuple("Slice", "tps seconds by_kind flushes wal_bytes idle_seconds others_seconds elapsed")


def plain_cluster(member):
    """Its nodes speak TLS as the member's do, with the member's certificate."""
    keys = next(iter(member.nodes.values())).state / "pki"
    ca, certificate, key = keys / "ca.crt", keys / "node.crt", keys / "node.key"
    tls = {"ssl": "on", "ssl_ca_file": ca, "ssl_cert_file": certificate, "ssl_key_file": key}
    return StockCluster(settings=SETTINGS | tls, synchronous="ANY 1 (node2, node3)",
                        conninfo=f"sslmode=verify-ca sslrootcert={ca} sslcert={certificate} sslkey={key} gssencmode=disable")


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


def await_no_session(cluster, primary):
    """What a session has used up is counted when its postmaster has seen it end."""
    wait_for(lambda: cluster.value("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbench'",
                                   node=primary) == 0, "the sessions of pgbench have ended")


def measure(cluster, idle, seconds):
    """A slice of load on `cluster` while `idle` is idle."""
    primary = cluster.await_primary()
    cluster.await_caught_up()
    for node in cluster.nodes:
        cluster.sql("CHECKPOINT", node=node)
    began, busy = time.monotonic(), cost.machine_busy_seconds()
    before, before_idle = cost.processor_seconds(cluster), cost.processor_seconds(idle)
    flushes, wal_bytes = cost.wal(cluster, primary)
    tps = pgbench(cluster, "-n", "-c", CLIENTS, "-j", THREADS, "-T", seconds)
    await_no_session(cluster, primary)
    cluster.await_caught_up()
    after, after_idle = cost.processor_seconds(cluster), cost.processor_seconds(idle)
    later_flushes, later_bytes = cost.wal(cluster, primary)
    transactions = tps * seconds
    used = {kind: after[kind] - before.get(kind, 0) for kind in after}
    idle_seconds = sum(after_idle.values()) - sum(before_idle.values())
    others = cost.machine_busy_seconds() - busy - sum(used.values()) - idle_seconds
    return Slice(tps, seconds, {kind: value / transactions for kind, value in used.items()},
                 (later_flushes - flushes) / transactions, float(later_bytes - wal_bytes) / transactions,
                 idle_seconds, others, time.monotonic() - began)


def cpu_us(one):
    return sum(one.by_kind.values()) * 1e6


def quartiles(values):
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:.3f} (quartiles {low:.3f}–{high:.3f}, {min(values):.3f}–{max(values):.3f})"


def report_kinds(pairs):
    """Where the time on processors goes, a line for each kind of process."""
    print("\n| processes of all three nodes | pgquorum, µs of processor a transaction | plain |\n|---|---|---|")
    for kind in sorted({kind for pair in pairs for one in pair for kind in one.by_kind}):
        ours, plain = (statistics.median(one.by_kind.get(kind, 0) for one in side) * 1e6 for side in zip(*pairs))
        print(f"| {kind} | {ours:.1f} | {plain:.1f} |")
    for title, value in (("flushes of the primary's WAL", lambda one: one.flushes),
                         ("bytes of WAL", lambda one: one.wal_bytes)):
        ours, plain = (statistics.median(value(one) for one in side) for side in zip(*pairs))
        print(f"| *{title} a transaction* | {ours:.2f} | {plain:.2f} |")


def report(pairs):
    report_kinds(pairs)
    ours, plain = zip(*pairs)
    idle = [statistics.median(one.idle_seconds / one.elapsed for one in side) * 100 for side in (plain, ours)]
    print(f"\nidle beside the other's slices: pgquorum {idle[0]:.1f} %, plain {idle[1]:.1f} % of one processor (three nodes)")
    print(f"processor a transaction, ratio {quartiles([cpu_us(o) / cpu_us(p) for o, p in pairs])}")
    print(f"median ratio {quartiles([o.tps / p.tps for o, p in pairs])} (to reach: ≥ {TARGET}), "
          f"load {os.getloadavg()[0]:.1f} at the end")


def compare_settings(member, stock):
    sides = [dict(cluster.sql("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", (list(COMPARED),)))
             for cluster in (member, stock)]
    if sides[0] != sides[1]:
        sys.exit(f"the sides differ: pgquorum {sides[0]}, plain {sides[1]}")
    print("same on both: " + "; ".join(f"{name} = {sides[0][name]}" for name in COMPARED))
    print("settings: " + "; ".join(f"{k} = {v}" for k, v in SETTINGS.items()), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3, help=f"of {PAIRS_A_ROUND} pairs")
    parser.add_argument("--seconds", type=int, default=12, help="of a slice")
    options = parser.parse_args()
    for line in (options.build / "tmp_install" / "env").read_text().splitlines():
        os.environ.setdefault(*line.split("=", 1))
    clusters = [Cluster(settings=SETTINGS)]
    try:
        clusters[0].up()
        clusters.append(plain_cluster(clusters[0]))
        clusters[1].up()
        compare_settings(*clusters)
        for cluster in clusters:
            await_ready(cluster)
            pgbench(cluster, "-i", "-q", "-s", SCALE)
            pgbench(cluster, "-n", "-c", CLIENTS, "-j", THREADS, "-T", 5)  # warm
        print("| pair | pgquorum tps | plain tps | ratio | processor µs | plain | ratio | others' processors, each |\n"
              "|---|---|---|---|---|---|---|---|", flush=True)
        pairs = []
        for number in range(1, options.rounds * PAIRS_A_ROUND + 1):
            order = (0, 1) if number % 2 else (1, 0)
            slices = {side: measure(clusters[side], clusters[1 - side], options.seconds) for side in order}
            ours, plain = slices[0], slices[1]
            pairs.append((ours, plain))
            print(f"| {number} | {ours.tps:.0f} | {plain.tps:.0f} | {ours.tps / plain.tps:.3f} | {cpu_us(ours):.0f} | "
                  f"{cpu_us(plain):.0f} | {cpu_us(ours) / cpu_us(plain):.3f} | {ours.others_seconds / ours.elapsed:.2f}, "
                  f"{plain.others_seconds / plain.elapsed:.2f} |", flush=True)
        report(pairs)
    finally:
        for cluster in reversed(clusters):
            cluster.down()


if __name__ == "__main__":
    main()
