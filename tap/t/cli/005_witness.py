#!/usr/bin/python3
"""A witness by hand: it joins, sends others on, is started by nobody else, and leaves like any member."""
import shutil

import psycopg2

from pgquorum_tap import main, wait_for
from pgquorum_tap.by_hand import ByHand
from pgquorum_tap.cluster import pgquorum, run


def a_node_and_a_witness(test):
    cluster = test.cluster(ByHand, nodes=3)
    # Only a witness gets its configuration here; a data node's comes with its data.
    refused = pgquorum("cluster", "join", "--token", "x", "--node-id", "node2", "--data", cluster.nodes["node2"].data,
                       "--cluster-address", "127.0.0.1:1", "--listen", "127.0.0.1:2", "--raft", "127.0.0.1:3",
                       "--set", "work_mem=1MB", check=False)
    assert refused.returncode == 2 and "--witness" in refused.stderr, refused.stderr
    cluster.join("node2", witness=True)
    cluster.await_healthy()
    return cluster


def another_node_joins_through_it(test, cluster):
    """It sends the node on to one that has the key of the cluster's authority, and the data."""
    assert not (cluster.nodes["node2"].state / "pki" / "ca.key").exists()
    cluster.join("node3", contact="node2")
    cluster.await_healthy()
    assert cluster.health("node2") == {"node1": ("primary", "healthy"), "node2": ("witness", "healthy"),
                                       "node3": ("standby", "healthy")}
    assert (cluster.nodes["node3"].state / "pki" / "ca.key").exists()


def a_copy_of_it_is_refused(test, cluster):
    """Of the same identity there is one; another server's directory is not it."""
    witness = cluster.nodes["node2"]
    copy = test.directory() / "data"
    cluster.stop("node2")
    run("cp", "-a", witness.data, copy)
    cluster.start("node2")
    shutil.chown(copy.parent, witness.data.owner())
    since = len(witness.log.read_text())
    done = pgquorum("node", "start", "--data", copy, "--log", witness.log, check=False)
    assert done.returncode == 1 and "another server uses state directory" in witness.log.read_text()[since:], done.stderr
    cluster.await_healthy()


def it_leaves(test, cluster):
    cluster.sql("SELECT system.remove_member('node2')")
    cluster.forget("node2")
    cluster.await_healthy()
    assert cluster.value("SELECT voters FROM system.raft_status", node="node1") == 2
    wait_for(lambda: set(cluster.health("node3")) == {"node1", "node3"}, "node3 knows", 30, (psycopg2.Error,))


main(another_node_joins_through_it, a_copy_of_it_is_refused, it_leaves, shared=a_node_and_a_witness)
