#!/usr/bin/python3
"""kill -9 under load: every acknowledged commit on fusion tables is there, no other, and what one transaction did to
fusion tables, ordinary tables and catalogs is there or not as one."""
import random
import signal
import threading

import psycopg2

from pgquorum_tap import main, wait_for
from pgquorum_tap.fusion import FusionServer

ACCOUNTS, CLIENTS = 60, 4
SCHEMA = f"""
CREATE TABLE account (id int PRIMARY KEY, balance bigint NOT NULL, note text) USING fusion;
CREATE INDEX account_balance ON account (balance DESC) INCLUDE (id);
CREATE INDEX account_note ON account (note, balance) WHERE id % 2 = 0;
INSERT INTO account SELECT i, 1000, repeat('n', 300) FROM generate_series(1, {ACCOUNTS}) i;
CREATE TABLE counter (client int PRIMARY KEY, number bigint) USING fusion;
CREATE TABLE race (key int PRIMARY KEY, account int REFERENCES account, times int NOT NULL) USING fusion;
INSERT INTO counter SELECT i, 0 FROM generate_series(1, {CLIENTS}) i;
CREATE FUNCTION body(client int, number bigint) RETURNS text LANGUAGE sql AS
  $$ SELECT string_agg(md5(client || ' ' || number || ' ' || i), '')
     FROM generate_series(1, CASE client WHEN 1 THEN 20000 ELSE 100 + number % 7 * 200 END) i $$;
CREATE TABLE document (client int PRIMARY KEY, turns bigint, number bigint, body text) USING fusion;
INSERT INTO document SELECT i, 0, 0, body(i, 0) FROM generate_series(1, {CLIENTS}) i;
CREATE TABLE ledger (client int, number bigint);
CREATE TABLE whole (number bigint) USING fusion;
CREATE INDEX whole_number ON whole (number);
INSERT INTO whole SELECT 0 FROM generate_series(1, 50);
"""


class Client(threading.Thread):
    """Moves money, counts its transactions in the same transaction, and remembers the last acknowledged one."""

    def __init__(self, server, number, acknowledged, seed):
        super().__init__(daemon=True)
        self.server, self.number, self.acknowledged = server, number, acknowledged
        self.random, self.count, self.stop, self.error = random.Random(seed), 0, False, None

    def run(self):
        try:
            connection = self.server.connect("node1")
            connection.autocommit = True
            with connection.cursor() as cursor:
                while not self.stop:
                    self.turn(cursor)
        except psycopg2.OperationalError:
            pass  # killed
        except Exception as error:
            self.error = error

    def turn(self, cursor):
        number = self.acknowledged[self.number] + 1
        one, other = self.random.sample(range(1, ACCOUNTS + 1), 2)
        try:
            cursor.execute("BEGIN ISOLATION LEVEL " + self.random.choice(["READ COMMITTED", "REPEATABLE READ"]))
            cursor.execute("SELECT count(*), sum(balance) FROM account")
            found = cursor.fetchone()
            assert found == (ACCOUNTS, ACCOUNTS * 1000), found
            cursor.execute("SAVEPOINT s")
            cursor.execute("UPDATE account SET balance = -1 WHERE id = %s", (one,))
            cursor.execute("UPDATE document SET body = body(client, -1) WHERE client = %s", (self.number,))
            cursor.execute("ROLLBACK TO s")
            cursor.execute("UPDATE account SET balance = balance - 1 WHERE id = %s", (min(one, other),))
            cursor.execute("SAVEPOINT t")
            cursor.execute("UPDATE account SET balance = balance + 1 WHERE id = %s", (max(one, other),))
            cursor.execute("RELEASE t")
            cursor.execute("UPDATE counter SET number = %s WHERE client = %s", (number, self.number))
            # A large value, of client 1 one of many pages; now and then the row changes and the value does not.
            cursor.execute("UPDATE document SET turns = %s WHERE client = %s", (number, self.number))
            if number % 3:
                cursor.execute("UPDATE document SET number = %s, body = body(client, %s) WHERE client = %s",
                               (number, number, self.number))
            # Everybody wants the same few keys.
            cursor.execute("INSERT INTO race VALUES (%s, %s, 1) ON CONFLICT (key) DO UPDATE SET times = race.times + 1",
                           (self.random.randint(1, 5), one))
            if self.number % 2 == 0:  # with a transaction id of PostgreSQL
                cursor.execute("INSERT INTO ledger VALUES (%s, %s)", (self.number, number))
            if self.number == 2:  # and with catalogs
                cursor.execute("TRUNCATE whole")
                cursor.execute("INSERT INTO whole SELECT %s FROM generate_series(1, 50)", (number,))
                cursor.execute("DROP TABLE IF EXISTS passing")
                cursor.execute("CREATE TABLE passing USING fusion AS SELECT %s::bigint AS number", (number,))
                cursor.execute("ALTER TABLE passing ADD PRIMARY KEY (number)")
                cursor.execute("REINDEX INDEX whole_number")
            if self.number == 3 and self.random.random() < 0.2:
                cursor.execute("ROLLBACK")
                return
            cursor.execute("COMMIT")
        except (psycopg2.errors.SerializationFailure, psycopg2.errors.DeadlockDetected):
            cursor.execute("ROLLBACK")
            return
        self.acknowledged[self.number] = number
        self.count += 1


