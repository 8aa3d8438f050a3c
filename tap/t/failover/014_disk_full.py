#!/usr/bin/python3
"""A full disk: the primary's WAL, a standby's state directory. Small file systems in memory stand in for the disks."""
import os
import shutil
import subprocess

import psycopg2

from pgquorum_tap import main, wait_for
from pgquorum_tap.by_hand import ByHand
from pgquorum_tap.scenarios import write_through


STATE_MB = 24


def three_nodes(test):
    """The state directory of the third lies on a small disk from the start: it does not let itself be moved."""
    if os.geteuid() != 0:
        test.skip("a small file system needs root")
    # The WAL of this test fits into the small disk, as long as nobody else fills it.
    cluster = test.cluster(kind=ByHand, settings={"max_wal_size": "64MB", "min_wal_size": "32MB"})
    cluster.join("node2")
    mount(test, cluster, cluster.nodes["node3"].state, STATE_MB)
    cluster.join("node3")
    cluster.await_healthy()
    return cluster


def mount(test, cluster, directory, megabytes):
    directory.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", directory], check=True)
    # Whoever still uses it: the name goes now, the memory with its last user.
    cluster.on_down(subprocess.run, ["umount", "-l", directory])
    shutil.chown(directory, cluster.account, cluster.account)


def wal_on_a_disk_of_its_own(test, cluster, node, megabytes):
    """Stops the node, moves its WAL to a small disk, leaves a link behind, starts the node."""
    cluster.stop(node)
    wal = cluster.nodes[node].data / "pg_wal"
    disk = cluster.directory / node / "wal"
    mount(test, cluster, disk, megabytes)
    subprocess.run(["cp", "-a", f"{wal}/.", disk], check=True)
    shutil.rmtree(wal)
    wal.symlink_to(disk)
    cluster.start(node)
    cluster.await_healthy()
    return disk


def fill(disk, leave_kb=0):
    """Takes the room of the disk but for `leave_kb`; returns the file that takes it."""
    filler = disk / "somebody's data"
    room = shutil.disk_usage(disk).free - leave_kb * 1024
    with open(filler, "wb") as out:
        os.posix_fallocate(out.fileno(), 0, room)
    return filler


def the_primarys_wal_disk_is_full(test, cluster):
    """25: the role moves before a commit fails for it, since room for two segments is asked for; the node becomes a
    standby by itself."""
    node = cluster.standbys()[0]
    disk = wal_on_a_disk_of_its_own(test, cluster, node, 200)
    cluster.sql("SELECT system.failover(%s)", (node,), node=node)
    cluster.await_healthy()
    taken = []

    def fault(_):
        taken.append(fill(disk, 1024))
        wait_for(lambda: cluster.primary() not in (None, node), "another primary", 30)
    result = write_through(cluster, fault, recover=lambda _: taken[0].unlink())
    assert result.old == node and result.new != node, (result.old, result.new)
    assert not result.problems, result.problems
    reason = cluster.value("SELECT reason FROM system.failover_history LIMIT 1")
    assert reason == "WAL not writable", reason
    test.note(f"write outage {result.outage_ms:.0f} ms")


def a_standbys_state_directory_is_full(test, cluster):
    """It cannot promise anything: a change of the primary goes on without it, its log says why, and with room it is back."""
    if cluster.await_primary() == "node3":
        cluster.sql("SELECT system.failover('node2')", node="node2")
        cluster.await_healthy()
    since = cluster.log_size("node3")
    target = next(n for n in cluster.standbys() if n != "node3")
    taken = []

    def fault(_):
        taken.append(fill(cluster.nodes["node3"].state))
        cluster.sql("SELECT system.failover(%s)", (target,), node=target)
        cluster.await_log("node3", "No space left on device", since)
    result = write_through(cluster, fault, recover=lambda _: taken[0].unlink())
    assert result.new == target
    assert not result.problems, result.problems
    said = cluster.log_since("node3", since)
    test.note(next(line for line in said.splitlines() if "No space left" in line))


main(the_primarys_wal_disk_is_full, a_standbys_state_directory_is_full, shared=three_nodes)
