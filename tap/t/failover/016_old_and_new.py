#!/usr/bin/python3
"""Who becomes the primary, and what is left of the old one: asynchronous mode, priorities, a frozen postmaster, an orphan."""
import os
import signal
import threading

import psycopg2

from pgquorum_tap import main, wait_for
from pgquorum_tap.cluster import NOT_YET
from pgquorum_tap.scenarios import with_everybody, write_through


def three_nodes(test):
    return test.cluster()


def in_mode(cluster, mode):
    """Until the rule is that of the mode, on the primary."""
    cluster.sql(f"ALTER SYSTEM SET pgquorum.replication_mode = '{mode}'")
    wanted = {"async": "", "quorum": "ANY 1 "}[mode]
    wait_for(lambda: cluster.value("SHOW synchronous_standby_names")[:6] == wanted, f"the list of {mode} mode", 30, NOT_YET)


def the_primary_dies_in_asynchronous_mode(test, cluster):
    """1: one new primary, which waits until the old lease has ended; the old one comes back as a standby. Rows may be
    lost; none is there twice, none whose insert failed."""
    in_mode(cluster, "async")
    result = write_through(cluster, cluster.kill, recover=cluster.start, prepare=with_everybody)
    assert result.new != result.old and result.overlap_ms == 0, (result.old, result.new, result.overlap_ms)
    worse = [p for p in result.problems if "acknowledged rows are missing" not in p]
    assert not worse, worse
    assert cluster.health(result.new)[result.old] == ("standby", "healthy")
    in_mode(cluster, "quorum")
    test.note(f"write outage {result.outage_ms:.0f} ms; {result.problems or 'nothing lost'}")


def sender_of(cluster, primary, node):
    return cluster.value("SELECT pid FROM pg_stat_replication WHERE application_name LIKE %s", (f"{node}.%",), primary)


def the_preferred_node_fetches_what_it_lacks(test, cluster):
    """24: it has less WAL than the other standby, which alone acknowledged, and becomes the primary with all of it."""
    primary = cluster.await_primary()
    preferred, other = cluster.standbys()
    for node, priority in ((preferred, 90), (other, 50), (primary, 10)):
        cluster.sql("SELECT system.set_priority(%s, %s)", (node, priority))
    cluster.sql("CREATE TABLE IF NOT EXISTS ahead (t text)")
    cluster.await_caught_up()

    def fault(old):
        os.kill(sender_of(cluster, old, preferred), signal.SIGSTOP)
        cluster.sql("INSERT INTO ahead SELECT repeat('x', 1000) FROM generate_series(1, 2000)", node=old)
        cluster.kill(old)
    result = write_through(cluster, fault, recover=cluster.start)
    assert result.new == preferred, (result.old, preferred, result.new)
    assert not result.problems, result.problems
    assert cluster.value("SELECT count(*) FROM ahead") == 2000
    for node in cluster.nodes:
        cluster.sql("SELECT system.set_priority(%s, 100)", (node,))


def the_postmaster_alone_is_frozen(test, cluster):
    """9: nobody gets in any more, while sessions that are in go on writing until the takeover."""
    def fault(old):
        os.kill(cluster.postmaster(old), signal.SIGSTOP)
        cluster.await_primary(other_than=old)

    def recover(old):
        os.kill(cluster.postmaster(old), signal.SIGCONT)
    result = write_through(cluster, fault, recover=recover, prepare=with_everybody)
    assert result.new != result.old
    assert not result.problems and result.overlap_ms == 0, (result.problems, result.overlap_ms)
    assert cluster.health(result.new)[result.old] == ("standby", "healthy")
    test.note(f"write outage {result.outage_ms:.0f} ms")


ORPHAN = """DO $$ BEGIN
  WHILE pg_stat_file('go', true) IS NULL LOOP END LOOP;
  INSERT INTO orphans VALUES (1);
END $$"""


def an_orphan_of_a_dead_postmaster_commits_nothing(test, cluster):
    """10: a session in a loop does not see that its postmaster is dead. It writes when another node is the primary."""
    cluster.sql("CREATE TABLE orphans (i int)")
    old = cluster.await_primary()
    session, said = cluster.connect(old), []

    def work():
        try:
            session.cursor().execute(ORPHAN)
            said.append("acknowledged")
        except psycopg2.Error as error:
            said.append(error.pgcode or "connection lost")
    pid = session.info.backend_pid
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    wait_for(lambda: cluster.value("SELECT state FROM pg_stat_activity WHERE pid = %s", (pid,), old) == "active", "it loops")

    def fault(_):
        cluster.kill_postmaster(old)
        cluster.await_primary(other_than=old)
        assert os.path.exists(f"/proc/{pid}") and not said, said
        (cluster.nodes[old].data / "go").touch()
        thread.join(30)
        assert said and said[0] != "acknowledged", said

    def recover(_):
        (cluster.nodes[old].data / "go").unlink()
        wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the orphan has ended", 30)
        cluster.start(old)
    result = write_through(cluster, fault, recover=recover)
    assert result.new != result.old
    assert not result.problems, result.problems
    assert {cluster.value("SELECT count(*) FROM orphans", node=node) for node in cluster.nodes} == {0}
    test.note(f"the orphan was told: {said[0]}")


main(the_primary_dies_in_asynchronous_mode, the_preferred_node_fetches_what_it_lacks, the_postmaster_alone_is_frozen,
     an_orphan_of_a_dead_postmaster_commits_nothing, shared=three_nodes)
