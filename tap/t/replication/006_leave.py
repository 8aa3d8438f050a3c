#!/usr/bin/python3
"""A table is taken out of a group, a site leaves, a site is lost: the others go on, and nothing keeps WAL for who is gone."""
import threading

from pgquorum_tap import main, wait_for
from pgquorum_tap.sites import GROUP, Sites


def slots(sites, node):
    return {name for (name,) in sites.at(node, "SELECT slot_name FROM pg_replication_slots")}


def three_sites(test):
    sites = test.cluster(Sites, nodes=3).group()
    for table in ("t", "u"):
        sites.replicate(f"CREATE TABLE {table} (id int PRIMARY KEY, v text)", table)
    return sites


def a_table_is_taken_out_while_it_is_written(_test, sites):
    ended = threading.Event()

    def write(node, number):
        connection = sites.connect(node)
        with connection.cursor() as cursor:
            while not ended.is_set():
                cursor.execute("INSERT INTO u VALUES (%s, %s)", (number, node))
                number += 10
        connection.close()

    writers = [threading.Thread(target=write, args=(node, i)) for i, node in enumerate(sites.names())]
    for writer in writers:
        writer.start()
    wait_for(lambda: sites.value("SELECT count(*) FROM u", node="node3") > 20, "rows come")
    sites.at("node2", f"SELECT system.remove_replicated_table('{GROUP}', 'u')")
    # What a site had written before it stopped is everywhere; what it writes now stays.
    ended.set()
    for writer in writers:
        writer.join()
    sites.settle()
    for node in sites.names():
        assert sites.at(node, "SELECT table_name FROM system.replicated_tables") == [("t",)], node
        assert sites.at(node, "SELECT tgname FROM pg_trigger WHERE tgrelid = 'u'::regclass") == [], node
        assert sites.at(node, "SELECT * FROM system.replication_dead_letters") == [], node
    for writer in sites.names():
        # Its first rows, without a gap, are what others have of it.
        own = [row[0] for row in sites.at(writer, f"SELECT id FROM u WHERE v = '{writer}' ORDER BY 1")]
        seen = {node: [row[0] for row in sites.at(node, f"SELECT id FROM u WHERE v = '{writer}' ORDER BY 1")]
                for node in sites.names() if node != writer}
        assert len({tuple(rows) for rows in seen.values()}) == 1, (writer, {n: len(rows) for n, rows in seen.items()})
        got = next(iter(seen.values()))
        assert got == own[:len(got)], writer
    sites.at("node1", "TRUNCATE u")
    assert all(sites.streaming(node) for node in sites.names())
    sites.refused("node1", f"SELECT system.remove_replicated_table('{GROUP}', 'u')", "42704")
    # It can come back, empty.
    for node in sites.names():
        sites.at(node, "TRUNCATE u")
    sites.at("node3", f"SELECT system.add_replicated_table('{GROUP}', 'u')")
    sites.at("node1", "INSERT INTO u VALUES (1, 'again')")
    sites.settle("t", "u")


def a_site_is_lost(_test, sites):
    """node3 reaches nobody. The others go on without it, and its number is not given again."""
    sites.doors["node3"].shut()
    for node in ("node1", "node2"):
        sites.doors[node].shut()
    sites.at("node3", "INSERT INTO t VALUES (33, 'told to nobody')")
    for node in ("node1", "node2"):
        sites.doors[node].open()
    sites.at("node1", "INSERT INTO t VALUES (7, 'without node3')")
    sites.await_value("node2", "SELECT max(v) FROM t WHERE id = 7", "without node3")
    sites.at("node2", f"SELECT system.remove_replication_site('{GROUP}', 3)")
    for node in ("node1", "node2"):
        wait_for(lambda node=node: len(slots(sites, node)) == 1, f"{node} keeps no WAL for site 3")
        wait_for(lambda node=node: sites.at(node, "SELECT count(*) FROM pg_stat_activity WHERE backend_type"
                                                  " = 'pgquorum replication'") == [(1,)], f"{node} has one worker")
    assert sites.at("node1", f"SELECT * FROM system.verify_convergence('{GROUP}')") == []
    # It comes back, is told that it is out, and goes.
    sites.doors["node3"].open()
    sites.await_value("node3", "SELECT bool_and(state = 'slot lost') FROM system.replication_peers", True)
    sites.refused("node3", f"SELECT system.remove_replicated_table('{GROUP}', 't')", "55000", "not in replication group")
    sites.at("node3", f"SELECT system.leave_replication_group('{GROUP}', force => true)")
    wait_for(lambda: not slots(sites, "node3"), "node3 keeps no WAL")


def a_site_leaves(_test, sites):
    sites.at("node2", "INSERT INTO t VALUES (4, 'last words')")
    sites.replicate("CREATE TABLE numbered (id serial PRIMARY KEY)", "numbered")
    number = "INSERT INTO numbered DEFAULT VALUES RETURNING id"
    assert [sites.value(number, node=node) for node in ("node1", "node2", "node1")] == [1, 2, 17]
    sites.refused("node1", f"SELECT system.remove_replication_site('{GROUP}', 2)", "55000", "it answers")
    sites.refused("node1", f"SELECT system.remove_replication_site('{GROUP}', 1)", "42704")
    sites.at("node2", f"SELECT system.leave_replication_group('{GROUP}')")
    assert sites.value("SELECT max(v) FROM t WHERE id = 4", node="node1") == "last words"
    for node in ("node1", "node2"):
        wait_for(lambda node=node: not slots(sites, node), f"{node} keeps no WAL")
    wait_for(lambda: not sites.at("node2", "SELECT roname FROM pg_replication_origin"), "node2 has no origins")
    for view in ("replication_groups", "replicated_tables", "replication_peers"):
        assert sites.at("node2", f"SELECT * FROM system.{view}") == [], view
    assert sites.at("node1", "SELECT sites FROM system.replication_groups") == [(1,)]
    # What is written there is its own, and it can found a group of its own.
    sites.at("node2", "TRUNCATE t")
    assert sites.value(number, node="node2") == 3  # as it counted before
    assert sites.at("node2", "SELECT system.create_replication_group('own')") == [(1,)]
    sites.at("node2", "SELECT system.leave_replication_group('own')")
    # Who is left alone writes on, and a number is not given twice.
    sites.at("node1", "INSERT INTO t VALUES (8, 'alone')")
    gone = sites.at("node1", "SELECT array_agg(site_id ORDER BY site_id) FROM pgquorum_internal.departed_site")
    assert gone == [([2, 3],)], gone
    sites.at("node1", f"SELECT system.leave_replication_group('{GROUP}')")
    assert sites.at("node1", "SELECT tgname FROM pg_trigger WHERE tgname ~ 'pgquorum'") == []
    assert sites.value("SELECT count(*) FROM t", node="node1") > 1


main(a_table_is_taken_out_while_it_is_written, a_site_is_lost, a_site_leaves, shared=three_sites)
