#!/usr/bin/python3
"""Two writable sites: rows flow both ways, conflicts are decided alike, and what cannot be done is refused."""
import psycopg2
from pgquorum_tap import main, wait_for
from pgquorum_tap.sites import GROUP, Sites

ORDERS = "CREATE TABLE orders (id int PRIMARY KEY, item text, amount int CHECK (amount < 1000))"


def two_sites(test):
    sites = test.cluster(Sites, nodes=2).group()
    sites.at("node1", ORDERS)
    sites.at("node2", ORDERS)
    sites.at("node1", "INSERT INTO orders SELECT i, 'before', i FROM generate_series(1, 50) i")
    sites.at("node1", f"SELECT system.add_replicated_table('{GROUP}', 'orders')")
    return sites


def rows_that_were_there_arrive(_test, sites):
    sites.settle("orders")
    assert sites.value("SELECT count(*) FROM orders", node="node2") == 50
    assert sites.at("node2", "SELECT * FROM system.replication_conflicts") == []


def changes_flow_both_ways_and_end(_test, sites):
    sites.at("node1", "INSERT INTO orders VALUES (101, 'from node1', 1)")
    sites.at("node2", "INSERT INTO orders VALUES (102, NULL, 2)")
    sites.settle("orders")
    sites.at("node1", "UPDATE orders SET amount = 22 WHERE id = 102")
    sites.at("node2", "DELETE FROM orders WHERE id = 101")
    sites.at("node2", "BEGIN; DELETE FROM orders WHERE id = 3; INSERT INTO orders VALUES (3, 'again', 3);"
                      " UPDATE orders SET amount = 33 WHERE id = 3; COMMIT")
    sites.settle("orders")
    assert sites.at("node2", "SELECT * FROM orders WHERE id > 100 ORDER BY 1") == [(102, None, 22)]
    assert sites.at("node1", "SELECT * FROM orders WHERE id = 3") == [(3, "again", 33)]
    # Each change was applied once, and what came from the other was not sent back.
    for node in sites.names():
        assert sites.at(node, "SELECT id FROM system.replication_conflicts") == [], node
    sites.at("node1", "UPDATE orders SET amount = 4 WHERE id = 4")
    sites.settle("orders")
    changes = {"node1": 5, "node2": 53}
    wait_for(lambda: all(sites.value("SELECT row_changes FROM system.replication_peers", node=n) == changes[n]
                         for n in sites.names()), "each site counts the other's changes")


def large_values_travel(_test, sites):
    """A value that is stored out of line and not touched by the statement is not in the new row's image."""
    sites.replicate("CREATE TABLE papers (id int PRIMARY KEY, body text, note text)", "papers")
    sites.at("node1", "INSERT INTO papers SELECT 1, string_agg(md5(i::text), ''), 'a' FROM generate_series(1, 2000) i")
    sites.settle("papers")
    sites.cut()
    sites.at("node1", "DELETE FROM papers WHERE id = 1")
    sites.at("node2", "UPDATE papers SET note = 'b' WHERE id = 1")
    sites.heal()
    sites.settle("papers")
    assert sites.at("node1", "SELECT id, length(body), note FROM papers") == [(1, 64000, "b")]


