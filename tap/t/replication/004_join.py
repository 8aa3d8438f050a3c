#!/usr/bin/python3
"""A join that fails half-way leaves no trace at any site, and works when its cause is gone. Links that come back."""
import random
import threading

import psycopg2
from pgquorum_tap import main
from pgquorum_tap.sites import GROUP, Sites


def known_sites(sites):
    return {name: [row[0] for row in sites.at(name, "SELECT site_id FROM system.replication_peers ORDER BY 1")]
            for name in sites.names()}


def a_join_that_fails_leaves_no_trace(test):
    sites = test.cluster(Sites, nodes=3)
    first = sites.address("node1")
    join = f"SELECT system.join_replication_group('{GROUP}', '{first}', '%s')"
    sites.at("node1", f"SELECT system.create_replication_group('{GROUP}')")
    sites.at("node2", join % sites.address("node2"))
    before = known_sites(sites)
    assert before == {"node1": [2], "node2": [1], "node3": []}, before
    # Somebody else lives at the address that it gives for itself.
    sites.refused("node3", join % sites.address("node2"), "22023", "own_conninfo")
    # The member does not know the group, is this site itself, or cannot be reached.
    sites.refused("node3", (join % sites.address("node3")).replace(f"'{GROUP}'", "'other'"), "42704", "other site says")
    sites.refused("node3", f"SELECT system.join_replication_group('{GROUP}', '{sites.address('node3')}',"
                            f" '{sites.address('node3')}')", "22023", "this database itself")
    sites.refused("node3", f"SELECT system.join_replication_group('{GROUP}', 'postgresql://a/b')", "22023", "keywords")
    # One of the members is away: the others forget what they were told.
    sites.doors["node2"].shut()
    sites.refused("node3", join % sites.address("node3"), "08006", "could not connect")
    sites.doors["node2"].open()
    assert known_sites(sites) == before, known_sites(sites)
    assert sites.at("node3", "SELECT * FROM system.replication_groups") == []
    assert sites.at("node3", join % sites.address("node3")) == [(3,)]
    assert known_sites(sites) == {"node1": [2, 3], "node2": [1, 3], "node3": [1, 2]}
    sites.replicate("CREATE TABLE t (id int PRIMARY KEY)", "t", at="node3")
    for i, name in enumerate(sites.names()):
        sites.at(name, f"INSERT INTO t VALUES ({i})")
    sites.settle("t")
    assert len(sites.contents("node2", "t")) == 3


def write_until(sites, node, ended):
    """Rows of everybody and rows of its own, in transactions of several."""
    rng = random.Random(node)
    connection = sites.connect(node)
    with connection.cursor() as cursor:
        while not ended.is_set():
            key = rng.randrange(300)
            statement = rng.choice((
                f"UPDATE t SET v = '{node}', n = n + 1 WHERE id BETWEEN {key} AND {key + 3}",
                f"DELETE FROM t WHERE id = {key}",
                f"INSERT INTO t VALUES ({key}, 'ab', '{node}', 1.10) ON CONFLICT (id, c) DO UPDATE SET v = EXCLUDED.v",
            ))
            try:
                cursor.execute(statement)
            except psycopg2.extensions.TransactionRollbackError:
                pass  # it met what is applied from the other
    connection.close()


def stamped(sites, node):
    return sites.at(node, "SELECT id, c, v, n::text, pg_xact_commit_timestamp(xmin)::text FROM t ORDER BY 1, 2")


def deletions(sites, node):
    """Of rows that no writer touches: number and time."""
    found = sites.at(node, "SELECT key, pg_xact_commit_timestamp(xmin)::text FROM pgquorum_internal.tombstone")
    numbered = {(int.from_bytes(bytes(key)[4:12], "little"), time) for key, time in found}
    return {(number, time) for number, time in numbered if number > 5000}


