"""Numbered rows written while things break, and the check that no acknowledged one was lost.

Each client inserts a row with a number of its own every `interval`, and remembers of every attempt

    acknowledged   the server said yes
    failed         the server said no with an SQLSTATE that means: certainly not committed
    unknown        the connection was lost, the answer did not come in time, or the error leaves it open

An unanswered statement is abandoned by closing the socket, never by a cancel request: that is what a client whose
network is gone looks like to the server. A number is never tried twice.
"""
import collections
import itertools
import os
import random
import socket
import threading
import time

import psycopg2

from .waiting import wait_for

# Errors of these SQLSTATE classes (connection, operator intervention, system, internal) leave the outcome open.
OPEN_CLASSES = ("08", "57", "58", "XX")
STATEMENT_TIMEOUT_S = 2.0
# Between failed rounds through all hosts: as an application would, and so that the tries do not become the load.
RECONNECT_S = 0.05

_numbers = itertools.count(1)

Attempt = collections.namedtuple("Attempt", "client number node began ended outcome sqlstate")
Outage = collections.namedtuple("Outage", "milliseconds began ended")


class _Client(threading.Thread):
    """One connection at a time, one row at a time."""

    def __init__(self, load, name, nodes, attributes, prepare, interval):
        super().__init__(name=f"load-{name}", daemon=True)
        self.label = name
        self._load = load
        self._nodes = nodes
        self._attributes = attributes
        self._prepare = prepare
        self._interval = interval
        self._connection = None
        self._statement_began = None
        self.attempts = []
        self.connect_failures = 0

    def run(self):
        if self._prepare:
            self._prepare()
        due = time.monotonic()
        number = 0
        while not self._load.stopping.is_set():
            if self._connection is None and not self._connect():
                self._load.stopping.wait(RECONNECT_S)
                continue
            number += 1
            self.attempts.append(self._attempt(number))
            due = max(due + self._interval, time.monotonic())
            self._load.stopping.wait(max(0.0, due - time.monotonic()))
        self._disconnect()

    def _connect(self):
        nodes = list(self._nodes)
        random.shuffle(nodes)
        hosts = ",".join(f"{n.host}:{n.port}" for n in nodes)
        try:
            self._connection = psycopg2.connect(
                f"postgresql://{self._load.account}@{hosts}/postgres"
                f"?connect_timeout=2&application_name=load_{self.label}{self._attributes}")
            self._connection.autocommit = True
            return True
        except psycopg2.Error:
            self.connect_failures += 1
            self._disconnect()
            return False

    def _disconnect(self):
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except psycopg2.Error:
                pass

    def _attempt(self, number):
        node = f"{self._connection.info.host}:{self._connection.info.port}"
        began = time.monotonic()
        sqlstate = None
        self._statement_began = began
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(f"INSERT INTO {self._load.table} VALUES (%s, %s)", (self.label, number))
            outcome = "acknowledged"
        except psycopg2.Error as error:
            sqlstate = error.pgcode
            outcome = "unknown" if sqlstate is None or sqlstate.startswith(OPEN_CLASSES) else "failed"
        self._statement_began = None
        ended = time.monotonic()
        # A session on a server that is not primary any more has to look for the new one. One that is bound to its
        # node stays: it is there to see whether that node ever says yes.
        if outcome == "unknown" or (outcome == "failed" and len(self._nodes) > 1):
            self._disconnect()
        return Attempt(self.label, number, node, began, ended, outcome, sqlstate)

    def abandon_if_late(self, now):
        """Called by the watchdog: shuts the socket down, so that libpq sees the end of the connection."""
        began, connection = self._statement_began, self._connection
        if began is None or connection is None or now - began < STATEMENT_TIMEOUT_S:
            return
        try:
            with socket.socket(fileno=socket.dup(connection.fileno())) as copy:
                copy.shutdown(socket.SHUT_RDWR)
        except (OSError, psycopg2.Error):
            pass  # it ended in this moment by itself