def conflicts_go_to_the_later_write(_test, sites):
    sites.settle("orders")
    for node in sites.names():
        sites.at(node, "DELETE FROM pgquorum_internal.replication_conflict")
    sites.cut()
    sites.at("node1", "UPDATE orders SET item = 'older' WHERE id = 11")
    sites.at("node2", "UPDATE orders SET item = 'newer' WHERE id = 11")
    sites.at("node2", "INSERT INTO orders VALUES (201, 'older', 1)")
    sites.at("node1", "INSERT INTO orders VALUES (201, 'newer', 1)")
    sites.at("node1", "DELETE FROM orders WHERE id = 12")
    sites.at("node2", "UPDATE orders SET item = 'survives' WHERE id = 12")
    sites.at("node1", "UPDATE orders SET item = 'lost' WHERE id = 13")
    sites.at("node2", "DELETE FROM orders WHERE id = 13")
    # Deleted and inserted again here, updated there before that.
    sites.at("node2", "UPDATE orders SET item = 'old life' WHERE id = 14")
    sites.at("node1", "DELETE FROM orders WHERE id = 14; INSERT INTO orders VALUES (14, 'new life', 14)")
    # Inserted and deleted here after it was inserted there.
    sites.at("node1", "INSERT INTO orders VALUES (202, 'x', 1)")
    sites.at("node2", "INSERT INTO orders VALUES (202, 'y', 1)")
    sites.at("node2", "DELETE FROM orders WHERE id = 202")
    sites.heal()
    sites.settle("orders")
    assert sites.at("node1", "SELECT id, item FROM orders WHERE id IN (11, 12, 13, 14) OR id > 200 ORDER BY 1") == \
        [(11, "newer"), (12, "survives"), (14, "new life"), (201, "newer")]
    kinds = "SELECT kind, operation, outcome, winner_site_id FROM system.replication_conflicts WHERE %s ORDER BY id"
    there = "coalesce(remote_row ->> 'id', '') = '{}'"
    assert sites.at("node1", kinds % there.format(11)) == [("update_update", "update", "applied", 2)]
    assert sites.at("node2", kinds % there.format(11)) == [("update_update", "update", "skipped", 2)]
    assert sites.at("node1", kinds % there.format(12)) == [("update_deleted", "update", "applied", 2)]
    assert sites.at("node2", kinds % there.format(12)) == [("delete_updated", "delete", "skipped", 2)]
    assert sites.at("node1", kinds % there.format(201)) == [("insert_insert", "insert", "skipped", 1)]
    # A write that has seen the winner is no conflict.
    sites.at("node2", "DELETE FROM pgquorum_internal.replication_conflict")
    sites.at("node1", "UPDATE orders SET item = 'seen' WHERE id IN (11, 12, 201)")
    sites.settle("orders")
    assert sites.at("node2", "SELECT * FROM system.replication_conflicts") == []


def a_row_that_cannot_be_applied_is_kept_aside(_test, sites):
    sites.at("node2", "ALTER TABLE orders ADD CONSTRAINT strict CHECK (amount <> 13)")
    sites.at("node1", "BEGIN; INSERT INTO orders VALUES (301, 'good', 1); INSERT INTO orders VALUES (302, 'bad', 13);"
                      " INSERT INTO orders VALUES (303, 'good', 2); COMMIT")
    sites.at("node1", "INSERT INTO orders VALUES (304, 'after', 3)")
    wait_for(lambda: sites.value("SELECT count(*) FROM orders WHERE id IN (301, 303, 304)", node="node2") == 3,
             "the others arrive")
    letters = sites.at("node2", "SELECT id, table_name, operation, sqlstate, remote_row ->> 'item', remote_site_id"
                                " FROM system.replication_dead_letters")
    assert [letter[1:] for letter in letters] == [("public.orders", "insert", "23514", "bad", 1)], letters
    assert sites.value("SELECT dead_letters FROM system.replication_peers", node="node2") == 1
    # It fails again as long as its cause is there, is applied when it is gone, and is no news to the others.
    retry = f"SELECT system.retry_dead_letter({letters[0][0]})"
    sites.at("node2", retry)
    again = "SELECT attempts || sqlstate || retry_requested FROM system.replication_dead_letters"
    sites.await_value("node2", again, "223514false")
    sites.at("node2", "ALTER TABLE orders DROP CONSTRAINT strict")
    conflicts = {node: sites.value("SELECT count(*) FROM system.replication_conflicts", node=node) for node in sites.names()}
    sites.at("node2", retry)
    sites.await_value("node2", "SELECT count(*) FROM system.replication_dead_letters", 0)
    sites.settle("orders")
    assert sites.value("SELECT amount FROM orders WHERE id = 302", node="node2") == 13
    stamps = {sites.value("SELECT pg_xact_commit_timestamp(xmin)::text FROM orders WHERE id = 302", node=node)
              for node in sites.names()}
    assert len(stamps) == 1, stamps
    for node in sites.names():
        assert sites.value("SELECT count(*) FROM system.replication_conflicts", node=node) == conflicts[node]
    sites.refused("node2", retry, "42704")
    sites.at("node1", "UPDATE orders SET amount = 12 WHERE id = 302")
    sites.settle("orders")


