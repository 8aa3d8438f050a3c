#!/usr/bin/python3
"""Columns of replicated types: what is counted and added at every site at the same time is all there in the end."""
import random
import threading

import psycopg2
from pgquorum_tap import main, wait_for
from pgquorum_tap.sites import GROUP, Sites

STOCK = ("CREATE TABLE stock (sku text PRIMARY KEY, on_hand crdt.pn_counter DEFAULT 0, tags crdt.or_set DEFAULT '{}'::text[],"
         " note crdt.lww_register, price int)")
NOT_YET = (psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.DatabaseError)


def three_sites(test):
    sites = test.cluster(Sites, nodes=3).group()
    sites.replicate(STOCK, "stock")
    return sites


def shown(sites, node, sku):
    return sites.at(node, f"SELECT on_hand::bigint, tags::text[], note::text, price FROM stock WHERE sku = '{sku}'")


def nothing_is_lost_or_doubled(_test, sites):
    sites.at("node1", "INSERT INTO stock VALUES ('x', 10, ARRAY['new'], 'a note'::text, 1)")
    sites.settle("stock")
    sites.cut()
    for i, node in enumerate(sites.names()):
        sites.at(node, f"UPDATE stock SET on_hand = on_hand - {i + 1}, tags = tags + 'sale{i}', price = {i} WHERE sku = 'x'")
    sites.at("node2", "UPDATE stock SET tags = tags - 'new', note = crdt.set(note, 'the last word') WHERE sku = 'x'")
    sites.heal()
    sites.settle("stock")
    # Plain columns go with the later write of the row, which was node2's.
    assert shown(sites, "node3", "x") == [(4, ["sale0", "sale1", "sale2"], "the last word", 1)], shown(sites, "node3", "x")
    assert sites.value("SELECT crdt.origin()", node="node1") == "1.1"
    assert sites.value("SELECT crdt.origin()", node="node3") == "3.1"


def counting_only_is_no_conflict(_test, sites):
    sites.at("node1", "INSERT INTO stock (sku, price) VALUES ('quiet', 5)")
    sites.settle("stock")
    sites.cut()
    for node in sites.names():
        sites.at(node, "UPDATE stock SET on_hand = on_hand + 1 WHERE sku = 'quiet'")
    sites.heal()
    sites.settle("stock")
    assert shown(sites, "node1", "quiet")[0][0] == 3
    for node in sites.names():
        assert sites.at(node, "SELECT id FROM system.replication_conflicts WHERE remote_row ->> 'sku' = 'quiet'") == []


def a_merge_does_not_make_a_row_older(_test, sites):
    """node3 merges node1's older change into its newer row; then a change comes that lies between the two."""
    sites.at("node1", "INSERT INTO stock (sku, price) VALUES ('poison', 0)")
    sites.settle("stock")
    sites.cut()
    sites.at("node1", "UPDATE stock SET on_hand = on_hand + 1, price = 1 WHERE sku = 'poison'")
    sites.at("node2", "UPDATE stock SET on_hand = on_hand + 1, price = 2 WHERE sku = 'poison'")
    sites.at("node3", "UPDATE stock SET on_hand = on_hand + 1, price = 3 WHERE sku = 'poison'")
    sites.doors["node1"].open()
    sites.await_value("node3", "SELECT on_hand::bigint FROM stock WHERE sku = 'poison'", 2)
    assert shown(sites, "node3", "poison")[0][3] == 3
    sites.heal()
    sites.settle("stock")
    for node in sites.names():
        assert shown(sites, node, "poison") == [(3, [], None, 3)], shown(sites, node, "poison")


def a_row_that_returns_has_what_was_counted_before(_test, sites):
    """A deletion loses to a newer update, which had not seen what was counted before the deletion; and a row that is
    inserted again after a deletion starts afresh, whatever comes late."""
    sites.at("node1", "INSERT INTO stock (sku, on_hand) VALUES ('back', 10), ('again', 10)")
    sites.settle("stock")
    sites.cut()
    sites.at("node1", "UPDATE stock SET on_hand = on_hand + 5 WHERE sku = 'back'")
    sites.at("node1", "DELETE FROM stock WHERE sku IN ('back', 'again')")
    sites.at("node1", "INSERT INTO stock (sku, on_hand) VALUES ('again', 1)")
    sites.at("node1", "UPDATE stock SET on_hand = on_hand + 1 WHERE sku = 'again'")
    sites.at("node2", "UPDATE stock SET on_hand = on_hand + 7 WHERE sku = 'back'")
    sites.at("node3", "UPDATE stock SET on_hand = on_hand + 100, price = 3 WHERE sku = 'again'")
    sites.heal()
    sites.settle("stock")
    assert shown(sites, "node3", "back")[0][0] == 22
    assert shown(sites, "node2", "again")[0][0] == 2 and shown(sites, "node2", "again")[0][3] == 3
    sites.at("node2", "UPDATE stock SET on_hand = on_hand + 1 WHERE sku = 'again'")
    sites.at("node3", "BEGIN; DELETE FROM stock WHERE sku = 'back'; INSERT INTO stock (sku, on_hand) VALUES ('back', 3);"
                      " DELETE FROM stock WHERE sku = 'back'; INSERT INTO stock (sku, on_hand) VALUES ('back', 2); COMMIT")
    sites.settle("stock")
    assert shown(sites, "node1", "again")[0][0] == 3 and shown(sites, "node1", "back")[0][0] == 2


