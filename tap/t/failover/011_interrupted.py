#!/usr/bin/python3
"""Candidates that die in the middle of their appointment, standbys that restart without anybody to follow, and too few
nodes for a decision."""
import os
import shutil
import signal
import time

import psycopg2

from pgquorum_tap import Checker, WriteLoad, main, wait_for

READER = "role_that_reads"


def three_nodes(test):
    cluster = test.cluster()
    cluster.sql(f"CREATE ROLE {READER} LOGIN")
    return cluster


def a_standby_that_restarts_while_nobody_writes_serves_clients(test, cluster):
    """The WAL that it is sent then is no new one, only the last segment again."""
    node = cluster.standbys()[0]
    cluster.await_caught_up()
    cluster.stop(node)
    cluster.start(node)
    cluster.await_healthy(timeout=30)
    wait_for(lambda: try_to_read(cluster, node, "pg_class WHERE oid = 0") == 0, f"{node} serves clients", 10)


def ids_of_timelines(cluster):
    """Of every appointment that the cluster has made."""
    return [timeline for (timeline,) in cluster.sql("SELECT timeline FROM system.failover_history WHERE timeline > 0")]


def await_state(cluster, nodes, since, state, timeout=60):
    """The first of the nodes whose agent enters the state, by its log: nothing is quicker."""
    def found():
        return next((n for n in nodes if f"-> {state}" in cluster.log_since(n, since[n])), None)
    return wait_for(found, f"a node of {nodes} is {state}", timeout)


def kill_the_candidate(cluster, load, state):
    """The primary dies; so does its successor when it comes to `state`. Returns who was primary, the candidate, and the last."""
    old = cluster.await_primary()
    others = [n for n in cluster.nodes if n != old]
    since = {n: cluster.log_size(n) for n in others}
    load.await_acknowledged(100)
    cluster.kill(old)
    candidate = await_state(cluster, others, since, state)
    cluster.kill(candidate)
    return old, candidate, next(n for n in others if n != candidate)


def a_candidate_dies_while_it_is_promoted(test, cluster):
    """32: the next one begins a timeline of its own."""
    with WriteLoad(cluster) as load:
        old, candidate, _ = kill_the_candidate(cluster, load, "promoting")
        cluster.start(old)
        load.await_acknowledged(100)
        cluster.start(candidate)
        cluster.await_healthy()
    Checker(cluster, load).check()
    ids = ids_of_timelines(cluster)
    assert len(ids) == len(set(ids)), f"a timeline was given twice: {ids}"


def stopped_startup_process(cluster, node):
    """What connects a standby to its upstream does nothing any more."""
    return cluster.signal_processes(node, "startup", signal.SIGSTOP)


def try_to_read(cluster, node, table):
    """Number of rows that an ordinary role sees there, or the SQLSTATE (text of the error) that it gets."""
    n = cluster.nodes[node]
    try:
        connection = psycopg2.connect(host=n.host, port=n.port, user=READER, dbname="postgres", connect_timeout=2)
    except psycopg2.OperationalError as error:
        return str(error)
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {table}")
            return cursor.fetchone()[0]
    except psycopg2.Error as error:
        return error.pgcode
    finally:
        connection.close()


def hear_of_the_timeline(cluster, candidate, third):
    """The third node's receiver may have fetched the new history file before its upstream died. Then replay waits for
    WAL of a timeline that nobody continues. Returns its id."""
    history = max((cluster.nodes[candidate].data / "pg_wal").glob("*.history"), key=lambda path: path.name)
    copy = cluster.nodes[third].data / "pg_wal" / history.name
    copy.write_bytes(history.read_bytes())
    shutil.chown(copy, cluster.account)
    return int(history.stem, 16)


def nobody_reads_from_a_primary_before_its_barrier(test, cluster):
    """37: no standby can follow the new primary; it is promoted, but shows no client anything, and then it dies."""
    with WriteLoad(cluster) as load:
        cluster.sql(f"GRANT SELECT ON {load.table} TO {READER}")
        old = cluster.await_primary()
        others = [n for n in cluster.nodes if n != old]
        since = {n: cluster.log_size(n) for n in others}
        load.await_acknowledged(100)
        cluster.kill(old)
        candidate = await_state(cluster, others, since, "preparing")
        third = next(n for n in others if n != candidate)
        frozen = stopped_startup_process(cluster, third)
        await_state(cluster, [candidate], since, "barrier")
        read = try_to_read(cluster, candidate, load.table)
        settled = "barrier -> primary" in cluster.log_since(candidate, since[candidate])
        acknowledged = len(load.acknowledged())
        cluster.kill(candidate)
        heard = hear_of_the_timeline(cluster, candidate, third)
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
        if not settled:
            cluster.await_log(third, f"new target timeline is {heard}", since[third])
        # The third node may have followed before it was frozen; then there was a barrier, and reading was right.
        if settled:
            test.note("the barrier was quicker than the test")
        else:
            assert not isinstance(read, int), f"{read} rows were read before the barrier"
            assert "does not serve clients now" in read or read == "57P03", read
        cluster.start(old)
        load.await_acknowledged(acknowledged + 100)
        cluster.start(candidate)
        cluster.await_healthy()
    Checker(cluster, load).check()


def standbys_restart_without_an_upstream(test, cluster):
    """35, 12: everybody dies; only the standbys come back, and know what they have on their disks."""
    with WriteLoad(cluster) as load:
        load.await_acknowledged(200)
        old = cluster.await_primary()
        for node in cluster.nodes:
            cluster.kill(node)
        for node in cluster.nodes:
            if node != old:
                cluster.start(node)
        count = len(load.acknowledged())
        load.await_acknowledged(count + 100)
        assert load.last_node() != old
        cluster.start(old)
        cluster.await_healthy()
    Checker(cluster, load).check()


def the_survivor_of_two_deaths_takes_no_write(test, cluster):
    """11, 1: neither its vote nor its acknowledgement is enough, whichever node it is; reads go on where they were served."""
    with WriteLoad(cluster) as load:
        load.await_acknowledged(100)
        survivor = cluster.standbys()[0]
        lost = [n for n in cluster.nodes if n != survivor]
        for node in lost:
            cluster.kill(node)
        alone_since = time.monotonic()
        try:
            cluster.sql("SELECT system.failover(%s, '1 s')", (survivor,), node=survivor)
        except psycopg2.Error as error:
            # 08007: it was the Raft leader, and has not noticed yet that nobody confirms.
            assert error.pgcode in ("RX000", "RX001", "RX007", "08007"), (error.pgcode, error)
            test.note(f"asked for a failover it says {error.pgcode}: {str(error).splitlines()[0]}")
        else:
            raise AssertionError("it became primary without a majority")
        # It may have been made primary between the two deaths; then it has nobody to acknowledge with.
        assert cluster.value(f"SELECT count(*) FROM {load.table}", node=survivor) >= 100
        late = [a for a in load.attempts() if a.outcome == "acknowledged" and a.began > alone_since]
        assert not late, f"{len(late)} rows were acknowledged without a majority"
        for node in lost:
            cluster.start(node)
        load.await_acknowledged(len(load.acknowledged()) + 100)
        cluster.await_healthy()
    Checker(cluster, load).check()


main(a_standby_that_restarts_while_nobody_writes_serves_clients, a_candidate_dies_while_it_is_promoted,
     nobody_reads_from_a_primary_before_its_barrier, standbys_restart_without_an_upstream,
     the_survivor_of_two_deaths_takes_no_write, shared=three_nodes)
