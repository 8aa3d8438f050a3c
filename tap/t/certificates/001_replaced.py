#!/usr/bin/python3
"""Certificate files replaced under a running node."""
import os
import pathlib
import tempfile

from pgquorum_tap import main
from pgquorum_tap.cluster import NOT_YET, children, run
from pgquorum_tap.scenarios import write_through
from pgquorum_tap.waiting import wait_for


def replace(path, text):
    """As an administrator should: whole, with owner and mode of before."""
    before = path.stat()
    fresh = path.with_suffix(".new")
    fresh.write_text(text, encoding="ascii")
    os.chown(fresh, before.st_uid, before.st_gid)
    fresh.chmod(before.st_mode & 0o777)
    fresh.rename(path)


def certificate(pki, days):
    """A new certificate for the node's key, by the cluster's authority."""
    with tempfile.TemporaryDirectory() as directory:
        request, made = pathlib.Path(directory, "csr"), pathlib.Path(directory, "crt")
        run("openssl", "x509", "-x509toreq", "-in", pki / "node.crt", "-key", pki / "node.key", "-copy_extensions", "copy",
            "-out", request)
        run("openssl", "x509", "-req", "-in", request, "-CA", pki / "ca.crt", "-CAkey", pki / "ca.key", "-days", days,
            "-copy_extensions", "copy", "-out", made)
        return made.read_text()


def consensus_worker(cluster, node):
    """Process ids: a new start of the worker has another one."""
    return [pid for pid, title in children(cluster.postmaster(node)).items() if "pgquorum consensus" in title]


def terms(cluster):
    return {node: cluster.value("SELECT term FROM system.raft_status", node=node) for node in cluster.nodes}


def under_load_nobody_notices(test, cluster):
    """Every node gets a new certificate while clients write: no worker starts anew, nobody is elected."""
    before = terms(cluster)
    workers = {node: consensus_worker(cluster, node) for node in cluster.nodes}
    assert all(workers.values()), workers

    def replace_all(_):
        for node in cluster.nodes:
            since = cluster.log_size(node)
            pki = cluster.nodes[node].state / "pki"
            replace(pki / "node.crt", certificate(pki, 400))
            cluster.await_log(node, "the new certificate files are in use", since)
    result = write_through(cluster, replace_all)
    assert result.new == result.old
    assert not result.problems, result.problems
    assert terms(cluster) == before
    assert {node: consensus_worker(cluster, node) for node in cluster.nodes} == workers
    # A node that comes back meets the new ones, and they it.
    standby = cluster.standbys()[0]
    cluster.stop(standby)
    cluster.start(standby)
    cluster.await_healthy()


def a_certificate_is_replaced_while_all_goes_on(test, cluster):
    primary = cluster.await_primary()
    for node in (cluster.standbys()[0], primary):
        pki = cluster.nodes[node].state / "pki"
        old = (pki / "node.crt").read_text()
        postmaster = cluster.postmaster(node)

        def judged(wanted, word="", node=node):
            return [(status, reason) for name, status, reason in cluster.sql(
                "SELECT node_id, status, reason FROM system.cluster_health", node=node)
                    if name == node and status == wanted and word in (reason or "")]
        replace(pki / "node.crt", certificate(pki, 10))
        wait_for(lambda: judged("degraded", "certificate expires on"), f"{node} is degraded", 60, NOT_YET)
        # Not usable: the one in use stays, and the log says so.
        replace(pki / "node.crt", "nonsense")
        log = cluster.nodes[node].log
        wait_for(lambda: "the new certificate files are not used" in log.read_text(errors="replace"), "the log says so", 30)
        replace(pki / "node.crt", old)
        wait_for(lambda: judged("healthy"), f"{node} is healthy", 60, NOT_YET)
        assert cluster.postmaster(node) == postmaster
    cluster.await_healthy()
    cluster.sql("CREATE TABLE works ()")


def three_nodes(test):
    return test.cluster()


main(under_load_nobody_notices, a_certificate_is_replaced_while_all_goes_on, shared=three_nodes)
