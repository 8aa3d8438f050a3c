#!/usr/bin/python3
"""Replicated data types on a plain server: dump and restore, a standby, a crash, going away and coming back."""
import os
import re
import subprocess

from pgquorum_tap import main
from pgquorum_tap.cluster import bindir
from pgquorum_tap.stock import StockCluster
from pgquorum_tap.waiting import wait_for

SCHEMA = """
CREATE EXTENSION pgquorum;
CREATE TABLE stock (sku text PRIMARY KEY, on_hand crdt.pn_counter DEFAULT 0, tags crdt.or_set, note crdt.lww_register,
  owners crdt.mv_register);
CREATE INDEX ON stock (on_hand);
CREATE INDEX ON stock USING gin ((tags::text[]));
CREATE TRIGGER assign BEFORE UPDATE ON stock FOR EACH ROW EXECUTE FUNCTION crdt.assign();
CREATE DOMAIN positive AS crdt.pn_counter CHECK (VALUE >= 0);
CREATE TABLE other (p positive, a crdt.g_set[]);
INSERT INTO stock SELECT 's' || n, n, ARRAY['t' || n], 'note'::text, 'owner'::text FROM generate_series(1, 100) n;
INSERT INTO other VALUES (5, ARRAY[ARRAY['x']::crdt.g_set]);
"""


def servers(test):
    return test.cluster(StockCluster, nodes=2, settings={"shared_preload_libraries": "pgquorum"})


def made(cluster):
    if not cluster.value("SELECT count(*) FROM pg_extension WHERE extname = 'pgquorum'"):
        cluster.sql(SCHEMA)
    return cluster.nodes["node1"]


def dump(node, database):
    text = subprocess.run([bindir() / "pg_dump", "-h", node.host, "-p", str(node.port), "-U", "postgres", database],
                          check=True, text=True, stdout=subprocess.PIPE).stdout
    return re.sub(r"^\\(un)?restrict .*$", "", text, flags=re.M)


def a_dump_restores_every_state(test, cluster):
    node = made(cluster)
    text = dump(node, "postgres")
    cluster.sql("CREATE DATABASE restored")
    subprocess.run([bindir() / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", node.host, "-p", str(node.port), "-U",
                    "postgres", "-d", "restored", "-o", os.devnull], input=text, check=True, text=True)
    assert dump(node, "restored") == text
    cluster.sql("DROP DATABASE restored")


def a_standby_reads_them(test, cluster):
    made(cluster)
    total = lambda: cluster.value("SELECT sum(on_hand::bigint) FROM stock WHERE tags && ARRAY['t7', 't8']", node="node2")
    wait_for(lambda: cluster.value("SELECT to_regclass('stock') IS NOT NULL", node="node2") and total() == 15,
             "the standby has the rows")
    # An operator that makes a new value needs no write.
    assert cluster.value("SELECT (on_hand + 1)::bigint FROM stock WHERE on_hand = 7", node="node2") == 8


def operations_after_a_crash_are_new_ones(test, cluster):
    made(cluster)
    newest = """SELECT max((regexp_match(d #>> '{}', ':(\\d+)$'))[1]::numeric)
                FROM stock, jsonb_path_query(crdt.state(tags), '$.elements[*].dots[*]') d"""
    before = cluster.value(newest)
    cluster.stop("node1", mode="immediate")
    cluster.start("node1")
    cluster.sql("UPDATE stock SET tags = tags + 'after' WHERE sku = 's1'")
    assert cluster.value(newest) > before
    assert cluster.value("SELECT crdt.count(tags) FROM stock WHERE sku = 's1'") == 2


def the_extension_goes_and_comes_back(test, cluster):
    made(cluster)
    cluster.sql("DROP EXTENSION pgquorum CASCADE")
    assert cluster.value("SELECT count(*) FROM pg_operator o JOIN pg_type t ON t.oid = oprleft"
                         " WHERE typname = 'pn_counter'") == 0
    cluster.sql("CREATE EXTENSION pgquorum")
    assert cluster.value("SELECT (5::crdt.pn_counter - 1)::bigint") == 4


main(a_dump_restores_every_state, a_standby_reads_them, operations_after_a_crash_are_new_ones,
     the_extension_goes_and_comes_back, shared=servers)