def a_letter_that_is_too_old_changes_nothing(_test, sites):
    """The row has been written again before the letter is tried: the later write stands."""
    sites.at("node2", "ALTER TABLE orders ADD CONSTRAINT strict CHECK (amount <> 13)")
    sites.at("node1", "UPDATE orders SET amount = 13 WHERE id = 301")
    sites.at("node1", "DELETE FROM orders WHERE id = 303")
    sites.await_value("node2", "SELECT count(*) FROM system.replication_dead_letters", 1)
    sites.at("node1", "UPDATE orders SET amount = 14 WHERE id = 301")
    sites.await_value("node2", "SELECT amount FROM orders WHERE id = 301", 14)
    sites.at("node2", "ALTER TABLE orders DROP CONSTRAINT strict")
    sites.at("node2", "SELECT system.retry_dead_letter(id) FROM system.replication_dead_letters")
    sites.await_value("node2", "SELECT count(*) FROM system.replication_dead_letters", 0)
    sites.settle("orders")
    assert sites.value("SELECT amount FROM orders WHERE id = 301", node="node2") == 14


def deletions_are_forgotten_when_all_have_passed(_test, sites):
    sites.settle("orders")
    for node in sites.names():
        assert sites.value("SELECT sum(tombstones) FROM system.replicated_tables", node=node) > 0, node
    collect = "SELECT pgquorum_internal.collect_tombstones('200 milliseconds')"
    # A transaction that may still get an older stamp.
    holder = sites.connect("node2")
    holder.autocommit = False
    with holder.cursor() as cursor:
        cursor.execute("INSERT INTO orders VALUES (401, 'from before', 1)")
        assert sites.value(collect, node="node1") is None
        assert sites.value("SELECT sum(tombstones) FROM system.replicated_tables", node="node2") > 0
        holder.commit()
    holder.close()
    sites.settle("orders")
    # A site that cannot be heard, with a change that is older than the deletion.
    sites.cut()
    sites.at("node2", "UPDATE orders SET item = 'older' WHERE id = 401")
    sites.at("node1", "DELETE FROM orders WHERE id = 401")
    sites.refused("node1", collect, "08006")
    sites.heal()
    sites.settle("orders")
    assert sites.at("node1", "SELECT * FROM orders WHERE id = 401") == []
    # By the clock.
    sites.at("node1", "ALTER SYSTEM SET pgquorum.replication_tombstone_interval = '100ms'")
    sites.at("node1", "ALTER SYSTEM SET pgquorum.replication_verify_interval = '100ms'")
    sites.at("node1", "SELECT pg_reload_conf()")
    for node in sites.names():
        sites.await_value(node, "SELECT sum(tombstones) FROM system.replicated_tables", 0)
        assert sites.value("SELECT deletions_forgotten_before < now() FROM system.replication_groups", node=node)
    sites.await_value("node1", "SELECT bool_and(differing_rows = 0) FROM system.replication_verifications", True)
    sites.at("node1", "ALTER SYSTEM RESET ALL")
    sites.at("node1", "SELECT pg_reload_conf()")
    sites.at("node2", "INSERT INTO orders VALUES (401, 'again', 1)")
    sites.settle("orders")


def truncate_deletes_what_the_site_has(_test, sites):
    """What others write meanwhile survives, or loses, as if each row had been deleted."""
    sites.replicate("CREATE TABLE numbers (id int PRIMARY KEY, body text)", "numbers")
    for node in sites.names():
        sites.at(node, "CREATE TABLE marks (id int PRIMARY KEY, m int)")
    sites.at("node1", f"SELECT system.add_replicated_table('{GROUP}', 'marks', 'vector_clock')")
    sites.at("node1", "INSERT INTO numbers SELECT i, repeat(md5(i::text), 300) FROM generate_series(1, 20) i")
    sites.at("node1", "INSERT INTO marks SELECT i, 0 FROM generate_series(1, 20) i")
    sites.at("node1", "CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'fired'; END $$;"
                      "CREATE TRIGGER never BEFORE DELETE ON numbers FOR EACH ROW EXECUTE FUNCTION never()")
    sites.settle("numbers", "marks")
    tombstones = "SELECT sum(tombstones) FROM system.replicated_tables WHERE table_name IN ('numbers', 'marks')"
    sites.at("node1", "BEGIN; TRUNCATE numbers, marks; ROLLBACK")
    assert sites.value(tombstones, node="node1") == 0
    sites.cut()
    for table in ("numbers SET body", "marks SET m"):
        sites.at("node2", f"UPDATE {table} = '1' WHERE id = 5")
    sites.at("node1", "BEGIN; INSERT INTO numbers VALUES (21); TRUNCATE numbers, marks RESTART IDENTITY;"
                      " INSERT INTO numbers VALUES (1, 'after'); COMMIT")
    for table in ("numbers SET body", "marks SET m"):
        sites.at("node2", f"UPDATE {table} = '2' WHERE id = 6")
    sites.at("node2", "INSERT INTO numbers VALUES (30, '3'); INSERT INTO marks VALUES (30, 3)")
    assert sites.at("node1", "TABLE numbers") == [(1, "after")] and sites.at("node1", "TABLE marks") == []
    sites.heal()
    sites.settle("numbers", "marks")
    assert sites.at("node1", "SELECT * FROM numbers ORDER BY 1") == [(1, "after"), (6, "2"), (30, "3")]
    assert sites.at("node1", "SELECT * FROM marks ORDER BY 1") == [(6, 2), (30, 3)]
    sites.at("node2", "TRUNCATE numbers")
    sites.settle("numbers")
    assert sites.at("node1", "TABLE numbers") == []
    sites.at("node2", "ALTER TABLE marks DISABLE TRIGGER zz_pgquorum_guard")
    sites.refused("node2", "TRUNCATE marks", "55000", "not captured")
    sites.at("node2", "ALTER TABLE marks ENABLE TRIGGER zz_pgquorum_guard")
    for table in ("numbers", "marks"):
        sites.at("node1", f"SELECT system.remove_replicated_table('{GROUP}', '{table}')")


