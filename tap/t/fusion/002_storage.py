#!/usr/bin/python3
"""Whose storage it is: what a server refuses to open, what a clean stop leaves, and what happens to segments."""
import os
import shutil
import threading

import psycopg2

from pgquorum_tap import main, wait_for
from pgquorum_tap.fusion import FusionServer


def refused(server, statement, text, node="node1"):
    try:
        server.sql(statement, node=node)
    except psycopg2.Error as error:
        assert text in str(error), error
        return
    raise AssertionError(f"{statement}: not refused")


def transaction(server):
    """A connection whose statements form transactions."""
    connection = server.connect("node1")
    connection.autocommit = False
    return connection


def segments(server):
    names = (name for name in os.listdir(server.storage) if name.startswith("segment-"))
    return {name for name in names if not name.startswith("segment-00000000")}


def a_clean_stop_leaves_nothing_to_replay(test):
    server = test.cluster(FusionServer)
    server.sql("CREATE TABLE t (a int) USING fusion")
    server.sql("INSERT INTO t SELECT generate_series(1, 1000)")
    server.stop("node1")
    server.start("node1")
    assert server.value("SELECT sum(a) FROM t") == 500500
    assert server.sql("SELECT recovery_records, recovery_bytes FROM system.fusion_storage") == [(0, 0)]


def segments_go_with_their_tables(test):
    server = test.cluster(FusionServer, settings={"pgquorum.fusion_checkpoint_timeout": "1s"})
    server.sql("CREATE TABLE stays (a int) USING fusion")
    server.sql("INSERT INTO stays SELECT generate_series(1, 1000)")
    wait_for(lambda: len(segments(server)) == 1, "the segment is written")
    before = segments(server)
    connection = transaction(server)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE aborted USING fusion AS SELECT generate_series(1, 1000)")
        wait_for(lambda: len(segments(server)) == 2, "the new segment is written")
        cursor.execute("SAVEPOINT s")
        cursor.execute("TRUNCATE stays")
        cursor.execute("ROLLBACK TO s")
    connection.rollback()
    wait_for(lambda: segments(server) == before, "an aborted table's segment is gone")
    server.sql("TRUNCATE stays")
    wait_for(lambda: not segments(server) & before, "a truncated table has a new segment")
    server.sql("CREATE DATABASE other")
    server.sql("DROP TABLE stays")
    wait_for(lambda: not segments(server), "a dropped table's segment is gone")
    with psycopg2.connect(host="127.0.0.1", port=server.nodes["node1"].port, dbname="other", user=server.account) as there:
        there.autocommit = True
        with there.cursor() as cursor:
            cursor.execute("CREATE EXTENSION pgquorum")
            cursor.execute("CREATE TABLE t USING fusion AS SELECT generate_series(1, 1000)")
    there.close()
    server.sql("CREATE DATABASE copy TEMPLATE other")
    with psycopg2.connect(host="127.0.0.1", port=server.nodes["node1"].port, dbname="copy", user=server.account) as there:
        with there.cursor() as cursor:
            try:
                cursor.execute("SELECT count(*) FROM t")
                raise AssertionError("a table without a segment was read")
            except psycopg2.Error as error:
                assert "does not hold this table" in str(error), error
    there.close()
    wait_for(lambda: len(segments(server)) == 1, "the other database's segment is written")
    server.sql("DROP DATABASE copy")
    server.sql("DROP DATABASE other")
    wait_for(lambda: not segments(server), "a dropped database's segments are gone")


def a_standby_and_a_second_server_are_refused(test):
    server = test.cluster(FusionServer, nodes=2)
    server.sql("CREATE TABLE t USING fusion AS SELECT 1 AS a")
    wait_for(lambda: server.sql("SELECT 1 FROM pg_class WHERE relname = 't'", node="node2"), "the table is known there")
    refused(server, "SELECT * FROM t", "fusion tables cannot be used on a standby", node="node2")
    # Promoted, it meets the lock of the first server; and when that is gone, another timeline.
    server.sql("SELECT pg_promote()", node="node2")
    refused(server, "SELECT * FROM t", "another server has the fusion storage open", node="node2")
    assert server.value("SELECT a FROM t") == 1
    server.stop("node1")
    wait_for(lambda: "timeline" in (server.sql("SELECT reason FROM system.fusion_storage", node="node2")[0][0] or "")
             or "does not belong" in server.sql("SELECT reason FROM system.fusion_storage", node="node2")[0][0],
             "the promoted server says why it does not take over")
    refused(server, "SELECT * FROM t", "does not belong to this server", node="node2")
    server.start("node1")
    assert server.value("SELECT a FROM t") == 1


