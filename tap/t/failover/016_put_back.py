#!/usr/bin/python3
"""34: a data directory put back from a copy of its files, without a backup_label, while it is the only one besides the
primary's that holds what was acknowledged. It must not stand for that."""
import os
import shutil
import signal
import subprocess
import time

from pgquorum_tap import Checker, WriteLoad, main, wait_for

NOT_OURS = "this data directory does not count for what the node has acknowledged"


def three_nodes(test):
    return test.cluster()


def processes(cluster, node):
    """The server's postmaster and all that it has started."""
    found, unseen = [], [cluster.postmaster(node)]
    while unseen:
        pid = unseen.pop()
        found.append(pid)
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as listed:
            unseen += [int(child) for child in listed.read().split()]
    return found


def copy_stopped(cluster, node, aside):
    cluster.stop(node)
    subprocess.run(["cp", "-a", cluster.nodes[node].data, aside], check=True)
    cluster.start(node)
    cluster.await_healthy()


def copy_running(cluster, node, aside):
    """What a snapshot of the file system gives: all files of one moment."""
    frozen = processes(cluster, node)
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        subprocess.run(["cp", "-a", cluster.nodes[node].data, aside], check=True)
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    (aside / "postmaster.pid").unlink()
    cluster.await_healthy()


def mark(cluster, node):
    """(timeline, position) of the node's mark."""
    lines = (cluster.nodes[node].state / "mark").read_text().splitlines()
    fields = dict(line.split(" = ", 1) for line in lines if " = " in line)
    return int(fields["timeline"]), int(fields["lsn"])


def await_marked(cluster, node):
    """Until the mark is past what the node had replayed at the time of the call."""
    lsn = cluster.value("SELECT pg_last_wal_replay_lsn() - '0/0'::pg_lsn", node=node)
    wait_for(lambda: mark(cluster, node)[1] >= lsn, f"the mark of {node} is past {lsn}", 60)


def put_back(test, cluster, copy, marked):
    """The standby `back` alone acknowledges while the other is away. Then its directory is replaced by the copy, and the
    primary dies: `back` and the other are a majority, of which neither has what was acknowledged."""
    cluster.await_healthy()
    primary = cluster.await_primary()
    back, other = cluster.standbys()
    data = cluster.nodes[back].data
    aside = data.with_name("data.old")
    test.on_end(shutil.rmtree, aside, True)
    load = WriteLoad(cluster)
    with load:
        load.await_acknowledged(50)
        copy(cluster, back, aside)
        cluster.kill(other)
        load.await_acknowledged(200, since=time.monotonic())
        if marked:
            await_marked(cluster, back)
    cluster.kill(primary)
    cluster.stop(back, "immediate")
    shutil.rmtree(data)
    aside.rename(data)
    since = {node: cluster.log_size(node) for node in (back, other)}
    cluster.start(back)
    cluster.start(other)
    cluster.await_log(back, NOT_OURS, since[back])
    cluster.await_log(back, "-> repairing", since[back])
    # One of them leads, and sees that the other alone is not enough.
    wait_for(lambda: any("too few voters answer" in cluster.log_since(node, since[node]) for node in since),
             "the coordinator says what it waits for", 60)
    for node in (back, other):
        assert cluster.value("SELECT pg_is_in_recovery()", node=node), f"{node} became primary without what was acknowledged"
    cluster.start(primary)
    cluster.await_healthy()
    Checker(cluster, load).check()


def a_cold_copy_is_put_back(test, cluster):
    """Copied while the server was stopped: its count of starts gives it away."""
    put_back(test, cluster, copy_stopped, marked=False)


def a_snapshot_is_put_back(test, cluster):
    """Copied while the server was running: its WAL ends below the mark."""
    put_back(test, cluster, copy_running, marked=True)


def all_die_at_once_and_nobody_is_taken_for_restored(test, cluster):
    """kill -9 of every node under load, right after their marks were written."""
    cluster.await_healthy()
    load = WriteLoad(cluster)
    with load:
        for _ in range(3):
            load.await_acknowledged(100)
            for standby in cluster.standbys():
                await_marked(cluster, standby)
            since = {node: cluster.log_size(node) for node in cluster.nodes}
            for node in cluster.nodes:
                cluster.kill(node)
            for node in cluster.nodes:
                cluster.start(node)
            cluster.await_healthy()
            for node, size in since.items():
                assert NOT_OURS not in cluster.log_since(node, size), f"{node} takes its own directory for another"
                assert cluster.value("SELECT last_repair FROM system.node_status", node=node) != "recloned"
    Checker(cluster, load).check()


main(a_cold_copy_is_put_back, a_snapshot_is_put_back, all_die_at_once_and_nobody_is_taken_for_restored,
     shared=three_nodes)
