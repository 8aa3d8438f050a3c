#!/usr/bin/python3
"""What a node must not forget, damaged, unreadable, copied or of somebody else: it says so and does no harm, and the
others go on."""
import os
import shutil
import subprocess

import psycopg2

from pgquorum_tap import main, wait_for
from pgquorum_tap.cluster import CommandFailed
from pgquorum_tap.scenarios import write_through


def three_nodes(test):
    return test.cluster()


def flip(path, offset, count=8):
    """Turns bytes of the file over, twice is as before."""
    with open(path, "r+b") as file:
        file.seek(offset)
        was = file.read(count)
        file.seek(offset)
        file.write(bytes(b ^ 0xFF for b in was))


def go_wrong(cluster, damage, mend, says, node=None, status=("failed", "unknown", "fenced")):
    """A stopped standby is damaged and started, under load: its log `says` why it takes no part, the others go on, and
    when it is mended and started again it is healthy. Returns what its log said."""
    node = node or cluster.standbys()[0]
    said = []

    def fault(_):
        cluster.stop(node)
        damage(cluster.nodes[node])
        since = cluster.log_size(node)
        try:
            cluster.start(node)
        except CommandFailed:
            pass  # a server that refuses to start
        cluster.await_log(node, says, since)
        said.append(cluster.log_since(node, since))
        primary = cluster.await_primary()
        assert primary != node
        wait_for(lambda: cluster.health(primary)[node][1] in status, f"{node} is one of {status}", 30,
                 (psycopg2.Error,))

    def recover(_):
        if cluster.runs(node):
            cluster.stop(node, "immediate")
        mend(cluster.nodes[node])
        cluster.start(node)
    result = write_through(cluster, fault, recover=recover)
    assert result.new == result.old
    assert not result.problems, result.problems
    return said[0]


def a_damaged_raft_log(test, cluster):
    """Its first bytes say whose it is: without them nothing of it is believed."""
    kept = test.directory() / "raft"
    damaged = []

    def damage(node):
        subprocess.run(["cp", "-a", node.state / "raft", kept], check=True)
        for path in (node.state / "raft").iterdir():
            if path.is_file() and path.stat().st_size >= 4096:
                damaged.append(path)
                flip(path, 0, 64)
        assert damaged, list((node.state / "raft").iterdir())

    def mend(node):
        for path in damaged:
            with open(path, "r+b") as file:  # the directory itself must stay: a copy of it is refused
                file.write((kept / path.name).read_bytes())
    go_wrong(cluster, damage, mend, "the consensus worker stops")


def a_raft_log_damaged_in_the_middle(test, cluster):
    """What was lost is fetched from the others; until then it does not vote."""
    node = cluster.standbys()[0]
    raft = cluster.nodes[node].state / "raft"
    for _ in range(20):
        cluster.sql("SELECT system.set_priority(%s, 50)", (node,))

    def fault(_):
        cluster.kill(node)
        used = max((p for p in raft.iterdir() if p.is_file() and p.stat().st_size >= 65536),
                   key=lambda p: p.stat().st_mtime)
        content = used.read_bytes()
        end = len(content.rstrip(b"\0"))
        flip(used, end // 2, 16)
        since = cluster.log_size(node)
        cluster.start(node)
        wait_for(lambda: cluster.health(cluster.await_primary())[node][1] == "healthy", f"{node} is healthy", 60,
                 (psycopg2.Error,))
        test.note("\n".join(line for line in cluster.log_since(node, since).splitlines() if "aft" in line)[:600])
    result = write_through(cluster, fault)
    assert not result.problems, result.problems


def a_damaged_pledge(test, cluster):
    """It does not know what it promised: it stays closed, a standby that takes WAL from nobody."""
    primary, standby = cluster.await_primary(), cluster.standbys()[0]
    cluster.sql("SELECT system.failover(%s)", (standby,), node=standby)
    cluster.await_healthy()
    go_wrong(cluster, lambda node: flip(node.state / "pledge", 4), lambda node: flip(node.state / "pledge", 4),
             "this node stays closed", node=primary)


def no_state_directory(test, cluster):
    def away(node):
        node.state.rename(node.state.with_name("state.away"))

    def back(node):
        if node.state.exists():
            shutil.rmtree(node.state)
        node.state.with_name("state.away").rename(node.state)
    said = go_wrong(cluster, away, back, "this node is closed")
    assert "state" in said and "No such file" in said, said


def the_state_directory_of_another_node(test, cluster):
    one, other = cluster.standbys()

    def swap(node):
        node.state.rename(node.state.with_name("state.own"))
        subprocess.run(["cp", "-a", cluster.nodes[other].state, node.state], check=True)

    def back(node):
        shutil.rmtree(node.state)
        node.state.with_name("state.own").rename(node.state)
    said = go_wrong(cluster, swap, back, "this node is closed", node=one)
    assert f'belongs to another node ("{other}")' in said, said


def a_copy_of_its_own_state_directory(test, cluster):
    """As a restored backup of it would be: it has forgotten the newest votes."""
    def copy(node):
        node.state.rename(node.state.with_name("state.own"))
        subprocess.run(["cp", "-a", node.state.with_name("state.own"), node.state], check=True)

    def back(node):
        shutil.rmtree(node.state)
        node.state.with_name("state.own").rename(node.state)
    go_wrong(cluster, copy, back, "is a copy of this node's directory")


def a_state_directory_that_cannot_be_written(test, cluster):
    if os.geteuid() != 0:
        test.skip("what the account may not write needs root")

    def forbid(node):
        subprocess.run(["chown", "-R", "root:root", node.state], check=True)
        subprocess.run(["chmod", "-R", "a+rX,go-w", node.state], check=True)

    def allow(node):
        subprocess.run(["chown", "-R", f"{cluster.account}:{cluster.account}", node.state], check=True)
        subprocess.run(["chmod", "-R", "go-rwx", node.state], check=True)
    go_wrong(cluster, forbid, allow, "Permission denied")


def a_second_server_on_the_same_state_directory(test, cluster):
    """A copy of a whole node on the same machine: the marker leads it to the state directory in use."""
    node = cluster.standbys()[0]
    n = cluster.nodes[node]
    copy = test.directory() / "data"
    subprocess.run(["cp", "-a", n.data, copy], check=True)
    (copy / "postmaster.pid").unlink()
    shutil.chown(copy.parent, cluster.account, cluster.account)
    words = [os.environ["PGQUORUM_BINDIR"] + "/postgres", "-D", copy, "-p", str(n.port + 30)]
    if os.geteuid() == 0:
        words = ["setpriv", "--reuid", cluster.account, "--regid", cluster.account, "--init-groups", *words]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, cwd="/", check=False)
    assert done.returncode != 0 and "another server uses state directory" in done.stderr, done.stderr
    cluster.await_healthy()


main(a_damaged_raft_log, a_raft_log_damaged_in_the_middle, a_damaged_pledge, no_state_directory,
     the_state_directory_of_another_node, a_copy_of_its_own_state_directory, a_state_directory_that_cannot_be_written,
     a_second_server_on_the_same_state_directory, shared=three_nodes)