def a_site_joins_while_everybody_writes(test):
    """Through a site whose table is partitioned, as that of the new one is in another way; a third has an ordinary one."""
    sites = test.cluster(Sites, nodes=3)
    generated = "g text GENERATED ALWAYS AS (id::text || coalesce(v, 'none')) STORED"
    for name, partitioned in (("node1", ""), ("node2", "PARTITION BY RANGE (id)"), ("node3", "PARTITION BY HASH (id)")):
        sites.at(name, f"CREATE SEQUENCE t_s; CREATE TABLE t (id int, c char(4), v text, n numeric, big text, {generated},"
                       f" s int DEFAULT nextval('t_s'), PRIMARY KEY (id, c)) {partitioned}")
    columns = f"{generated}, big text, n numeric, gone int, v text, id int, c char(4), s int"
    sites.at("node2", f"CREATE TABLE low ({columns}, PRIMARY KEY (id, c));"
                      "ALTER TABLE low DROP gone; ALTER TABLE t ATTACH PARTITION low DEFAULT;"
                      "CREATE TABLE high PARTITION OF t FOR VALUES FROM (100) TO (10000)")
    for i in (0, 1):
        sites.at("node3", f"CREATE TABLE h{i} PARTITION OF t FOR VALUES WITH (modulus 2, remainder {i})")
    sites.at("node1", f"SELECT system.create_replication_group('{GROUP}')")
    sites.at("node2", f"SELECT system.join_replication_group('{GROUP}', '{sites.address('node1')}', '{sites.address('node2')}')")
    sites.at("node1", f"SELECT system.add_replicated_table('{GROUP}', 't')")
    sites.at("node1", "INSERT INTO t SELECT i, 'ab', NULL, 1.50, repeat('long', 900) FROM generate_series(1, 250) i")
    sites.await_value("node2", "SELECT count(*) FROM t", 250)
    sites.at("node2", "INSERT INTO t SELECT i, 'cd', 'node2', 2 FROM generate_series(1, 50) i")
    sites.at("node2", "INSERT INTO t SELECT i, 'gone' FROM generate_series(5001, 5005) i")
    sites.at("node2", "DELETE FROM t WHERE id > 240")
    join = f"SELECT system.join_replication_group('{GROUP}', '{sites.address('node2')}', '{sites.address('node3')}')"
    sites.at("node3", "INSERT INTO t VALUES (1, 'x')")
    sites.refused("node3", join, "55000", "not empty")
    sites.at("node3", "TRUNCATE t")
    # node2 lacks something of node1's: what it has must not be taken yet, and nobody writes at node3.
    holder = sites.connect("node2")
    holder.autocommit = False
    with holder.cursor() as cursor:
        cursor.execute("LOCK TABLE t IN SHARE ROW EXCLUSIVE MODE")
        sites.at("node1", "INSERT INTO t VALUES (1000, 'late', 'known to node1 alone', 3)")
        sites.at("node1", "DELETE FROM t WHERE id = 7")
        assert sites.at("node3", join) == [(3,)]
        sites.await_value("node3", "SELECT state FROM system.replication_peers WHERE site_id = 2", "copying")
        sites.refused("node3", "INSERT INTO t VALUES (2000, 'x')", "55000", "not complete")
        sites.refused("node3", "INSERT INTO h0 VALUES (2000, 'x')", "55000", "not complete")
        sites.refused("node3", "TRUNCATE t", "55000", "cannot be truncated")
        sites.at("node3", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pgquorum replication'")
        sites.refused("node1", f"SELECT system.remove_replication_site('{GROUP}', 3)", "55000", "answers")
        ended = threading.Event()
        writers = [threading.Thread(target=write_until, args=(sites, node, ended)) for node in ("node1", "node2")]
        for writer in writers:
            writer.start()
        try:
            holder.rollback()
            sites.await_value("node3", "SELECT bool_and(captured) FROM system.replicated_tables", True)
            sites.at("node3", "INSERT INTO t VALUES (3000, 'x', 'node3', 1)")
            sites.await_value("node1", "SELECT count(*) FROM t WHERE id = 3000", 1)
            # Its sequence has the third place, above what was there.
            assert sites.value("SELECT s % 16 = 3 AND s > 3000 FROM t WHERE id = 3000", node="node1")
        finally:
            ended.set()
            for writer in writers:
                writer.join()
    holder.close()
    sites.settle("t")
    assert stamped(sites, "node1") == stamped(sites, "node3"), "the same stamps"
    assert sites.value("SELECT count(*) FROM t WHERE id = 1000", node="node3") == 1
    assert sites.at("node2", f"SELECT * FROM system.verify_convergence('{GROUP}')") == []
    for node in sites.names():
        assert sites.at(node, "SELECT * FROM system.replication_dead_letters") == [], node
    # What was deleted before it came stays deleted: it has these deletions with their times.
    gone = {node: deletions(sites, node) for node in sites.names()}
    assert len(gone["node1"]) == 5 and gone["node1"] == gone["node3"], gone


def a_link_that_comes_back_is_shown_without_a_change(test):
    sites = test.cluster(Sites).group()
    state = "SELECT state || CASE WHEN last_error IS NULL THEN '' ELSE ', and why' END FROM system.replication_peers"
    sites.doors["node2"].shut()
    sites.await_value("node1", state, "connecting, and why")
    sites.doors["node2"].open()
    sites.await_value("node1", state, "streaming")


main(a_link_that_comes_back_is_shown_without_a_change, a_join_that_fails_leaves_no_trace,
     a_site_joins_while_everybody_writes)