def rows_go_to_the_partitions_of_each_site(_test, sites):
    """Captured by partition, sent as rows of the table, and put where this site has them; identity and generated columns."""
    for node in sites.names():
        sites.at(node, "CREATE TABLE parts (id int GENERATED ALWAYS AS IDENTITY, day date, n int,"
                       " twice int GENERATED ALWAYS AS (n * 2) STORED, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)")
        sites.at(node, "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')")
    sites.at("node1", "INSERT INTO parts (day, n) SELECT '2026-01-01'::date + i, i FROM generate_series(1, 5) i")
    sites.at("node1", f"SELECT system.add_replicated_table('{GROUP}', 'parts')")
    sites.settle("parts")
    assert sites.value("SELECT sum(twice) FROM parts_1", node="node2") == 30
    # Only one site has the partition yet.
    sites.at("node1", "CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')")
    sites.at("node1", "INSERT INTO parts OVERRIDING SYSTEM VALUE VALUES (100, '2026-02-02', 7)")
    letter = "SELECT min(sqlstate) FROM system.replication_dead_letters WHERE table_name = 'public.parts'"
    sites.await_value("node2", letter, "23514")
    sites.at("node2", "CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM ('2026-02-01') TO ('2026-02-15')"
                      " PARTITION BY HASH (id);"
                      "CREATE TABLE parts_3 PARTITION OF parts_2 FOR VALUES WITH (modulus 1, remainder 0)")
    sites.at("node2", "SELECT system.retry_dead_letter(id) FROM system.replication_dead_letters")
    sites.await_value("node2", "SELECT min(twice) FROM parts_3", 14)
    sites.at("node2", "CREATE TABLE filled (LIKE parts INCLUDING GENERATED INCLUDING INDEXES);"
                      "INSERT INTO filled VALUES (9, '2026-03-01', 1)")
    attach = "ALTER TABLE parts ATTACH PARTITION filled FOR VALUES FROM ('2026-03-01') TO ('2026-04-01')"
    sites.refused("node2", attach, "55000", "Attach it empty")
    sites.cut()
    sites.at("node1", "UPDATE parts SET n = 8 WHERE id = 100; DELETE FROM parts_1 WHERE id = 1; TRUNCATE parts_2;"
                      " INSERT INTO parts OVERRIDING SYSTEM VALUE VALUES (101, '2026-02-03', 9)")
    sites.at("node2", "UPDATE parts SET n = 20 WHERE id = 2; DELETE FROM parts WHERE id = 3")
    sites.heal()
    sites.settle("parts")
    assert sites.at("node2", "SELECT id, n, twice FROM parts ORDER BY 1") == [(2, 20, 40), (4, 4, 8), (5, 5, 10), (101, 9, 18)]
    sites.refused("node2", "UPDATE parts SET day = '2026-02-05' WHERE id = 4", "0A000", "insert another")
    sites.refused("node2", f"SELECT system.add_replicated_table('{GROUP}', 'parts_1')", "55000", "Add the partitioned table")
    assert sites.at("node2", f"SELECT * FROM system.verify_convergence('{GROUP}', 'parts')") == []
    sites.at("node2", "TRUNCATE parts")
    sites.settle("parts")
    assert sites.at("node1", "TABLE parts") == []
    sites.at("node1", "CREATE TABLE always (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY); INSERT INTO always DEFAULT VALUES")
    sites.at("node2", "CREATE TABLE always (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY)")
    sites.at("node1", f"SELECT system.add_replicated_table('{GROUP}', 'always')")
    sites.settle("always")
    sites.refused("node2", "INSERT INTO always VALUES (7)", "428C9")
    sites.at("node2", "ALTER TABLE always REPLICA IDENTITY DEFAULT")
    sites.refused("node2", "DELETE FROM always", "55000", "REPLICA IDENTITY FULL")
    sites.at("node2", "ALTER TABLE always REPLICA IDENTITY FULL")
    for table in ("parts", "always"):
        sites.at("node1", f"SELECT system.remove_replicated_table('{GROUP}', '{table}')")
    left = "SELECT tgname FROM pg_trigger WHERE tgname ~ 'pgquorum' AND tgrelid::regclass::text ~ '^(parts|always)'"
    for node in sites.names():
        assert sites.at(node, left) == [], node
    sites.at("node2", "TRUNCATE parts_1")


