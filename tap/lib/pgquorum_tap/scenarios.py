"""Faults under load: what the failover tests assert on and the benchmark measures."""
import collections
import time

import psycopg2

from .cluster import children
from .load import Checker, WriteLoad
from .waiting import wait_for

Result = collections.namedtuple("Result", "load old new outage_ms overlap_ms fault problems")


def write_through(cluster, fault, before=200, after=200, clients=3, prepare=None, recover=None, timeout=120):
    """Clients write; `fault(primary)` happens; they go on until `after` more rows are acknowledged. Then
    `recover(primary)` undoes the fault, every node must become healthy, and the rows are compared.

    `prepare(load, primary)` may add clients before the load starts."""
    old = cluster.await_primary()
    load = WriteLoad(cluster, clients=clients)
    if prepare:
        prepare(load, old)
    with load:
        load.await_acknowledged(before, timeout=timeout)
        began = time.monotonic()
        fault(old)
        load.await_acknowledged(after, since=time.monotonic(), timeout=timeout)
        new = load.last_node()
        if recover:
            recover(old)
        cluster.await_healthy()
    return Result(load, old, new, load.outage(began).milliseconds, load.overlap_ms(), began,
                  Checker(cluster, load).problems())


def time_until(condition, what, timeout=90, errors=(psycopg2.Error,)):
    """Milliseconds until the condition holds."""
    began = time.monotonic()
    wait_for(condition, what, timeout, errors)
    return (time.monotonic() - began) * 1000


def time_to_rejoin(cluster, node, seen_from):
    """Milliseconds from the node's start to: a healthy, streaming standby in the eyes of another."""
    began = time.monotonic()
    cluster.start(node)
    wait_for(lambda: cluster.health(seen_from).get(node) == ("standby", "healthy"), f"{node} is a healthy standby",
             90, (psycopg2.Error,))
    return (time.monotonic() - began) * 1000


def with_everybody(load, old):
    """The clients of the figures: the roaming ones, a sticky writer at the primary and a probe at every node."""
    load.add_client("sticky", node=old)
    load.add_probes(interval=0.03)


def worker_memory_kb(cluster, node):
    """Sum over the node's pgquorum workers, which are no backends and so in no view of PostgreSQL."""
    workers = [pid for pid, title in children(cluster.postmaster(node)).items() if title.startswith("postgres: ")
               and "pgquorum" in title]
    assert workers, f"no pgquorum worker runs on {node}"
    return sum(private_pss_kb(pid) for pid in workers)


def private_pss_kb(pid):
    """Pss of a process in kB, shared_buffers and the server's other shared memory left out."""
    total, counted = 0, True
    with open(f"/proc/{pid}/smaps", encoding="utf-8") as smaps:
        for line in smaps:
            head = line.split(maxsplit=5)
            if "-" in head[0] and ":" not in head[0]:
                name = head[5] if len(head) > 5 else ""
                counted = not name.startswith(("/dev/zero", "/dev/shm", "/SYSV"))
            elif counted and line.startswith("Pss:"):
                total += int(line.split()[1])
    return total
