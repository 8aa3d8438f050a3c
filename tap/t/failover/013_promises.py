#!/usr/bin/python3
"""What else was promised to clients: prepared transactions, sequences, the wait for the quorum; and who may end that wait."""
import os
import shutil
import signal
import subprocess
import tempfile
import threading

import psycopg2

from pgquorum_tap import Checker, WriteLoad, main, wait_for
from pgquorum_tap.cluster import bindir
from pgquorum_tap.scenarios import write_through

PREPARED = 5


def three_nodes(test):
    cluster = test.cluster(settings={"max_prepared_transactions": 20})
    cluster.sql("CREATE ROLE archivist LOGIN REPLICATION PASSWORD 'secret'")
    return cluster


def prepared_transactions_survive(test, cluster):
    """What was prepared before the primary's death can be finished, either way, on its successor."""
    cluster.sql("CREATE TABLE prepared (i int)")
    for i in range(PREPARED):
        with psycopg2.connect(cluster.url()) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute(f"BEGIN; INSERT INTO prepared VALUES ({i}); PREPARE TRANSACTION 'p{i}'")
    result = write_through(cluster, cluster.kill, recover=cluster.start)
    assert not result.problems, result.problems
    assert cluster.value("SELECT count(*) FROM pg_prepared_xacts") == PREPARED
    assert cluster.value("SELECT count(*) FROM prepared") == 0
    cluster.sql("COMMIT PREPARED 'p0'")
    cluster.sql("ROLLBACK PREPARED 'p1'")
    # And once more: what was finished stays finished, the others stay prepared.
    cluster.sql("SELECT system.failover(%s)", (cluster.standbys()[0],), node=cluster.standbys()[0])
    cluster.await_healthy()
    for i in range(2, PREPARED):
        cluster.sql(f"COMMIT PREPARED 'p{i}'")
    assert cluster.sql("SELECT i FROM prepared ORDER BY i") == [(0,), (2,), (3,), (4,)]
    assert cluster.value("SELECT count(*) FROM pg_prepared_xacts") == 0
    cluster.sql("DROP TABLE prepared")


class Numbers(threading.Thread):
    """Inserts rows that take their number from a sequence, through failovers, and remembers what was acknowledged."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        self._cluster = cluster
        self.got = []
        self.stopping = threading.Event()

    def run(self):
        while not self.stopping.is_set():
            try:
                connection = self._cluster.connect()
                with connection.cursor() as cursor:
                    while not self.stopping.is_set():
                        cursor.execute("INSERT INTO numbered DEFAULT VALUES RETURNING id")
                        self.got.append(cursor.fetchone()[0])
            except psycopg2.Error:
                self.stopping.wait(0.02)


def no_sequence_gives_a_number_twice(test, cluster):
    """Numbers of acknowledged rows. One that was fetched alone, and stored nowhere, may come again, as it may after
    a crash of any PostgreSQL server: nothing waits for the record that another session wrote."""
    cluster.sql("CREATE TABLE numbered (id bigserial)")
    takers = [Numbers(cluster) for _ in range(3)]

    def more():
        before = sum(len(t.got) for t in takers)
        wait_for(lambda: sum(len(t.got) for t in takers) > before + 200, "200 numbers more")
    for taker in takers:
        taker.start()
    more()
    old = cluster.await_primary()
    cluster.kill(old)
    more()
    for taker in takers:
        taker.stopping.set()
        taker.join(30)
    got = sorted(n for t in takers for n in t.got)
    twice = [a for a, b in zip(got, got[1:]) if a == b]
    assert not twice, f"{len(twice)} numbers were given twice: {twice[:5]}"
    assert cluster.value("SELECT count(*) FROM (SELECT id FROM numbered GROUP BY id HAVING count(*) > 1) twice") == 0
    assert cluster.value("SELECT nextval('numbered_id_seq')") > got[-1]
    cluster.start(old)
    cluster.await_healthy()


def insert(connection, table, outcome):
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {table} VALUES (1)")
        outcome.append("acknowledged")
    except psycopg2.Error as error:
        outcome.append(error.pgcode or "connection lost")


def a_row_that_waits_is_neither_acknowledged_nor_shown_after_a_crash(test, cluster):
    """13, 14: no standby acknowledges; cancel and terminate do not end the wait, a crash drops it unanswered."""
    cluster.sql("CREATE TABLE waits (i int)")
    primary = cluster.await_primary()
    frozen = cluster.signal_processes(primary, "walsender", signal.SIGSTOP)
    connection, outcome = cluster.connect(primary), []
    thread = threading.Thread(target=insert, args=(connection, "waits", outcome), daemon=True)
    thread.start()
    pid = connection.info.backend_pid
    wait_for(lambda: cluster.value("SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = %s", (pid,), primary),
             "the commit waits", 20)
    cluster.sql("SELECT pg_cancel_backend(%s), pg_terminate_backend(%s)", (pid, pid), primary)
    assert cluster.value("SELECT count(*) FROM waits", node=primary) == 0 and not outcome, outcome
    cluster.kill(primary)
    thread.join(20)
    assert outcome and outcome[0] != "acknowledged", outcome
    assert all(not os.path.exists(f"/proc/{p}") for p in frozen)
    new = cluster.await_primary(other_than=primary)
    cluster.start(primary)
    cluster.await_healthy()
    seen = {cluster.value("SELECT count(*) FROM waits", node=node) for node in cluster.nodes}
    assert seen == {0}, f"a row that no standby had was shown by a node: {seen} (primary {new})"


def streams(test, cluster, name):
    """A program that receives WAL from the primary and acknowledges it at once, under a name that it chooses."""
    n = cluster.nodes[cluster.await_primary()]
    target = tempfile.mkdtemp(prefix=f"pgquorum-tap-{os.getpid()}-")
    test.on_end(shutil.rmtree, target, True)
    program = subprocess.Popen([bindir() / "pg_receivewal", "-D", target, "--synchronous", "--no-loop", "--no-password",
                                "-d", f"host={n.host} port={n.port} user=archivist password=secret {name}"],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    test.on_end(program.wait, 20)
    test.on_end(program.kill)
    return program


def a_stranger_does_not_acknowledge_under_the_name_of_a_standby(test, cluster):
    """36: the list knows standbys by application_name, which every client may choose, in two ways."""
    primary = cluster.await_primary()
    name = cluster.value("SELECT application_name FROM system.cluster_members WHERE synchronous LIMIT 1")
    for choice in (f"application_name={name}", f"options='-c application_name={name}'"):
        said, _ = streams(test, cluster, choice).communicate(timeout=30)
        assert f'replication under the name "{name}" is refused' in said, said
    assert cluster.value("SELECT count(*) FROM pg_stat_replication WHERE application_name = %s", (name,), primary) == 1


def a_name_that_counts_for_nothing_is_free(test, cluster):
    archive = streams(test, cluster, "application_name=archive.tv")
    wait_for(lambda: cluster.value("SELECT sync_state FROM pg_stat_replication WHERE application_name = 'archive.tv'")
             == "async", "the archive streams", 30, (IndexError,))
    archive.kill()


main(prepared_transactions_survive, no_sequence_gives_a_number_twice,
     a_row_that_waits_is_neither_acknowledged_nor_shown_after_a_crash,
     a_stranger_does_not_acknowledge_under_the_name_of_a_standby,
     a_name_that_counts_for_nothing_is_free, shared=three_nodes)
