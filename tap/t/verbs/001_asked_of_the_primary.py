#!/usr/bin/python3
"""A switchover that is asked of the old primary: its session ends, and says so; the command line finds the outcome."""
import json

from pgquorum_tap import main
from pgquorum_tap.cluster import NOT_YET, bindir, pgquorum, run
from pgquorum_tap.waiting import wait_for


def three_nodes(test):
    return test.cluster()


def the_session_ends_with_a_word(test, cluster):
    old = cluster.await_primary()
    target = cluster.standbys()[0]
    # psql shows what the server said last; psycopg2 only that the connection is closed.
    asked = run(bindir() / "psql", cluster.node_url(old), "-c", f"SELECT system.failover('{target}')", check=False)
    assert asked.returncode != 0, "the session outlived its server"
    assert "this server restarts and becomes a standby" in asked.stderr, asked.stderr
    assert "system.failover_history" in asked.stderr, asked.stderr

    def outcome():
        return cluster.sql("SELECT kind, outcome, old_primary, new_primary FROM system.failover_history LIMIT 1", node=old)
    wait_for(lambda: outcome()[:1] == [("switchover", "succeeded", old, target)], "the history on the old primary", 60, NOT_YET)
    cluster.await_healthy()


def the_command_line_tells_the_outcome(test, cluster):
    old = cluster.await_primary()
    target, other = cluster.standbys()
    # Asked of the old primary, whose session ends with it.
    done = pgquorum("cluster", "failover", "--to", target, "--data", cluster.nodes[old].data, "--json")
    said = json.loads(done.stdout)
    assert (said["new_primary"], said["old_primary"], said["kind"], said["outcome"]) == \
        (target, old, "switchover", "succeeded"), said
    assert cluster.await_primary() == target
    cluster.await_healthy()
    # Asked of a standby, in an emergency, and the cluster chooses.
    done = pgquorum("cluster", "failover", "--immediate", "--url", cluster.node_url(other))
    new = cluster.await_primary()
    assert new != target and done.stdout.startswith(f"{new} is the primary (before: {target}; forced failover"), done
    cluster.await_healthy()


def the_command_line_says_why_not(test, cluster):
    primary = cluster.await_primary()
    url = cluster.node_url(cluster.standbys()[0])
    for words, code, why in ((("--target", "nobody"), 2, 'no member "nobody"'), (("--to", primary), 1, "is the primary"),
                             (("--accept-loss",), 2, "--immediate")):
        done = pgquorum("cluster", "failover", "--url", url, *words, check=False)
        assert done.returncode == code and why in done.stderr and not done.stdout, (words, done)
    assert cluster.await_primary() == primary


main(the_session_ends_with_a_word, the_command_line_tells_the_outcome, the_command_line_says_why_not,
     shared=three_nodes)
