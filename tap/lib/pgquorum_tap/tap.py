"""Test Anything Protocol. A test file is a list of functions run by main(); each is one test:

    def accepts_writes(test):
        with test.cluster() as cluster: ...
    main(accepts_writes, ...)

An exception fails the test and the next one runs. Everything made by test.cluster() or test.network() is taken
down whatever happens; a failed test keeps its servers' logs below BUILD/tap-logs.

Tests that leave a healthy cluster behind can share one, which saves most of their time:

    def three_nodes(test):
        return test.cluster()
    main(one, another, shared=three_nodes)      # each is called with (test, what three_nodes returned)

A test that fails takes the shared cluster down with it; the next one gets a new one.
"""
import atexit
import contextlib
import os
import pathlib
import shutil
import signal
import sys
import time
import traceback

from .cluster import Cluster
from .network import Network


class Skip(Exception):
    """The test cannot run here; its text says why."""


class Test:
    """One test function: its name, its notes and what it has to take down."""

    def __init__(self, name):
        self.name = name
        self._stack = contextlib.ExitStack()
        self._clusters = []

    def cluster(self, kind=Cluster, **arguments):
        cluster = kind(**arguments)
        self._clusters.append(cluster)
        self._stack.callback(cluster.down)
        cluster.up()
        return cluster

    def network(self, nodes=3):
        if os.geteuid() != 0:
            raise Skip("network namespaces need root")
        network = Network(nodes)
        self._stack.callback(network.down)
        network.up()
        return network

    def directory(self):
        """A private directory, removed at the end, that servers may use."""
        path = pathlib.Path(f"/tmp/pgquorum-tap-{os.getpid()}-{self.name}")
        path.mkdir(mode=0o755)
        self._stack.callback(shutil.rmtree, path, ignore_errors=True)
        return path

    def on_end(self, function, *arguments):
        self._stack.callback(function, *arguments)

    def skip(self, reason):
        raise Skip(reason)

    def note(self, text):
        for line in str(text).splitlines():
            print(f"# {line}", flush=True)

    def keep_logs(self):
        build = pathlib.Path(os.environ.get("PGQUORUM_BUILD", "/tmp"))
        target = build / "tap-logs" / f"{pathlib.Path(sys.argv[0]).stem}-{self.name}-{os.getpid()}"
        for cluster in self._clusters:
            cluster.save_logs(target / cluster.name)
            for node, tail in cluster.log_tails().items():
                self.note(f"--- {cluster.name} {node}, last lines of the log")
                self.note(tail)
        if self._clusters:
            self.note(f"logs kept in {target}")

    def close(self):
        self._stack.close()


class _Shared:
    """What the tests of a file have in common: made when the first one needs it, and anew after a failure."""

    def __init__(self, make):
        self._make = make
        self._owner = None
        self._value = None

    def get(self):
        if self._owner is None:
            self._owner = Test("shared")
            atexit.register(self.close)
            self._value = self._make(self._owner)
        return self._value

    def keep_logs(self):
        if self._owner is not None:
            self._owner.keep_logs()

    def close(self):
        owner, self._owner = self._owner, None
        if owner is not None:
            atexit.unregister(self.close)
            owner.close()


def _run_one(number, function, shared):
    name = function.__name__
    test = Test(name)
    # The process may be told to end (prove's timeout, Ctrl-C): no server must outlive it.
    atexit.register(test.close)
    began = time.monotonic()
    try:
        if shared is None:
            function(test)
        else:
            function(test, shared.get())
        result = f"ok {number} - {name}"
        test.note(f"{name}: {time.monotonic() - began:.0f} s")
    except Skip as reason:
        result = f"ok {number} - {name} # SKIP {reason}"
    except Exception:  # pylint: disable=broad-except
        test.note(traceback.format_exc())
        test.keep_logs()
        result = f"not ok {number} - {name}"
        if shared is not None:
            shared.keep_logs()
    finally:
        try:
            test.close()
        finally:
            atexit.unregister(test.close)
    if shared is not None and result.startswith("not"):
        shared.close()
    print(result, flush=True)
    return result


def _record(results, names):
    """For scripts/run-tap: this file, passed, failed, names of the skipped tests."""
    counts = os.environ.get("PGQUORUM_TAP_COUNTS")
    if not counts:
        return
    path = pathlib.Path(sys.argv[0]).resolve()
    label = f"{path.parent.name}/{path.stem}"
    skipped = [f"{label}:{name}" for name, result in zip(names, results) if "# SKIP" in result]
    failed = sum(result.startswith("not") for result in results)
    with open(counts, "a", encoding="utf-8") as out:
        print(label, len(results) - failed - len(skipped), failed, *skipped, file=out)


def main(*functions, shared=None):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    wanted = sys.argv[1:]
    chosen = [f for f in functions if not wanted or f.__name__ in wanted]
    print(f"1..{len(chosen)}", flush=True)
    common = _Shared(shared) if shared else None
    results = [_run_one(number, function, common) for number, function in enumerate(chosen, 1)]
    if common:
        common.close()
    _record(results, [f.__name__ for f in chosen])
    sys.exit(1 if not chosen or any(result.startswith("not") for result in results) else 0)
