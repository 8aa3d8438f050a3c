"""Servers that are sites of a multi-master group: each is on its own, and others reach it through a door that can be
shut (a forwarder of connections), so that sites can be cut off without being root."""
import os
import pwd
import selectors
import signal
import socket
import threading

import psycopg2

from .cluster import Node, bindir
from .ports import free_ports
from .stock import CONF, StockCluster
from .waiting import wait_for

GROUP = "g"
SETTINGS = {"shared_preload_libraries": "pgquorum", "wal_level": "logical", "track_commit_timestamp": "on",
            "max_worker_processes": 20, "pgquorum.replication_databases": "postgres", "fsync": "on",
            "wal_sender_timeout": "5s", "pgquorum.replication_tombstone_interval": 0}


def _working_directories():
    """Of every process that may be asked."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            yield os.readlink(f"/proc/{pid}/cwd")
        except OSError:
            pass  # it has ended, or is somebody else's


class Door:
    """Forwards connections to `target` while it is open; shutting it resets those that go through it."""

    def __init__(self, port, target):
        self._target = target
        self._open = True
        self._lock = threading.Lock()
        self._pairs = {}  # socket -> the one at the other end
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", port))
        self._ended = False
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        self._selector.register(self._listener, selectors.EVENT_READ)
        while not self._ended:
            for key, _ in self._selector.select(0.1):
                with self._lock:
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.fileobj in self._pairs:
                        self._forward(key.fileobj)

    def _accept(self):
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(("127.0.0.1", self._target), 5) if self._open else None
        except OSError:
            server = None
        if server is None:
            client.close()
            return
        for one, other in ((client, server), (server, client)):
            self._pairs[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _forward(self, one):
        try:
            data = one.recv(65536)
            if data:
                self._pairs[one].sendall(data)
                return
        except OSError:
            pass
        self._drop(one)

    def _drop(self, one):
        for end in (one, self._pairs[one]):
            self._selector.unregister(end)
            del self._pairs[end]
            end.close()

    def shut(self):
        with self._lock:
            self._open = False
            while self._pairs:
                self._drop(next(iter(self._pairs)))

    def open(self):
        with self._lock:
            self._open = True

    def close(self):
        self._ended = True
        self.shut()
        self._listener.close()


class Sites(StockCluster):
    """`nodes` servers node1 …, with the extension and no group. All of them are primaries."""

    def __init__(self, nodes=2, settings=None, **arguments):
        super().__init__(nodes=nodes, settings={**SETTINGS, **(settings or {})}, **arguments)
        self.doors = {}

    def up(self):
        port = self._port or free_ports(2 * self.size)
        self.account = "postgres"
        self.directory.mkdir(mode=0o755)
        if os.geteuid() == 0:
            os.chown(self.directory, pwd.getpwnam("postgres").pw_uid, -1)
        for i in range(1, self.size + 1):
            name = f"node{i}"
            home = self.directory / name
            node = Node(name, "127.0.0.1", port + i - 1, home / "data", None, home / "server.log", "")
            self.nodes[name] = node
            self._run("mkdir", home)
            self._run(bindir() / "initdb", "-D", node.data, "-A", "trust", "-U", "postgres", "-E", "UTF8",
                      "--locale", "C.UTF-8", "--no-sync")
            with open(node.data / "postgresql.conf", "a", encoding="utf-8") as conf:
                conf.write(CONF.format(port=node.port, name=name))
                conf.writelines(f"{key} = '{value}'\n" for key, value in self._settings.items())
            self.start(name)
            self.at(name, "CREATE EXTENSION pgquorum")
            self.doors[name] = Door(port + self.size + i - 1, node.port)
        return self

    def down(self):
        for door in self.doors.values():
            door.close()
        super().down()

    def names(self):
        return list(self.nodes)

    def at(self, node, query, parameters=None):
        """Rows of a statement at one site."""
        return self.sql(query, parameters, node)

    def refused(self, node, query, state, text=""):
        """Asserts that the statement fails with that SQLSTATE, and says so."""
        try:
            self.at(node, query)
        except psycopg2.Error as error:
            assert error.pgcode == state and text in str(error), (query, error.pgcode, str(error))
            return
        raise AssertionError(f"not refused: {query}")

    def interrupt(self, node, what, sender):
        """Kills the worker that applies at `node`, or its postmaster, or ends the sender at the site `sender`."""
        applying = "SELECT min(pid) FROM pg_stat_activity WHERE backend_type = 'pgquorum replication'"
        if what == "worker":
            os.kill(wait_for(lambda: self.value(applying, node=node), "a worker applies"), signal.SIGKILL)
        elif what == "postmaster":
            postmaster = self.postmaster(node)
            os.kill(postmaster, signal.SIGKILL)
            wait_for(lambda: not os.path.exists(f"/proc/{postmaster}"), "it is gone")
            wait_for(lambda: not self.server_is_alive(node), "its children are gone")
            self.start(node)
        else:
            self.at(sender, "SELECT pg_terminate_backend(pid) FROM pg_stat_replication")

    def address(self, node):
        """Where other sites find it: its door."""
        port = self.nodes[node].port + self.size
        return f"host=127.0.0.1 port={port} user=postgres dbname=postgres"

    def group(self, doors=True):
        """All of them in one group, connected to each other; without doors a joining site says only whom it joins."""
        first, *others = self.names()
        self.at(first, f"SELECT system.create_replication_group('{GROUP}', 'last_writer_wins')")
        there = f"host=127.0.0.1 port={self.nodes[first].port} user=postgres"
        for name in others:
            place = f"'{self.address(first)}', '{self.address(name)}'" if doors else f"'{there}'"
            self.at(name, f"SELECT system.join_replication_group('{GROUP}', {place})")
        wait_for(lambda: all(self.streaming(name) for name in self.names()), "all sites stream from all others")
        return self

    def streaming(self, node):
        states = self.at(node, "SELECT state FROM system.replication_peers")
        return len(states) == self.size - 1 and all(state == "streaming" for (state,) in states)

    def replicate(self, definition, table, at=None):
        """Creates a table everywhere and adds it to the group."""
        for name in self.names():
            self.at(name, definition)
        self.at(at or self.names()[0], f"SELECT system.add_replicated_table('{GROUP}', '{table}')")

    def cut(self):
        """No site reaches another."""
        for door in self.doors.values():
            door.shut()

    def heal(self):
        for door in self.doors.values():
            door.open()

    def contents(self, node, table):
        return self.at(node, f"SELECT t::text FROM {table} t ORDER BY 1")

    def await_value(self, node, query, value, timeout=60):
        wait_for(lambda: self.value(query, node=node) == value, f"{node}: {query} is {value}", timeout)

    def server_is_alive(self, node):
        """Some process of it still holds its socket or its shared memory."""
        return any(str(self.nodes[node].data) in path for path in _working_directories())

    def settle(self, *tables, timeout=60):
        """Everything that was committed anywhere has been applied everywhere; the tables are then compared."""
        ends = {name: self.value("SELECT pg_current_wal_flush_lsn()::text", node=name) for name in self.names()}

        def acknowledged(name):
            return self.value("SELECT bool_and(acknowledged_lsn >= %s::pg_lsn) FROM system.replication_peers",
                              (ends[name],), node=name)
        wait_for(lambda: all(acknowledged(name) for name in self.names()), "all changes are acknowledged", timeout)
        for table in tables:
            rows = {name: set(self.contents(name, table)) for name in self.names()}
            everywhere = set.intersection(*rows.values())
            differ = {name: sorted(row[0][:60] for row in own - everywhere) for name, own in rows.items()}
            assert not any(differ.values()), f"{table} differs: {differ}"
