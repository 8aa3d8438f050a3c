"""What a cluster's servers have used up: processor time by kind of process, and flushes."""
import os
import re

from pgquorum_tap.cluster import children

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
# "postgres: node1: walsender postgres …": the server's own processes; anything else is a client's session.
KINDS = ("walsender", "walreceiver", "startup", "walwriter", "checkpointer", "background writer", "autovacuum launcher",
         "stats collector", "logical replication launcher", "pgquorum")


def _times(pid):
    """(own seconds, seconds of its children that have ended)."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        fields = stat.read().rpartition(")")[2].split()
    user, system, children_user, children_system = (int(ticks) * TICK_S for ticks in fields[11:15])
    return user + system, children_user + children_system


def _own_ns(pid):
    """Time on a processor of all its threads, to the nanosecond."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as stat:
            total += int(stat.read().split()[0])
    return total / 1e9


def _kind(title):
    return next((kind for kind in KINDS if re.search(rf"\b{kind}", title)), "session")


def processor_seconds(cluster):
    """{kind of process: seconds since its start}, summed over the cluster's nodes. What has ended counts as a session: the
    servers' own processes live as long as the servers."""
    seconds = {}
    for node in cluster.nodes:
        postmaster = cluster.postmaster(node)
        seconds["postmaster"] = seconds.get("postmaster", 0) + _own_ns(postmaster)
        seconds["session"] = seconds.get("session", 0) + _times(postmaster)[1]
        for pid, title in children(postmaster).items():
            try:
                seconds[_kind(title)] = seconds.get(_kind(title), 0) + _own_ns(pid)
            except OSError:
                pass  # it has ended
    return seconds


def wal(cluster, primary):
    """Flushes and bytes of WAL of the primary since its start."""
    return cluster.sql("SELECT wal_sync, wal_bytes FROM pg_stat_wal", node=primary)[0]


def machine_busy_seconds():
    """Of all processors together, whatever they did."""
    with open("/proc/stat", encoding="ascii") as stat:
        fields = [int(ticks) for ticks in stat.readline().split()[1:]]
    return (sum(fields[:8]) - fields[3] - fields[4]) * TICK_S
