#!/usr/bin/python3
"""The write load and its checker, on plain PostgreSQL: they must see what is lost, double or open."""
import os
import signal
import time

from pgquorum_tap import Checker, WriteLoad, main, wait_for
from pgquorum_tap.stock import StockCluster


def stock(test, nodes):
    cluster = StockCluster(nodes=nodes)
    test.on_end(cluster.down)
    return cluster.up()


def a_quiet_load_has_no_problems(test):
    cluster = stock(test, 2)
    with WriteLoad(cluster, clients=2) as load:
        load.await_acknowledged(100)
    assert Checker(cluster, load).problems() == []
    assert {a.outcome for a in load.attempts()} == {"acknowledged"}


def lost_and_double_rows_are_seen(test):
    cluster = stock(test, 1)
    with WriteLoad(cluster, clients=1) as load:
        load.await_acknowledged(50)
    cluster.sql(f"DELETE FROM {load.table} WHERE number = 7")
    cluster.sql(f"INSERT INTO {load.table} VALUES ('roaming1', 8)")
    problems = Checker(cluster, load).problems()
    assert problems == ["node1: 1 acknowledged rows are missing", "node1: 1 rows are there more than once"], problems


def a_refused_row_is_failed_and_must_not_be_there(test):
    cluster = stock(test, 1)
    with WriteLoad(cluster, clients=1) as load:
        load.await_acknowledged(20)
        cluster.sql(f"ALTER TABLE {load.table} ADD CONSTRAINT small CHECK (number < 0) NOT VALID")
        wait_for(lambda: any(a.outcome == "failed" for a in load.attempts()), "an insert was refused")
    failed = next(a for a in load.attempts() if a.outcome == "failed")
    assert failed.sqlstate == "23514", failed
    assert Checker(cluster, load).problems() == []
    cluster.sql(f"ALTER TABLE {load.table} DROP CONSTRAINT small")
    cluster.sql(f"INSERT INTO {load.table} VALUES (%s, %s)", (failed.client, failed.number))
    assert Checker(cluster, load).problems() == ["node1: 1 rows are there whose insert failed"]


def a_silent_server_is_abandoned_and_counts_as_outage(test):
    cluster = stock(test, 1)
    with WriteLoad(cluster, clients=2) as load:
        load.await_acknowledged(50)
        pid = cluster.postmaster("node1")
        backends = [row[0] for row in cluster.sql(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'load%'")]
        fault = time.monotonic()
        for process in [pid] + backends:
            os.kill(process, signal.SIGSTOP)
        try:
            wait_for(lambda: all(any(a.outcome == "unknown" for a in c.attempts) for c in load.roaming),
                     "both statements were abandoned")
        finally:
            for process in [pid] + backends:
                os.kill(process, signal.SIGCONT)
        load.await_acknowledged(50, since=time.monotonic())
    outage = load.outage(fault)
    assert 2000 <= outage.milliseconds < 20000, outage
    assert Checker(cluster, load).problems() == []


def an_ended_session_leaves_the_outcome_open(test):
    cluster = stock(test, 1)
    with WriteLoad(cluster, clients=1) as load:
        load.await_acknowledged(20)
        cluster.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'load%'")
        wait_for(lambda: any(a.outcome == "unknown" for a in load.attempts()), "an attempt with an open outcome")
        load.await_acknowledged(20, since=time.monotonic())
    assert not [a for a in load.attempts() if a.outcome == "failed"]


main(a_quiet_load_has_no_problems, lost_and_double_rows_are_seen, a_refused_row_is_failed_and_must_not_be_there,
     a_silent_server_is_abandoned_and_counts_as_outage, an_ended_session_leaves_the_outcome_open)