def plain_assignment_is_a_change(_test, sites):
    sites.at("node1", "INSERT INTO stock (sku, on_hand, tags) VALUES ('plain', 10, ARRAY['a', 'b'])")
    sites.settle("stock")
    sites.cut()
    sites.at("node1", "UPDATE stock SET on_hand = 7 WHERE sku = 'plain'")
    sites.at("node2", "UPDATE stock SET on_hand = 12, tags = ARRAY['b', 'c'] WHERE sku = 'plain'")
    sites.heal()
    sites.settle("stock")
    assert shown(sites, "node3", "plain")[0][:2] == (9, ["b", "c"])
    sites.refused("node1", "UPDATE stock SET on_hand = NULL WHERE sku = 'plain'", "22004", "on_hand")
    sites.refused("node2", "SET pgquorum.crdt_site_id = 1; UPDATE stock SET on_hand = on_hand + 1", "55000", "Reconnect")
    for node in sites.names():
        sites.at(node, "CREATE DOMAIN amount AS crdt.pn_counter; CREATE TABLE domains (i int PRIMARY KEY, a amount)")
    sites.refused("node1", f"SELECT system.add_replicated_table('{GROUP}', 'domains')", "55000", "domain")


def a_value_that_does_not_merge_holds_up_nothing(_test, sites):
    sites.cut()
    sites.at("node1", "INSERT INTO stock (sku, tags) VALUES ('forged', ARRAY['a'])")
    # As if the sites had agreed on something that none of them knows.
    sites.at("node2", "INSERT INTO stock (sku, tags) VALUES ('forged', '{\"generation\": 1, \"seen\": {}, \"elements\": []}')")
    sites.at("node2", "INSERT INTO stock (sku) VALUES ('behind it')")
    sites.heal()
    sites.await_value("node1", "SELECT count(*) FROM stock WHERE sku = 'behind it'", 1)
    letters = "SELECT sqlstate FROM system.replication_dead_letters WHERE remote_site_id = 2"
    assert sites.at("node1", letters) == [("RX201",)], sites.at("node1", letters)
    sites.settle()
    sites.at("node1", "DELETE FROM stock WHERE sku = 'forged'")
    sites.settle("stock")
    for node in sites.names():
        sites.at(node, "DELETE FROM pgquorum_internal.dead_letter")


class Counter(threading.Thread):
    """Counts at one site until it is told to stop, in rows that come and go; remembers what was acknowledged."""

    def __init__(self, sites, node, seed):
        super().__init__(daemon=True)
        self._rng = random.Random(seed)
        self._sites = sites
        self._node = node
        self._stop_now = threading.Event()
        self.sold = 0
        self.words = set()
        self.unsure = 0
        self.start()

    def run(self):
        connection = None
        while not self._stop_now.is_set():
            amount, word = self._rng.randint(1, 9), f"{self._node}-{self._rng.randrange(40)}"
            started = False
            try:
                connection = connection or self._sites.connect(self._node)
                with connection.cursor() as cursor:
                    started = True
                    cursor.execute(f"UPDATE stock SET on_hand = on_hand + {amount}, tags = tags + '{word}' WHERE sku = 'busy'")
                self.sold += amount
                self.words.add(word)
            except NOT_YET:
                self.unsure += amount if started else 0  # of the statement that the server died in nobody knows
                connection = None

    def stop(self):
        self._stop_now.set()
        self.join()


def counters_are_exact_across_kills(test, sites):
    sites.at("node1", "INSERT INTO stock (sku) VALUES ('busy')")
    sites.settle("stock")
    seed = random.randrange(2**32)
    counters = {node: Counter(sites, node, f"{seed} {node}") for node in sites.names()}

    def total(node):
        return sites.value("SELECT on_hand::bigint FROM stock WHERE sku = 'busy'", node=node)

    def total_now():  # a server may only be about to notice that one of its processes was killed
        return wait_for(lambda: (total("node2"),), "node2 answers", errors=NOT_YET)[0]

    for kill in ("worker", "postmaster", "sender"):
        seen = total_now()
        wait_for(lambda: total("node2") > seen + 300, "counts come and go", errors=NOT_YET)
        sites.interrupt("node2", kill, sender="node1")
        seen = total_now()
        wait_for(lambda: total("node2") > seen, "it goes on", errors=NOT_YET)
    for counter in counters.values():
        counter.stop()
    wait_for(lambda: sites.value("SELECT 1", node="node2") == 1, "node2 answers", errors=NOT_YET)
    sites.settle("stock")
    sold, unsure = (sum(getattr(c, name) for c in counters.values()) for name in ("sold", "unsure"))
    test.note(f"seed {seed}: counted {sold}, unsure {unsure}, shown {total('node1')}")
    assert sold <= total("node1") <= sold + unsure, (sold, unsure, total("node1"))
    words = set(sites.value("SELECT tags::text[] FROM stock WHERE sku = 'busy'", node="node3"))
    assert set.union(*(c.words for c in counters.values())) <= words
    for node in sites.names():
        assert sites.at(node, "SELECT * FROM system.replication_dead_letters") == [], node


main(nothing_is_lost_or_doubled, counting_only_is_no_conflict, a_merge_does_not_make_a_row_older,
     a_row_that_returns_has_what_was_counted_before, plain_assignment_is_a_change,
     a_value_that_does_not_merge_holds_up_nothing, counters_are_exact_across_kills, shared=three_sites)
