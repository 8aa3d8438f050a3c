#!/usr/bin/python3
"""Whether the sites have the same rows, asked while they are written; a row that somebody damaged is named and repaired."""
import threading

import psycopg2
from pgquorum_tap import main, wait_for
from pgquorum_tap.sites import GROUP, Sites

VERIFY = f"SELECT differing_table, key, site_id, row_hash, settled FROM system.verify_convergence('{GROUP}')"
TABLE = ("CREATE TABLE t (a int, b text, n numeric, j json, e mood, x xml, f float8, at timestamptz, PRIMARY KEY (a, b))")
ROWS = 3_000  # three ranges, of 1000 rows as the tests have it


def three_sites(test):
    sites = test.cluster(Sites, nodes=3).group()
    for name in sites.names():
        sites.at(name, "CREATE OR REPLACE FUNCTION pgquorum_internal.range_rows() RETURNS integer LANGUAGE sql AS 'SELECT 1000'")
        if name == "node2":
            sites.at(name, "SELECT lo_create(0)")  # the sites' catalogues give numbers of their own
        sites.at(name, "CREATE TYPE mood AS ENUM ('good', 'bad')")
    sites.replicate(TABLE, "t")
    sites.replicate("CREATE TABLE u (id uuid PRIMARY KEY, v text)", "u", at="node3")
    sites.at("node1", f"INSERT INTO t SELECT i % 1000, 'key ' || i, i, '{{\"i\": 1}}', 'bad', '<a/>', i / 3.0, now()"
                      f" FROM generate_series(1, {ROWS}) i")
    sites.at("node2", "INSERT INTO u SELECT gen_random_uuid(), i::text FROM generate_series(1, 50) i")
    sites.settle("u")
    wait_for(lambda: sites.value("SELECT count(*) FROM t", node="node3") == ROWS, "all rows are at node3")
    return sites


def damage(sites, node, statement):
    """Done at one site, and not seen by its guard or its decoder."""
    connection = sites.connect(node)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_replication_origin_create('damage')"
                       " WHERE NOT EXISTS (SELECT FROM pg_replication_origin WHERE roname = 'damage')")
        cursor.execute("SELECT pg_replication_origin_session_setup('damage')")
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(statement)
        assert cursor.rowcount == 1, statement
    connection.close()


def equal_sites_are_found_equal(_test, sites):
    assert sites.at("node1", VERIFY) == []
    seen = sites.at("node1", "SELECT tables, row_count, differing_rows, complete FROM system.replication_verifications")
    assert seen == [(2, ROWS + 50, 0, True)], seen
    assert sites.at("node3", f"SELECT * FROM system.verify_convergence('{GROUP}', 'u')") == []


def a_damaged_row_is_named(_test, sites):
    damage(sites, "node2", "UPDATE t SET n = n + 1 WHERE b = 'key 1711'")
    found = sites.at("node1", VERIFY)
    assert [(row[0], row[1], row[2], row[4]) for row in found] == [
        ("public.t", {"a": "711", "b": "key 1711"}, site, True) for site in (1, 2, 3)], found
    hashes = [row[3] for row in found]
    assert hashes[0] == hashes[2] != hashes[1], hashes
    assert sites.at("node3", VERIFY) == found, "another site finds the same"
    stored = sites.at("node3", "SELECT table_name, key, site_id, row_hash, settled FROM system.replication_differences")
    assert sorted(stored, key=lambda row: row[2]) == found, stored
    assert sites.at("node1", f"SELECT system.repair_row('{GROUP}', 't', '{{\"a\": 711, \"b\": \"key 1711\"}}', 1)") \
        == [("written again",)]
    assert sites.at("node2", VERIFY) == []
    assert sites.at("node2", "SELECT n FROM t WHERE b = 'key 1711'") == [(1711,)]


def rows_that_are_missing_or_too_many(_test, sites):
    damage(sites, "node3", "DELETE FROM t WHERE b = 'key 1'")
    damage(sites, "node1", "INSERT INTO t (a, b) VALUES (-5, 'first')")
    damage(sites, "node2", "INSERT INTO t (a, b) VALUES (5000, 'last')")
    there = {(row[1]["b"], row[2]): row[3] is not None for row in sites.at("node2", VERIFY)}
    assert there == {("key 1", 1): True, ("key 1", 2): True, ("key 1", 3): False,
                     ("first", 1): True, ("first", 2): False, ("first", 3): False,
                     ("last", 1): False, ("last", 2): True, ("last", 3): False}, there
    # What the newest comparison found can be repaired in one statement: node1's rows become everybody's.
    done = sites.at("node2", f"SELECT key ->> 'b', system.repair_row('{GROUP}', table_name::regclass, key, 1)"
                             " FROM (SELECT DISTINCT table_name, key FROM system.replication_differences) d ORDER BY 1")
    assert done == [("first", "written again"), ("key 1", "written again"), ("last", "deleted")], done
    assert sites.at("node3", VERIFY) == []
    assert sites.at("node3", "SELECT b FROM t WHERE b IN ('first', 'key 1', 'last') ORDER BY 1") == [("first",), ("key 1",)]