def a_missing_or_foreign_directory_is_refused(test):
    server = test.cluster(FusionServer)
    server.sql("CREATE TABLE t USING fusion AS SELECT 1 AS a")
    server.stop("node1")
    aside = server.directory / "aside"
    os.rename(server.storage, aside)
    server._run("mkdir", server.storage)
    server.start("node1")
    refused(server, "SELECT * FROM t", "does not belong to this server")
    assert [n for n in os.listdir(server.storage) if n != "lock"] == []
    server.stop("node1")
    (server.storage / "lock").unlink(missing_ok=True)
    os.rmdir(server.storage)
    os.rename(aside, server.storage)
    server.start("node1")
    assert server.value("SELECT a FROM t") == 1


def waits_for_a_lock(server, connection):
    wait_for(lambda: server.value(f"SELECT wait_event_type FROM pg_stat_activity WHERE pid = {connection.info.backend_pid}")
             == "Lock", "the other session waits")


def references_hold(server):
    """A reference keeps its row from being removed, also when the row was changed beside the check of the reference."""
    server.sql("CREATE TABLE parent (id int PRIMARY KEY, note text) USING fusion")
    server.sql("CREATE TABLE child (parent int REFERENCES parent) USING fusion")
    server.sql("INSERT INTO parent VALUES (1, ''), (2, '')")
    one, two, three = transaction(server), transaction(server), transaction(server)
    errors = []

    def run(connection, statement):
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
            connection.commit()
        except psycopg2.Error as error:
            errors.append(error.pgcode)

    # The row is changed, then removed, by a transaction that is running.
    with one.cursor() as first:
        first.execute("UPDATE parent SET note = 'changed' WHERE id = 1")
        first.execute("DELETE FROM parent WHERE id = 1")
        thread = threading.Thread(target=run, args=(two, "INSERT INTO child VALUES (1)"))
        thread.start()
        waits_for_a_lock(server, two)
    one.commit()
    thread.join()
    assert errors == ["23503"], errors
    two.rollback()
    # Two references, the first of which ends; a change of the row waits for the second all the same.
    with one.cursor() as first, two.cursor() as second:
        first.execute("INSERT INTO child VALUES (2)")
        second.execute("INSERT INTO child VALUES (2)")
        one.rollback()
        thread = threading.Thread(target=run, args=(three, "UPDATE parent SET note = 'changed' WHERE id = 2"))
        thread.start()
        waits_for_a_lock(server, three)
    two.commit()
    thread.join()
    refused(server, "DELETE FROM parent WHERE id = 2", "violates foreign key constraint")
    for connection in (one, two, three):
        connection.close()


def waits_end(test):
    """Row locks: waiting, NOWAIT, SKIP LOCKED, deadlocks, cancelled waits, and an owner that dies."""
    server = test.cluster(FusionServer, settings={"deadlock_timeout": "100ms"})
    server.sql("CREATE TABLE t USING fusion AS SELECT generate_series(1, 3) AS a")
    one, two = transaction(server), transaction(server)
    with one.cursor() as first, two.cursor() as second:
        first.execute("SELECT a FROM t WHERE a = 1 FOR UPDATE")
        second.execute("SELECT a FROM t ORDER BY a FOR UPDATE SKIP LOCKED")
        assert second.fetchall() == [(2,), (3,)]
        two.rollback()
        for statement, error in (("SELECT a FROM t WHERE a = 1 FOR SHARE NOWAIT", psycopg2.errors.LockNotAvailable),
                                 ("SET LOCAL lock_timeout = '50ms'; DELETE FROM t WHERE a = 1", psycopg2.errors.LockNotAvailable),
                                 ("SET LOCAL statement_timeout = '50ms'; UPDATE t SET a = 4 WHERE a = 1",
                                  psycopg2.errors.QueryCanceled)):
            try:
                second.execute(statement)
                raise AssertionError(f"{statement}: no error")
            except error:
                two.rollback()
        one.rollback()
        # Two that share, and one of them that wants more.
        first.execute("SELECT a FROM t WHERE a = 2 FOR SHARE")
        second.execute("SELECT a FROM t WHERE a = 2 FOR SHARE")
        two.rollback()
        first.execute("SAVEPOINT s")
        first.execute("UPDATE t SET a = 20 WHERE a = 2")
        first.execute("ROLLBACK TO s")
        try:
            second.execute("SELECT a FROM t WHERE a = 2 FOR UPDATE NOWAIT")
            raise AssertionError("the lock of the parent was lost with its subtransaction")
        except psycopg2.errors.LockNotAvailable:
            two.rollback()
        one.rollback()
    one.close()
    two.close()
    deadlock(server)
    references_hold(server)
    # The owner's session ends: the row is free.
    owner = transaction(server)
    with owner.cursor() as cursor:
        cursor.execute("UPDATE t SET a = a WHERE a = 1")
    server.sql(f"SELECT pg_terminate_backend({owner.info.backend_pid}, 5000)")
    server.sql("UPDATE t SET a = 100 WHERE a = 1")
    assert sorted(server.sql("SELECT a FROM t")) == [(2,), (3,), (100,)]


