"""Where the time of a takeover goes: what the nodes' logs say about it, on one clock with the clients."""
import re
import statistics
import time

# Unix time first: nothing depends on the machine's time zone.
LOG_PREFIX = "%n [%p] "
LINE = re.compile(r"^(\d+\.\d+) \[\d+\] LOG:  (.*)")
# Of a planned switchover, in their order.
STEPS = (("revoke proposed", "pgquorum: proposing revoke"),
         ("old primary told to stop", "received fast shutdown request"),
         ("its sessions are gone, last checkpoint begins", "checkpoint starting: shutdown"),
         ("target has its last byte", "pgquorum: following -> recruit_stop"),
         ("target has pledged, appointment proposed", "pgquorum: proposing appoint"),
         ("synchronous list in force, promotion begins", "pgquorum: preparing -> promoting"),
         ("new timeline chosen, its first segment is written", "selected new timeline ID"),
         ("promoted, marker flushed", "pgquorum: marking -> barrier"),
         ("other standby streams the new timeline", "restarted WAL streaming"),
         ("barrier, settling proposed", "pgquorum: proposing settle"),
         ("settled, gate open", "pgquorum: barrier -> primary"))


class Steps:
    """Milliseconds from the last acknowledgement before each switchover to each of its steps."""

    def __init__(self, cluster):
        self._cluster = cluster
        self._seen = {name: [] for name, _ in STEPS}
        self._sizes = {}

    def begin(self):
        self._sizes = {node: self._cluster.log_size(node) for node in self._cluster.nodes}

    def end(self, outage):
        """`outage` is that of the clients; its times are of time.monotonic()."""
        since = outage.began + time.time() - time.monotonic()
        lines = sorted((float(found[1]), found[2]) for node, size in self._sizes.items()
                       for found in map(LINE.match, self._cluster.log_since(node, size).splitlines()) if found)
        at = since
        for name, text in STEPS:
            at = next((when for when, said in lines if when >= at and said.startswith(text)), None)
            if at is None:
                return  # in another order than the usual one: it has no times to compare
            self._seen[name].append((at - since) * 1000)

    def report(self):
        if not any(self._seen.values()):
            return
        print("\n| switchover: ms since the last acknowledgement before it | median | range |\n|---|---|---|")
        for name, times in self._seen.items():
            if times:
                print(f"| {name} | {statistics.median(times):.0f} | {min(times):.0f}–{max(times):.0f} |")
