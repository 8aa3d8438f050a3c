#!/usr/bin/python3
"""The fence inside the committing backend, and the path of a request to the worker: one member, with a stand-in for
the consensus worker that lets the test open and close the gate."""
import contextlib
import os
import signal
import threading

import psycopg2
from pgquorum_tap import main, wait_for
from pgquorum_tap.cluster import children
from pgquorum_tap.lone_member import LoneMember


def member_of(test, extra=""):
    """A member that PostgreSQL would let write: promoted by hand, which the cluster never allowed."""
    member = LoneMember(test, extra)
    member.start()
    member.sql("SELECT pg_promote()")
    return member


def refused(member, query, state="25006", user="postgres"):
    error = member.state_of(query, user)
    assert error is not None and error[0] == state, (query, error)
    return error[1]


def nothing_is_written_while_the_gate_is_closed(test):
    member = member_of(test)
    assert not member.value("SELECT pg_is_in_recovery()"), "the test needs a server that PostgreSQL would let write"
    for query in ("INSERT INTO t VALUES (1)", "CREATE TABLE u ()", "SELECT txid_current()", "SELECT nextval('s')",
                  "SELECT * FROM t FOR UPDATE", "TRUNCATE t", "WITH w AS (INSERT INTO t VALUES (1) RETURNING i) TABLE w",
                  "CREATE TEMP TABLE x AS SELECT 1", "COPY t FROM PROGRAM 'echo 1'", "DO 'BEGIN INSERT INTO t VALUES (1); END'",
                  "SELECT lo_create(0)"):
        refused(member, query)
    assert "node2" in refused(member, "INSERT INTO t VALUES (1)") and "db2.example:5432" in refused(member, "TRUNCATE t")
    assert member.sql("TABLE t") == []
    member.sql("SELECT gate_open(0, 600000)")
    member.sql("INSERT INTO t VALUES (1)")
    member.sql("SELECT gate_close(true)")
    refused(member, "INSERT INTO t VALUES (2)", "40001")
    assert member.sql("TABLE t") == [(1,)]


def a_primary_without_a_lease_is_not_read_write(test):
    """libpq's target_session_attrs goes by what the server reports at the connection."""
    member = member_of(test)
    member.sql("SELECT gate_open(0, 600000)")

    def connect(wanted):
        connection = psycopg2.connect(host="127.0.0.1", port=member.port, user="postgres", dbname="postgres",
                                      target_session_attrs=wanted)
        connection.autocommit = True
        return connection
    connect("read-write").close()
    member.sql("SELECT gate_open(0, 0)")  # the lease has run out
    try:
        connect("read-write")
        raise AssertionError("read-write was found without a lease")
    except psycopg2.OperationalError as error:
        assert "read-only" in str(error), error
    with contextlib.closing(connect("any")) as early, early.cursor() as cursor:
        cursor.execute("SHOW default_transaction_read_only")
        assert cursor.fetchone() == ("on",)
        member.sql("SELECT gate_open(0, 600000)")
        # It is not read-only for ever.
        cursor.execute("SELECT 1")
        cursor.execute("INSERT INTO t VALUES (1)")
    connect("read-write").close()


def logins_wait_for_a_node_that_is_about_to_serve(test):
    """Appointed and not yet settled: who comes now is let in when the gate opens, and sees a primary."""
    member = member_of(test)
    came = []

    def come(user):
        try:
            with contextlib.closing(member.connect(user)) as connection, connection.cursor() as cursor:
                cursor.execute("SHOW default_transaction_read_only")
                came.append(cursor.fetchone()[0])
        except psycopg2.Error as error:
            came.append(str(error))
    with contextlib.closing(member.connect()) as inside, inside.cursor() as cursor:
        inside.autocommit = True
        cursor.execute("SELECT settle(60000)")
        clients = [threading.Thread(target=come, args=(user,)) for user in ("app", "postgres")]
        for client in clients:
            client.start()
        # In authentication they have no entry among the sessions yet, but are processes of the server.
        wait_for(lambda: len([title for title in children(member.postmaster()).values() if "authentication" in title]) == 2,
                 "both are being authenticated")
        assert came == [], came
        cursor.execute("SELECT gate_open(0, 600000), admit(true), settle(0)")
        for client in clients:
            client.join(20)
        assert came == ["off", "off"], came
        cursor.execute("SELECT gate_close(false), admit(false), settle(1)")  # which did not become one in time
        come("app")
        assert "does not serve clients" in came[2], came