def deadlock(server):
    one, two = transaction(server), transaction(server)
    outcome = []

    def then(connection, statement):
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
            outcome.append("ok")
        except psycopg2.errors.DeadlockDetected:
            outcome.append("deadlock")
        connection.rollback()

    with one.cursor() as first, two.cursor() as second:
        first.execute("UPDATE t SET a = a WHERE a = 1")
        second.execute("UPDATE t SET a = a WHERE a = 2")
    threads = [threading.Thread(target=then, args=(one, "UPDATE t SET a = a WHERE a = 2")),
               threading.Thread(target=then, args=(two, "UPDATE t SET a = a WHERE a = 1"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(outcome) == ["deadlock", "ok"], outcome
    one.close()
    two.close()


def index_segments_go_with_their_indexes(test):
    """Statements that replace, keep or drop an index's file, committed and not, and a crash after them."""
    server = test.cluster(FusionServer, settings={"pgquorum.fusion_checkpoint_timeout": "1s"})
    server.sql("CREATE TABLE t (a int, b text) USING fusion")
    server.sql("INSERT INTO t SELECT i, 'b' || i FROM generate_series(1, 1000) i")
    server.sql("CREATE INDEX t_a ON t (a)")
    server.sql("ALTER TABLE t ADD UNIQUE (b)")
    wait_for(lambda: len(segments(server)) == 3, "a table and two indexes are written")

    def holds(statement, count, replaced):
        before = segments(server)
        connection = transaction(server)
        with connection.cursor() as cursor:
            cursor.execute(statement)
            connection.rollback()
            wait_for(lambda: segments(server) == before, f"{statement}, rolled back: nothing has changed")
            cursor.execute("SAVEPOINT s")
            cursor.execute(statement)
            cursor.execute("ROLLBACK TO s")
            cursor.execute(statement)
            connection.commit()
        connection.close()
        wait_for(lambda: len(segments(server)) == count and len(before - segments(server)) == replaced, statement)
        assert server.sql("SELECT count(*) FROM t WHERE a BETWEEN 11 AND 20") == [(10,)]
        assert server.sql("SELECT * FROM system.fusion_check()") == []

    holds("REINDEX INDEX t_a", 3, 1)
    holds("REINDEX TABLE t", 3, 2)
    holds("ALTER TABLE t ALTER b TYPE varchar", 3, 0)  # the new index takes the old one's file over
    holds("ALTER TABLE t ALTER b TYPE varchar(7) USING left(b, 7)", 3, 3)
    holds("TRUNCATE t; INSERT INTO t SELECT i, i FROM generate_series(1, 100) i", 3, 3)
    holds("CREATE INDEX gone ON t (b); DROP INDEX gone", 3, 0)
    server.sql("REINDEX INDEX CONCURRENTLY t_a")
    server.sql("CREATE INDEX CONCURRENTLY t_ab ON t (a, b)")
    server.kill_all()
    assert server.sql("SELECT * FROM system.fusion_check()") == []
    server.sql("DROP INDEX CONCURRENTLY t_ab")
    server.sql("DROP INDEX t_a")
    wait_for(lambda: len(segments(server)) == 2, "a table and an index are left")
    # A crash while a transaction makes segments leaves them; they go soon after the next start, and so does what a
    # dropped database left.
    connection = transaction(server)
    with connection.cursor() as cursor:
        cursor.execute("CREATE INDEX lost ON t (a)")
    wait_for(lambda: len(segments(server)) == 3, "the uncommitted index is written")
    left = sorted(segments(server))
    shutil.copy(server.storage / left[0], server.storage / f"segment-0000fff0{left[0][16:]}")
    server.kill_all()
    wait_for(lambda: len(segments(server)) == 2, "what belonged to nobody is gone")
    assert server.sql("SELECT * FROM system.fusion_check()") == []
    assert server.sql("SELECT count(*) FROM t") == [(100,)]
    # The check finds and removes what is found later.
    shutil.copy(server.storage / left[0], server.storage / f"{left[0][:16]}00fffff0-0000")
    assert len(server.sql("SELECT * FROM system.fusion_check()")) == 1
    assert len(server.sql("SELECT * FROM system.fusion_check(true)")) == 1
    assert server.sql("SELECT * FROM system.fusion_check()") == []
    assert server.sql("SELECT count(*) FROM t") == [(100,)]


def insert_and_wait(server, statement, end):
    """What a session gets that inserts a key which an open transaction has inserted before, once that has ended."""
    server.sql("DELETE FROM keyed")
    owner, late = transaction(server), transaction(server)
    outcome = []

    def insert():
        try:
            with late.cursor() as cursor:
                cursor.execute(statement)
                outcome.append(cursor.rowcount)
            late.commit()
        except psycopg2.Error as error:
            outcome.append(error.pgcode)

    with owner.cursor() as cursor:
        cursor.execute("INSERT INTO keyed VALUES (1, 'owner')")
        thread = threading.Thread(target=insert)
        thread.start()
        wait_for(lambda: server.value("SELECT count(*) FROM pg_locks WHERE NOT granted") == 1, "the second one waits")
        end(owner)
    thread.join(30)
    owner.close()
    late.close()
    return outcome[0], server.sql("SELECT b FROM keyed")


def equal_keys_wait(test):
    server = test.cluster(FusionServer)
    server.sql("CREATE TABLE keyed (a int PRIMARY KEY, b text, EXCLUDE USING btree (a WITH =)) USING fusion")
    commit, rollback = (lambda connection: connection.commit()), (lambda connection: connection.rollback())
    plain = "INSERT INTO keyed VALUES (1, 'late')"
    assert insert_and_wait(server, plain, commit) == ("23505", [("owner",)])
    assert insert_and_wait(server, plain, rollback) == (1, [("late",)])
    nothing = plain + " ON CONFLICT DO NOTHING"
    assert insert_and_wait(server, nothing, commit) == (0, [("owner",)])
    assert insert_and_wait(server, nothing, rollback) == (1, [("late",)])
    update = plain + " ON CONFLICT (a) DO UPDATE SET b = keyed.b || ' ' || excluded.b"
    assert insert_and_wait(server, update, commit) == (1, [("owner late",)])
    server.sql("ALTER TABLE keyed DROP CONSTRAINT keyed_pkey")
    assert insert_and_wait(server, plain, commit) == ("23P01", [("owner",)])
    assert insert_and_wait(server, plain, rollback) == (1, [("late",)])


def what_other_sessions_would_get_wrong_is_refused(test):
    server = test.cluster(FusionServer)
    server.sql("CREATE TABLE parts (a int) PARTITION BY RANGE (a)")
    server.sql("CREATE TABLE one PARTITION OF parts FOR VALUES FROM (0) TO (10) USING fusion")
    server.sql("CREATE TABLE two PARTITION OF parts FOR VALUES FROM (10) TO (20) USING fusion")
    server.sql("INSERT INTO parts VALUES (1)")
    mover, late = transaction(server), transaction(server)
    outcome = []

    def update():
        try:
            with late.cursor() as cursor:
                cursor.execute("UPDATE parts SET a = 2 WHERE a = 1")
            outcome.append("done")
        except psycopg2.errors.SerializationFailure as error:
            outcome.append(str(error))

    with mover.cursor() as cursor:
        cursor.execute("UPDATE parts SET a = 11 WHERE a = 1")
        thread = threading.Thread(target=update)
        thread.start()
        wait_for(lambda: server.value("SELECT count(*) FROM pg_locks WHERE NOT granted") == 1, "the second update waits")
        mover.commit()
    thread.join(30)
    assert len(outcome) == 1 and "moved to another partition" in outcome[0], outcome
    late.rollback()
    assert server.sql("SELECT tableoid::regclass::text, a FROM parts") == [("two", 11)]
    # A snapshot comes over without its commit number.
    with mover.cursor() as first, late.cursor() as second:
        first.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        first.execute("SELECT pg_export_snapshot()")
        second.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        second.execute("SET TRANSACTION SNAPSHOT %s", first.fetchone())
        try:
            second.execute("SELECT * FROM parts")
            raise AssertionError("read with an imported snapshot")
        except psycopg2.errors.FeatureNotSupported:
            late.rollback()
        mover.rollback()
        second.execute("SELECT a FROM parts")
        assert second.fetchall() == [(11,)]


main(a_clean_stop_leaves_nothing_to_replay, segments_go_with_their_tables, a_standby_and_a_second_server_are_refused,
     a_missing_or_foreign_directory_is_refused, waits_end,
     index_segments_go_with_their_indexes, equal_keys_wait, what_other_sessions_would_get_wrong_is_refused)
