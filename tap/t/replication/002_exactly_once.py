#!/usr/bin/python3
"""kill -9 while changes are applied: each of them is applied once. The oracle is a trigger at the applying site that
fires for applied rows too and writes down every one, in the transaction that applies it."""
import random
import threading

import psycopg2
from pgquorum_tap import main, wait_for
from pgquorum_tap.sites import Sites

NOT_YET = (psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.DatabaseError)
WITNESS = """
CREATE TABLE witness (n bigint);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
  'BEGIN INSERT INTO public.witness VALUES (NEW.n); RETURN NULL; END';
CREATE TRIGGER note AFTER UPDATE ON counter FOR EACH ROW EXECUTE FUNCTION note();
ALTER TABLE counter ENABLE ALWAYS TRIGGER note;
"""


class Writer(threading.Thread):
    """Counts a row up, one transaction each, until it is told to stop."""

    def __init__(self, sites):
        super().__init__(daemon=True)
        self._connection = sites.connect("node1")
        self._stop_now = threading.Event()
        self.count = 0
        self.start()

    def run(self):
        with self._connection.cursor() as cursor:
            while not self._stop_now.is_set():
                cursor.execute("UPDATE counter SET n = n + 1 WHERE id = 1")
                self.count += 1
        self._connection.close()

    def stop(self):
        self._stop_now.set()
        self.join()


def applied(sites):
    return sites.value("SELECT n FROM counter WHERE id = 1", node="node2")


def applied_now(sites):
    """A server may only be about to notice that one of its processes was killed."""
    return wait_for(lambda: (applied(sites),), "node2 answers", errors=NOT_YET)[0]


def each_change_is_applied_once(test):
    sites = test.cluster(Sites, nodes=2).group(doors=False)
    sites.replicate("CREATE TABLE counter (id int PRIMARY KEY, n bigint)", "counter")
    sites.at("node1", "INSERT INTO counter VALUES (1, 0)")
    sites.settle("counter")
    sites.at("node2", WITNESS)
    writer = Writer(sites)
    for kill in ("worker", "postmaster", "sender", "worker", "postmaster"):
        seen = applied_now(sites)
        wait_for(lambda: applied(sites) > seen + random.randint(20, 200), "changes arrive", errors=NOT_YET)
        sites.interrupt("node2", kill, sender="node1")
        seen = applied_now(sites)
        wait_for(lambda: applied(sites) > seen, "it goes on", errors=NOT_YET)
    writer.stop()
    sites.settle("counter")
    assert sites.value("SELECT n FROM counter WHERE id = 1", node="node1") == writer.count
    noted = sites.at("node2", "SELECT count(*), count(DISTINCT n), min(n), max(n) FROM witness")
    test.note(f"{writer.count} changes; applied, distinct, first, last: {noted[0]}")
    assert noted == [(writer.count, writer.count, 1, writer.count)], (noted, writer.count)
    assert sites.at("node2", "SELECT * FROM system.replication_conflicts") == []
    assert sites.at("node2", "SELECT * FROM system.replication_dead_letters") == []


main(each_change_is_applied_once)
