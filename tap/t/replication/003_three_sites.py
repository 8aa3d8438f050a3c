#!/usr/bin/python3
"""Three writable sites, random statements on few rows at all of them while they are cut off from each other, again and
again: after each heal the tables are equal."""
import random
import threading

import psycopg2
from pgquorum_tap import main
from pgquorum_tap.sites import Sites

ROUNDS, STATEMENTS, KEYS = 4, 60, 25


def statement(rng, site):
    key = rng.randrange(KEYS)
    value = f"{site}-{rng.randrange(10**6)}"
    return rng.choice((
        f"INSERT INTO t VALUES ({key}, '{value}', repeat('{value}', 500)) ON CONFLICT (id) DO UPDATE SET v = EXCLUDED.v",
        f"UPDATE t SET v = '{value}' WHERE id = {key}",
        f"UPDATE t SET big = repeat('{value}', 700) WHERE id = {key}",
        f"DELETE FROM t WHERE id = {key}",
        f"BEGIN; DELETE FROM t WHERE id = {key}; INSERT INTO t VALUES ({key}, '{value}', NULL); COMMIT",
        f"BEGIN; UPDATE t SET v = '{value}' WHERE id IN ({key}, {(key + 1) % KEYS}); DELETE FROM t WHERE id = {key}; COMMIT",
        f"BEGIN; UPDATE t SET v = 'undone' WHERE id = {key}; ROLLBACK",
    ))


def write(sites, node, seed):
    rng = random.Random(seed)
    connection = sites.connect(node)
    with connection.cursor() as cursor:
        for _ in range(STATEMENTS):
            try:
                cursor.execute(statement(rng, node))
            except psycopg2.errors.IntegrityError:
                cursor.execute("ROLLBACK")
            except psycopg2.errors.TransactionRollback:
                cursor.execute("ROLLBACK")
    connection.close()


def sites_agree_after_every_cut(test):
    sites = test.cluster(Sites, nodes=3).group()
    sites.replicate("CREATE TABLE t (id int PRIMARY KEY, v text, big text)", "t", at="node2")
    seed = random.randrange(2**32)
    test.note(f"seed {seed}")
    for turn in range(ROUNDS):
        if turn != ROUNDS - 1:  # the last one without a cut
            sites.cut()
        writers = [threading.Thread(target=write, args=(sites, node, f"{seed} {turn} {node}")) for node in sites.names()]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        sites.heal()
        sites.settle("t")
        test.note(f"round {turn}: {len(sites.contents('node1', 't'))} rows, equal at all sites")
    kinds = sites.at("node1", "SELECT kind, outcome, count(*) FROM system.replication_conflicts GROUP BY 1, 2 ORDER BY 1, 2")
    test.note(f"conflicts at node1: {kinds}")
    assert {kind for kind, _, _ in kinds} >= {"update_update", "insert_insert", "update_deleted"}, kinds
    assert {outcome for _, outcome, _ in kinds} == {"applied", "skipped"}, kinds
    for node in sites.names():
        assert sites.at(node, "SELECT * FROM system.replication_dead_letters") == [], node


def a_change_that_overtakes_another(test):
    """The update of a row reaches a site before the insert does, which comes from a third."""
    sites = test.cluster(Sites, nodes=3).group()
    sites.replicate("CREATE TABLE t (id int PRIMARY KEY, v text)", "t")
    # node3 hears nothing of node1, but all of node2.
    sites.doors["node1"].shut()
    connection = sites.nodes["node1"]
    sites.at("node2", "UPDATE pgquorum_internal.replication_site SET conninfo = "
                      f"'host=127.0.0.1 port={connection.port} user=postgres dbname=postgres' WHERE site_id = 1")
    sites.at("node2", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pgquorum replication'")
    sites.at("node1", "INSERT INTO t VALUES (1, 'inserted at node1'), (2, 'inserted at node1')")
    sites.await_value("node2", "SELECT count(*) FROM t", 2)
    sites.at("node2", "UPDATE t SET v = 'updated at node2' WHERE id = 1")
    sites.at("node2", "DELETE FROM t WHERE id = 2")
    sites.await_value("node3", "SELECT string_agg(v, ',') FROM t", "updated at node2")
    sites.doors["node1"].open()
    sites.settle("t")
    assert sites.contents("node3", "t") == [('(1,"updated at node2")',)]
    for node in sites.names():
        assert sites.at(node, "SELECT * FROM system.replication_dead_letters") == [], node


main(sites_agree_after_every_cut, a_change_that_overtakes_another)
