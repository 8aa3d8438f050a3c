"""One server with fusion tables: its storage lies beside the data directory."""
import contextlib
import os
import signal

import psycopg2

from .stock import StockCluster
from .cluster import children
from .waiting import wait_for


class FusionServer(StockCluster):
    """`settings` may be of the server or of pgquorum. Standbys get the same storage."""

    def __init__(self, nodes=1, settings=None, **arguments):
        settings = {"shared_preload_libraries": "pgquorum", "max_connections": 40} | (settings or {})
        super().__init__(nodes=nodes, settings=settings, **arguments)

    @property
    def storage(self):
        return self.directory / "storage"

    def _configure(self, node):
        self._run("mkdir", "-p", self.storage)
        self._settings["pgquorum.fusion_storage"] = self.storage
        super()._configure(node)

    def up(self):
        super().up()
        self.sql("CREATE EXTENSION pgquorum")
        return self

    def kill_all(self):
        """kill -9 of the postmaster and, at once, of everything that it started; the server then starts again."""
        postmaster = self.postmaster("node1")
        # Stopped first: a backend that sees the postmaster's end before its own would still abort its transaction.
        _signal([postmaster], signal.SIGSTOP)
        everybody = [*children(postmaster), postmaster]
        _signal(everybody, signal.SIGSTOP)
        _signal(everybody, signal.SIGKILL)
        wait_for(lambda: not any(os.path.exists(f"/proc/{pid}/exe") and _alive(pid) for pid in everybody), "all are gone")
        # A process that nobody has reaped yet still counts as a postmaster for the next one.
        (self.nodes["node1"].data / "postmaster.pid").unlink(missing_ok=True)
        self.start("node1")

    def crash(self, kill):
        """kill() ends one process of the server; returns when the postmaster has started all others anew."""
        checkpointer = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'"
        before = self.sql(checkpointer)
        kill()
        wait_for(lambda: self.sql(checkpointer) not in ([], before), "the server is back", errors=(psycopg2.Error,))


def _signal(pids, number):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
