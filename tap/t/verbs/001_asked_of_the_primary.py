#!/usr/bin/python3
"""A switchover that is asked of the old primary: its session ends, and says so."""
from pgquorum_tap import main
from pgquorum_tap.cluster import NOT_YET, bindir, run
from pgquorum_tap.waiting import wait_for


def the_session_ends_with_a_word(test):
    cluster = test.cluster()
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


main(the_session_ends_with_a_word)