def changes_under_way_are_excused(_test, sites):
    """The same few rows are written without a pause at all sites; only the damaged one differs."""
    ended = threading.Event()

    def write(node):
        connection = sites.connect(node)
        with connection.cursor() as cursor:
            while not ended.is_set():
                cursor.execute("UPDATE u SET v = v || 'x' WHERE id = ANY (ARRAY(SELECT id FROM u ORDER BY random() LIMIT 3))")
                cursor.execute("INSERT INTO u VALUES (gen_random_uuid(), %s)", (node,))
        connection.close()

    damage(sites, "node3", "UPDATE t SET e = 'good' WHERE b = 'key 2000'")
    writers = [threading.Thread(target=write, args=(node,)) for node in sites.names()]
    for writer in writers:
        writer.start()
    try:
        for _ in range(3):
            found = sites.at("node1", VERIFY)
            settled = {row[1].get("b", row[1]) for row in found if row[4]}
            assert settled == {"key 2000"}, found
    finally:
        ended.set()
        for writer in writers:
            writer.join()
    sites.at("node1", f"SELECT system.repair_row('{GROUP}', 't', '{{\"a\": 0, \"b\": \"key 2000\"}}', 2)")
    assert sites.at("node1", VERIFY) == []


def a_site_that_does_not_catch_up_leaves_it_open(_test, sites):
    """node3 cannot be applied to: what it lacks is not taken for a difference."""
    holder = sites.connect("node3")
    holder.autocommit = False
    with holder.cursor() as cursor:
        cursor.execute("LOCK TABLE u IN SHARE ROW EXCLUSIVE MODE")
        sites.at("node1", "INSERT INTO u VALUES ('00000000-0000-0000-0000-000000000001', 'late')")
        found = sites.at("node1", VERIFY.replace(")", ", 'u', patience => '1 second')"))
        assert {(row[1]["id"], row[4]) for row in found} == {("00000000-0000-0000-0000-000000000001", False)}, found
        holder.rollback()
    holder.close()
    assert sites.at("node1", VERIFY) == []


def progress_is_seen_while_it_runs(_test, sites):
    """Held up at a table that is locked, it says where it is."""
    holder = sites.connect("node2")
    holder.autocommit = False
    with holder.cursor() as cursor:
        cursor.execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        found = []
        verifier = threading.Thread(target=lambda: found.append(sites.at("node1", VERIFY)))
        verifier.start()
        sites.await_value("node1", "SELECT string_agg(table_name || tables || rows_done, ',')"
                                   " FROM system.replication_verification_progress", "t20")
        holder.rollback()
        verifier.join()
    holder.close()
    assert found == [[]], found
    assert sites.at("node1", "SELECT * FROM system.replication_verification_progress") == []


def what_cannot_be_is_refused(_test, sites):
    for query, state in ((VERIFY.replace(f"'{GROUP}'", "'nobody'"), "42704"),
                         (VERIFY.replace(")", ", 'pg_class')"), "42704"),
                         (VERIFY.replace(")", ", max_differences => 0)"), "22023"),
                         (f"SELECT system.repair_row('{GROUP}', 'u', '{{}}', 1)", "22023"),
                         (f"SELECT system.repair_row('{GROUP}', 'u', '{{\"id\": 1}}', 9)", "42704"),
                         (f"SELECT system.repair_row('{GROUP}', 'pg_class', '{{}}', 1)", "42704")):
        try:
            sites.at("node1", query)
        except psycopg2.Error as error:
            assert error.pgcode == state, (query, str(error))
        else:
            raise AssertionError(f"not refused: {query}")
    sites.doors["node3"].shut()
    try:
        sites.at("node1", VERIFY)
    except psycopg2.Error as error:
        assert error.pgcode == "08006", str(error)
    else:
        raise AssertionError("a site that is not there cannot be compared")
    sites.doors["node3"].open()


main(equal_sites_are_found_equal, a_damaged_row_is_named, rows_that_are_missing_or_too_many, changes_under_way_are_excused,
     a_site_that_does_not_catch_up_leaves_it_open, progress_is_seen_while_it_runs, what_cannot_be_is_refused,
     shared=three_sites)