def check(server, acknowledged):
    rows = server.sql("SELECT count(*), count(DISTINCT id), sum(balance), min(balance) FROM account")
    assert rows[0][:3] == (ACCOUNTS, ACCOUNTS, ACCOUNTS * 1000) and rows[0][3] > 0, rows
    counters = dict(server.sql("SELECT client, number FROM counter"))
    assert len(counters) == CLIENTS
    for client, number in counters.items():
        # The one that was under way may have been committed without an answer.
        assert acknowledged[client] <= number <= acknowledged[client] + 1, (client, number, acknowledged)
        acknowledged[client] = number
    ledger = dict(server.sql("SELECT client, max(number) FROM ledger GROUP BY client"))
    assert ledger == {client: counters[client] for client in (2, 4)}, (ledger, counters)
    assert server.sql("SELECT number, count(*) FROM whole GROUP BY number") == [(counters[2], 50)]
    assert server.sql("SELECT number FROM passing") == [(counters[2],)]
    assert server.value("SELECT sum(times) FROM race") == sum(counters.values())
    documents = server.sql("SELECT client, turns, number, body = body(client, number) FROM document ORDER BY client")
    assert documents == [(i, n, n if n % 3 else max(n - 1, 0), True) for i, n in sorted(counters.items())], documents
    by_index = ["SET enable_seqscan = off", "SELECT count(*), sum(balance) FROM account WHERE balance > 0"]
    assert server.sql("; ".join(by_index)) == [(ACCOUNTS, ACCOUNTS * 1000)]
    # A crash may leave segments of what had not been committed; nothing else may be wrong.
    assert server.sql("SELECT * FROM system.fusion_check(true) WHERE relation IS NOT NULL") == []
    assert server.sql("SELECT * FROM system.fusion_check()") == []


def under_load(server, acknowledged, seed, fault):
    clients = [Client(server, i, acknowledged, seed * 10 + i) for i in range(1, CLIENTS + 1)]
    for client in clients:
        client.start()
    wait_for(lambda: all(c.count >= 5 for c in clients) or any(c.error for c in clients), "every client works")
    fault()
    for client in clients:
        client.stop = True
    for client in clients:
        client.join(60)
        assert client.error is None, repr(client.error)


def nothing_is_lost_and_nothing_half_done(test):
    # Checkpoints and vacuum happen under the load.
    server = test.cluster(FusionServer, settings={
        "pgquorum.fusion_cache": "8MB", "pgquorum.fusion_checkpoint_timeout": "1s", "autovacuum_naptime": "1s",
        "pgquorum.fusion_mixed_transactions": "on"})
    server.sql(SCHEMA)
    acknowledged = {i: 0 for i in range(1, CLIENTS + 1)}
    for life in range(6):
        if life % 3 == 2:
            under_load(server, acknowledged, life, lambda: server.crash(lambda: server.kill_backend("node1")))
        elif life % 3 == 1:
            under_load(server, acknowledged, life,
                       lambda: server.crash(
                           lambda: server.signal_processes("node1", "pgquorum fusion", signal.SIGKILL)))
        else:
            under_load(server, acknowledged, life, server.kill_all)
        check(server, acknowledged)
    server.sql("VACUUM account, document")
    server.stop("node1")
    server.start("node1")
    check(server, acknowledged)
    test.note(f"{sum(acknowledged.values())} transactions acknowledged in 6 lives")


def a_table_larger_than_the_cache(test):
    server = test.cluster(FusionServer, settings={"pgquorum.fusion_cache": "8MB"})
    rows = 100000
    server.sql("CREATE TABLE big (a bigint, b text) USING fusion")
    server.sql(f"INSERT INTO big SELECT i, repeat('x', 80) FROM generate_series(1, {rows}) i")
    server.sql("UPDATE big SET a = a + 1 WHERE a % 2 = 0")
    open_transaction = server.connect("node1")
    open_transaction.autocommit = False
    with open_transaction.cursor() as cursor:
        cursor.execute("DELETE FROM big WHERE a < 1000")
    assert server.value("SELECT evictions FROM system.fusion_cache") > 0
    server.kill_all()
    expected = [(rows, rows * (rows + 1) // 2 + rows // 2)]
    assert server.sql("SELECT count(*), sum(a) FROM big") == expected
    server.sql("VACUUM big")
    assert server.sql("SELECT count(*), sum(a) FROM big") == expected


main(nothing_is_lost_and_nothing_half_done, a_table_larger_than_the_cache)