def a_transaction_that_began_in_time_does_not_commit_late(test):
    member = member_of(test)
    member.sql("SELECT gate_open(0, 600000)")
    with contextlib.closing(member.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN; INSERT INTO t VALUES (1)")
        member.sql("SELECT gate_open(0, 0)")  # the lease has run out
        try:
            cursor.execute("COMMIT")
            raise AssertionError("committed without a lease")
        except psycopg2.Error as error:
            assert error.pgcode == "25006", error
        member.sql("SELECT gate_open(0, 600000)")
        cursor.execute("INSERT INTO t VALUES (2)")  # the session goes on, and signals reach it again
        member.sql(f"SELECT pg_cancel_backend({connection.info.backend_pid})")
        cursor.execute("SELECT 1")
    assert member.sql("TABLE t") == [(2,)]
    assert member.value("SELECT commits_in_flight FROM system.write_gate") == 0


def two_phase_commit_is_fenced_at_both_phases(test):
    member = member_of(test)
    member.sql("SELECT gate_open(0, 600000)")
    with contextlib.closing(member.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'one'")
        cursor.execute("BEGIN; INSERT INTO t VALUES (2)")
        member.sql("SELECT gate_close(false)")
        try:
            cursor.execute("PREPARE TRANSACTION 'two'")
            raise AssertionError("prepared while fenced")
        except psycopg2.Error as error:
            assert error.pgcode == "25006", error
    refused(member, "COMMIT PREPARED 'one'")
    refused(member, "ROLLBACK PREPARED 'one'")
    member.sql("SELECT gate_open(0, 600000)")
    member.sql("COMMIT PREPARED 'one'")
    assert member.sql("TABLE t") == [(1,)]
    assert member.value("SELECT commits_in_flight FROM system.write_gate") == 0


def waits_for_the_quorum_cannot_be_cancelled(test):
    member = member_of(test)
    config = member.data / "pgquorum.conf"
    member.sql("SELECT accept('ghost')")
    member.write(config, "synchronous_standby_names = 'ghost'\npgquorum.sync_generation = 2\n")
    member.reload()
    wait_for(lambda: member.value("SELECT in_force(2, false)"), "the checkpointer has the list")
    assert not member.value("SELECT in_force(3, false)")
    member.sql("SELECT gate_open(1, 600000)")
    connection, outcome = member.connect(), []

    def insert():
        try:
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO t VALUES (1)")
            outcome.append("acknowledged")
        except psycopg2.Error as error:
            outcome.append(error.pgcode or "connection lost")

    thread = threading.Thread(target=insert)
    thread.start()
    pid = connection.info.backend_pid
    waits = f"SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = {pid}"
    wait_for(lambda: member.value(waits), "the commit waits")
    assert member.value("SELECT commits_in_flight FROM system.write_gate") == 1
    member.sql(f"SELECT pg_cancel_backend({pid}), pg_terminate_backend({pid})")
    # Nobody may end the wait by emptying the list either.
    refused(member, "ALTER SYSTEM SET synchronous_standby_names = ''", "55000")
    member.write(config, "synchronous_standby_names = ''\npgquorum.sync_generation = 3\n")
    member.reload()
    wait_for(lambda: "invalid value for parameter" in member.log.read_text(), "the empty list is refused")
    assert member.value(waits) and member.sql("TABLE t") == [] and not outcome
    # What the cluster allows ends it; then the session obeys the signals that it was sent.
    member.sql("SELECT accept('-')")
    member.reload()
    thread.join(30)
    assert outcome == ["acknowledged"], outcome
    wait_for(lambda: not member.sql(f"SELECT FROM pg_stat_activity WHERE pid = {pid}"), "the session ends")
    connection.close()
    assert member.sql("TABLE t") == [(1,)]


def a_missing_list_closes_the_gate(test):
    member = member_of(test)
    member.sql("SELECT gate_open(1, 600000)")
    refused(member, "INSERT INTO t VALUES (1)")


def a_late_commit_without_a_quorum_is_not_answered(test):
    # The delay of group commit (it needs fsync) is the gap between the check at pre-commit and the commit's end.
    member = member_of(test, "fsync = on\ncommit_delay = 100000\ncommit_siblings = 0")
    member.sql("SELECT gate_open(0, 600000)")
    connection = member.connect()
    with connection.cursor() as cursor:
        done = threading.Event()
        thread = threading.Thread(target=lambda: (close_when_in_flight(member), done.set()))
        thread.start()
        try:
            cursor.execute("INSERT INTO t VALUES (1)")
            late = False
        except psycopg2.OperationalError:
            late = True
        thread.join()
    connection.close()
    assert late, "the answer was given although the lease had ended"
    assert member.value("SELECT answers_dropped FROM system.write_gate") == 1
    assert member.sql("TABLE t") == [(1,)], "the outcome was open, not refused"


def close_when_in_flight(member):
    with contextlib.closing(member.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("DO $$ BEGIN FOR i IN 1..1000000 LOOP "
                       "IF (SELECT commits_in_flight FROM system.write_gate) > 0 THEN PERFORM gate_close(false); EXIT; END IF; "
                       "END LOOP; END $$")


def less_than_the_quorum_needs_a_privilege(test):
    member = member_of(test)
    member.sql("SELECT admit(true), gate_open(0, 600000)")
    counts = "SELECT synchronous_commit_raised, synchronous_commit_lowered FROM system.write_gate"
    member.sql("SET synchronous_commit = local; INSERT INTO t VALUES (1)", "app")
    assert member.sql(counts) == [(1, 0)]
    member.sql("SET synchronous_commit = off; INSERT INTO t VALUES (1)")
    assert member.sql(counts) == [(1, 1)]


def administrators_alone_are_admitted_until_told(test):
    member = member_of(test)
    refused_login = member.state_of("SELECT 1", "app")
    assert refused_login and "does not serve clients" in refused_login[1], refused_login
    assert member.state_of("SELECT 1", "operator") is None
    member.sql("SELECT admit(true)")
    with contextlib.closing(member.connect("app")) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        member.sql("SELECT admit(false)")
        try:
            cursor.execute("SELECT 1")
            raise AssertionError("an older session was served")
        except psycopg2.Error as error:
            assert error.pgcode == "57P03", error
        member.sql("SELECT admit(true)")
        cursor.execute("SELECT 1")


def requests_reach_the_worker_and_come_back(test):
    member = member_of(test)
    assert member.value("SELECT system.create_join_token('90 s')") == "answer 90"
    assert member.sql("SELECT system.set_priority('node2', 5)") is not None
    assert refused(member, "SELECT system.failover('refuse')", "RX100", "operator") == "Its hint."
    assert "refused for operator" in str(member_error(member, "SELECT system.failover('refuse')", "operator"))
    refused(member, "SELECT system.failover('silent', timeout => '200 ms')", "08007")
    with contextlib.closing(member.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = '200 ms'")
        for _ in range(40):  # more than there are slots: each is given back
            try:
                cursor.execute("SELECT system.failover('refuse')")
            except psycopg2.Error as error:
                assert error.pgcode == "RX100", error
        try:
            cursor.execute("SELECT system.failover('silent')")
            raise AssertionError("answered")
        except psycopg2.errors.QueryCanceled:
            pass
    health = member.sql("SELECT node_id, role, status, health_score, lag_ms FROM system.cluster_health")
    assert health == [("node2", "primary", "healthy", 100, None)], health
    assert member.sql("SELECT role, term, worker_alive FROM system.raft_status") == [("leader", 3, True)]


def member_error(member, query, user):
    try:
        member.sql(query, user)
    except psycopg2.Error as error:
        return error
    return None


def a_crash_brings_it_back_as_a_standby(test):
    member = member_of(test)
    member.sql("SELECT gate_open(0, 600000), admit(true)")
    member.sql("INSERT INTO t VALUES (1)")
    boot = member.value("SELECT boot_id FROM system.node_status")
    victim = member.connect()
    os.kill(victim.info.backend_pid, signal.SIGKILL)
    wait_for(lambda: member.value("SELECT boot_id FROM system.node_status") != boot, "the server is back",
             errors=(psycopg2.Error,))
    assert member.value("SELECT pg_is_in_recovery()")
    assert not member.value("SELECT gate_open FROM system.write_gate")
    assert member.state_of("SELECT 1", "app") is not None
    assert member.value("SELECT boot_count FROM system.node_status") == 2


main(nothing_is_written_while_the_gate_is_closed, a_primary_without_a_lease_is_not_read_write,
     logins_wait_for_a_node_that_is_about_to_serve,
     a_transaction_that_began_in_time_does_not_commit_late,
     two_phase_commit_is_fenced_at_both_phases, waits_for_the_quorum_cannot_be_cancelled, a_missing_list_closes_the_gate,
     a_late_commit_without_a_quorum_is_not_answered, less_than_the_quorum_needs_a_privilege,
     administrators_alone_are_admitted_until_told, requests_reach_the_worker_and_come_back,
     a_crash_brings_it_back_as_a_standby)