def letters(sites, node):
    return sites.value("SELECT string_agg(sqlstate, ' ' ORDER BY id) FROM system.replication_dead_letters", node=node)


def foreign_keys_hold_at_each_site(_test, sites):
    sites.replicate("CREATE TABLE parents (id int PRIMARY KEY, code text UNIQUE)", "parents")
    sites.replicate("CREATE TABLE children (id int PRIMARY KEY, parent int REFERENCES parents ON DELETE CASCADE,"
                    " boss int REFERENCES children)", "children")
    both = ("parents", "children")
    sites.at("node1", "INSERT INTO parents SELECT i, 'code ' || i FROM generate_series(1, 9) i;"
                      "INSERT INTO children VALUES (2, 1, 3), (3, 1, NULL), (4, NULL, NULL)")
    sites.settle(*both)
    sites.at("node2", "DELETE FROM parents WHERE id = 1")  # and what refers to it, afterwards
    sites.settle(*both)
    assert sites.at("node1", "SELECT id FROM children") == [(4,)]
    # A child here, its parent deleted there.
    sites.cut()
    sites.at("node1", "DELETE FROM parents WHERE id IN (7, 8)")
    sites.at("node2", "BEGIN; INSERT INTO children VALUES (70, 7); INSERT INTO children VALUES (71, 6); COMMIT;"
                      "INSERT INTO children VALUES (80, 8)")
    sites.heal()
    wait_for(lambda: [letters(sites, node) for node in sites.names()] == ["23503 23503"] * 2, "both sites have both aside")
    assert sites.at("node1", "SELECT id FROM children WHERE id > 4") == [(71,)], "the rest of the transaction is there"
    assert sites.at("node2", "SELECT id FROM parents WHERE id IN (7, 8)") == [(7,), (8,)]
    # Whoever settles it does so at one site.
    sites.at("node2", "DELETE FROM children WHERE id = 70")
    sites.at("node1", "INSERT INTO parents VALUES (8, 'again')")
    wait_for(lambda: [letters(sites, node) for node in sites.names()] == [None] * 2, "nothing is aside")
    sites.settle(*both)
    assert sites.at("node1", "SELECT id, parent FROM children ORDER BY 1") == [(4, None), (71, 6), (80, 8)]
    assert sites.at("node2", "SELECT code FROM parents WHERE id > 6 ORDER BY id") == [("again",), ("code 9",)]


def a_unique_value_that_two_sites_gave_is_told(_test, sites):
    sites.cut()
    sites.at("node1", "INSERT INTO parents VALUES (20, 'same')")
    sites.at("node2", "INSERT INTO parents VALUES (21, 'same'); INSERT INTO parents VALUES (22, 'behind it')")
    sites.heal()
    wait_for(lambda: [letters(sites, node) for node in sites.names()] == ["23505"] * 2, "each has the other's aside")
    sites.await_value("node1", "SELECT count(*) FROM parents WHERE id = 22", 1)
    sites.at("node1", "DELETE FROM parents WHERE id = 20")
    wait_for(lambda: [letters(sites, node) for node in sites.names()] == [None] * 2, "nothing is aside")
    sites.settle("parents")
    assert sites.at("node1", "SELECT id FROM parents WHERE code = 'same'") == [(21,)]
    # In one transaction values may go from row to row.
    sites.at("node2", "BEGIN; UPDATE parents SET code = 'x' WHERE id = 21; UPDATE parents SET code = 'same' WHERE id = 22;"
                      " UPDATE parents SET code = 'behind it' WHERE id = 21; COMMIT")
    sites.settle("parents")
    assert [letters(sites, node) for node in sites.names()] == [None] * 2
    for table in ("children", "parents"):
        sites.at("node1", f"SELECT system.remove_replicated_table('{GROUP}', '{table}')")


