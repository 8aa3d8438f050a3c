#!/usr/bin/python3
"""Certificates that have expired, are of another authority or another node, or are not there."""
import subprocess

import psycopg2

from pgquorum_tap import main, wait_for
from pgquorum_tap.pki import expired, self_made
from pgquorum_tap.scenarios import write_through


def three_nodes(test):
    return test.cluster()


def with_wrong_certificate(test, cluster, make, says, node=None):
    """A standby is restarted with what make(pki) leaves in its pki directory. Its log `says` why, the others go on,
    and with its own files back it is healthy."""
    node = node or cluster.standbys()[0]
    pki = cluster.nodes[node].state / "pki"
    kept = test.directory() / "pki"
    subprocess.run(["cp", "-a", pki, kept], check=True)
    said = []

    def fault(_):
        cluster.stop(node)
        make(pki)
        since = cluster.log_size(node)
        cluster.start(node)
        cluster.await_log(node, says, since)
        said.append(cluster.log_since(node, since))
        primary = cluster.await_primary()
        wait_for(lambda: cluster.health(primary)[node][1] != "healthy", f"{node} is not healthy", 30, (psycopg2.Error,))

    def recover(_):
        if cluster.runs(node):
            cluster.stop(node, "immediate")
        subprocess.run(["cp", "-a", f"{kept}/.", pki], check=True)
        cluster.start(node)
    result = write_through(cluster, fault, recover=recover)
    assert result.new == result.old
    assert not result.problems, result.problems
    return said[0]


def an_expired_certificate(test, cluster):
    with_wrong_certificate(test, cluster, expired, "has expired")


def a_certificate_of_another_authority(test, cluster):
    """With an authority of its own, so that the files fit together: the others refuse it, and it refuses them."""
    standby = cluster.standbys()[0]

    def make(pki):
        self_made(pki, standby)
    said = with_wrong_certificate(test, cluster, make, "certificate")
    test.note(next(line for line in said.splitlines() if "certificate" in line))


def the_certificate_of_another_node(test, cluster):
    one, other = cluster.standbys()

    def make(pki):
        for name in ("node.crt", "node.key"):
            (pki / name).write_bytes((cluster.nodes[other].state / "pki" / name).read_bytes())
    said = with_wrong_certificate(test, cluster, make, f'"{other}"', node=one)
    assert f'"{one}"' in said


def no_key(test, cluster):
    with_wrong_certificate(test, cluster, lambda pki: (pki / "node.key").unlink(), "node.key")


main(an_expired_certificate, a_certificate_of_another_authority, the_certificate_of_another_node, no_key,
     shared=three_nodes)