class WriteLoad:
    """`clients` roam: each finds the primary through the multi-host string, hosts in random order. add_client()
    adds others: stuck to one node, or inside its namespace."""

    def __init__(self, cluster, clients=3, interval=0.01, table=None):
        self.account = cluster.account
        self.interval = interval
        # Numbers start at 1 in every load, so each has a table of its own.
        self.table = table or f"load_{os.getpid()}_{next(_numbers)}"
        self.stopping = threading.Event()
        self._cluster = cluster
        self._clients = []
        self.roaming = [self.add_client(f"roaming{i}") for i in range(1, clients + 1)]

    def add_client(self, name, node=None, prepare=None, attributes="&target_session_attrs=read-write", interval=None):
        """`node`: connects to this one alone. `prepare` is called in the client's thread before it starts."""
        everybody = [n for n in self._cluster.nodes.values() if n.id not in self._cluster.witnesses]
        nodes = [self._cluster.nodes[node]] if node else everybody
        client = _Client(self, name, nodes, attributes, prepare, interval or self.interval)
        self._clients.append(client)
        return client

    def add_probes(self, interval=0.03):
        """A client for each node that tries to write there, whatever the node says it is."""
        for node in self._cluster.nodes:
            self.add_client(f"probe_{node}", node=node, attributes="", interval=interval)

    def start(self):
        # No unique index: a row that is there twice must show, not fail.
        self._cluster.sql(f"CREATE TABLE IF NOT EXISTS {self.table} (client text NOT NULL, number bigint NOT NULL)")
        for client in self._clients:
            client.start()
        threading.Thread(target=self._watch, name="load-watchdog", daemon=True).start()
        return self

    def _watch(self):
        while any(client.is_alive() for client in self._clients):
            now = time.monotonic()
            for client in self._clients:
                client.abandon_if_late(now)
            time.sleep(0.02)

    def stop(self):
        self.stopping.set()
        for client in self._clients:
            client.join(timeout=30)
            assert not client.is_alive(), f"{client.name} does not end"
        return self

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def attempts(self):
        return [a for client in self._clients for a in list(client.attempts)]

    def acknowledged(self, since=0.0, until=float("inf"), roaming_only=False):
        """Times of the acknowledgements, in order."""
        clients = self.roaming if roaming_only else self._clients
        return sorted(a.ended for client in clients for a in list(client.attempts)
                      if a.outcome == "acknowledged" and since <= a.ended < until)

    def last_node(self):
        """Node id of the latest acknowledgement. More certain than who calls itself primary: one that is cut off
        does so until it gives up."""
        latest = max((a for a in self.attempts() if a.outcome == "acknowledged"), key=lambda a: a.ended)
        return next(n.id for n in self._cluster.nodes.values() if f"{n.host}:{n.port}" == latest.node)

    def await_acknowledged(self, count, since=0.0, timeout=60):
        wait_for(lambda: len(self.acknowledged(since)) >= count, f"{count} more acknowledged rows", timeout)

    def outage(self, fault):
        """The longest interval between consecutive acknowledgements of the roaming clients together that ends after
        `fault` (time.monotonic)."""
        times = self.acknowledged(roaming_only=True)
        gaps = [(b - a, a, b) for a, b in zip(times, times[1:]) if b > fault]
        if not gaps:
            raise AssertionError("no row was acknowledged after the fault")
        length, began, ended = max(gaps)
        return Outage(length * 1000, began, ended)

    def overlap_ms(self):
        """For how long two nodes acknowledged, in a load during which the primary changed at most once. A statement
        that was sent to one node after another had acknowledged, and is acknowledged before that one's last
        acknowledgement, would be it; an answer that was earned before and came late is none."""
        acked = collections.defaultdict(list)
        for attempt in self.attempts():
            if attempt.outcome == "acknowledged":
                acked[attempt.node].append(attempt)
        changes = sorted((min(a.ended for a in rows), node) for node, rows in acked.items())
        worst = 0.0
        for first, node in changes[1:]:
            for other, rows in acked.items():
                if other == node or min(a.ended for a in rows) > first:
                    continue
                # Rows that the earlier node took while this one was acknowledging.
                last = max(a.ended for a in acked[node])
                late = [a.ended - first for a in rows if a.began > first and a.ended < last]
                worst = max([worst] + late)
        return worst * 1000


class Checker:
    """Compares what clients were told with what the nodes hold."""

    def __init__(self, cluster, load):
        self._cluster = cluster
        self._load = load

    def problems(self, nodes=None):
        """Sentences, none when all is well. Waits until every node has what the primary has."""
        self._cluster.await_caught_up()
        found = []
        for node in nodes or self._cluster.data_nodes():
            rows = self._cluster.sql(f"SELECT client, number, count(*) FROM {self._load.table} GROUP BY 1, 2", node=node)
            counts = {(client, number): count for client, number, count in rows}
            found += self._compare(node, counts)
        return found

    def _compare(self, node, counts):
        tally = collections.Counter()
        for attempt in self._load.attempts():
            count = counts.get((attempt.client, attempt.number), 0)
            if attempt.outcome == "acknowledged" and count == 0:
                tally["acknowledged rows are missing"] += 1
            if attempt.outcome == "failed" and count > 0:
                tally["rows are there whose insert failed"] += 1
            if count > 1:
                tally["rows are there more than once"] += 1
        return [f"{node}: {count} {what}" for what, count in tally.items()]

    def check(self, nodes=None):
        problems = self.problems(nodes)
        assert not problems, "; ".join(problems)