def what_is_not_there_is_refused(_test, sites):
    sites.refused("node1", "UPDATE orders SET id = 9999 WHERE id = 20", "0A000", "insert another")
    sites.refused("node1", "SELECT system.create_replication_group('h')", "42710")
    sites.refused("node1", f"SELECT system.add_replicated_table('{GROUP}', 'orders')", "42710")
    sites.refused("node1", "SELECT system.add_replicated_table('nobody', 'orders')", "42704")
    sites.at("node1", "CREATE TABLE keyless (i int); CREATE TABLE twice (i int PRIMARY KEY, j int UNIQUE DEFERRABLE);"
                      "CREATE TABLE amounts (n numeric PRIMARY KEY); CREATE TABLE here (i int PRIMARY KEY);"
                      "CREATE TABLE child (i int PRIMARY KEY, o int REFERENCES here);"
                      "CREATE TABLE full_there (i int PRIMARY KEY); CREATE TABLE differs (i int PRIMARY KEY, a text);"
                      "CREATE TABLE elsewhere (i int PRIMARY KEY)")
    sites.at("node2", "CREATE TABLE full_there (i int PRIMARY KEY); INSERT INTO full_there VALUES (1);"
                      "CREATE TABLE differs (i int PRIMARY KEY, a varchar)")
    add = f"SELECT system.add_replicated_table('{GROUP}', '%s')"
    sites.refused("node1", add % "keyless", "55000", "ADD PRIMARY KEY")
    sites.refused("node1", add % "child", "55000", "Add table public.here first")
    sites.refused("node1", add % "here', 'vector_clock", "0A000", "foreign keys go with last_writer_wins")
    sites.refused("node1", add % "twice", "55000", "deferrable")
    sites.refused("node1", add % "amounts", "55000", "written differently")
    sites.refused("node1", add % "here", "42P01", "every site")
    sites.refused("node1", add % "full_there", "55000", "not empty at site 2")
    sites.refused("node1", add % "differs", "42P16", "varying")
    for strategy, state in (("multi_value", "0A000"), ("nonsense", "22023")):
        sites.refused("node1", f"SELECT system.add_replicated_table('{GROUP}', 'elsewhere', '{strategy}')", state)
    # None of it left a trace.
    assert sites.at("node1", "SELECT table_name FROM system.replicated_tables WHERE table_name NOT IN ('orders', 'papers')") == []
    sites.at("node2", "CREATE TABLE elsewhere (i int PRIMARY KEY)")
    sites.at("node1", add % "elsewhere")
    sites.at("node2", "INSERT INTO elsewhere VALUES (1)")
    sites.settle("elsewhere", "orders")


def a_site_is_not_joined_by_mistake(_test, sites):
    sites.refused("node2", f"SELECT system.join_replication_group('{GROUP}', '{sites.address('node1')}')", "42710")
    sites.at("node1", "CREATE DATABASE other")
    # In another database of the same server nothing serves a group.
    connection = psycopg2.connect(sites.node_url("node1").replace("/postgres?", "/other?"))
    try:
        with connection.cursor() as cursor:
            cursor.execute("CREATE EXTENSION pgquorum")
            cursor.execute(f"SELECT system.join_replication_group('{GROUP}', '{sites.address('node2')}')")
        raise AssertionError("joined")
    except psycopg2.Error as error:
        assert error.pgcode == "55000" and "replication_databases" in str(error), error
    finally:
        connection.close()


main(rows_that_were_there_arrive, changes_flow_both_ways_and_end, large_values_travel, conflicts_go_to_the_later_write,
     a_row_that_cannot_be_applied_is_kept_aside, a_letter_that_is_too_old_changes_nothing,
     deletions_are_forgotten_when_all_have_passed, truncate_deletes_what_the_site_has,
     rows_go_to_the_partitions_of_each_site, foreign_keys_hold_at_each_site,
     a_unique_value_that_two_sites_gave_is_told, what_is_not_there_is_refused, a_site_is_not_joined_by_mistake,
     shared=two_sites)
