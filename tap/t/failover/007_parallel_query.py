#!/usr/bin/python3
"""A primary whose synchronous list is guarded still runs parallel queries and index builds."""
import psycopg2

from pgquorum_tap import main


def parallel_workers_start_on_the_primary(test):
    cluster = test.cluster()
    with psycopg2.connect(cluster.url()) as connection:
        cursor = connection.cursor()
        cursor.execute("CREATE TABLE many AS SELECT i AS id, i % 97 AS k FROM generate_series(1, 200000) i")
        cursor.execute("ALTER TABLE many SET (parallel_workers = 2)")
        cursor.execute("SET min_parallel_table_scan_size = 0")
        cursor.execute("CREATE INDEX ON many (k)")
        cursor.execute("SET parallel_setup_cost = 0")
        cursor.execute("SET parallel_tuple_cost = 0")
        cursor.execute("EXPLAIN (ANALYZE, FORMAT JSON) SELECT sum(k) FROM many")
        plan = str(cursor.fetchone()[0])
        assert "'Workers Launched': 2" in plan, plan
    # The guard itself is still there.
    with psycopg2.connect(cluster.url()) as connection:
        connection.autocommit = True
        try:
            connection.cursor().execute("ALTER SYSTEM SET synchronous_standby_names = ''")
        except psycopg2.Error as error:
            test.note(f"refused: {str(error).strip().splitlines()[0]}")
        else:
            raise AssertionError("the list could be emptied")


main(parallel_workers_start_on_the_primary)
