"""Promotion on assigned timelines, and what follows from it: a part of ops_servers.py."""
import os
import signal
import subprocess
import time

from ops_cluster import BINDIR, ROOT, await_, check, n1, n2, n3, note, run


def test_promote_assigned():
    n1.sql("INSERT INTO t VALUES (1, 'last of timeline 1')")
    flush = n1.facts()["flush"]
    await_("all have it", lambda: n2.facts()["replay_end"] >= flush and n3.facts()["replay_end"] >= flush)
    for node in (n2, n3):
        node.follow(None, 1)
    await_("receivers gone", lambda: not (n2.facts()["receiver_running"] or
                                          n3.facts()["receiver_running"]))
    n1.stop("immediate")
    check(n2.op("promote", 1, 1)["sqlstate"] == "55000", "promoted to its own timeline")
    end = n2.settle()["end"]
    n2.lead(["n3.t7"], 1, 10)
    n2.ok("promote", 1, 7)
    check(n2.op("promote", 1, 8)["sqlstate"] == "55000", "promoted twice")
    await_("promoted", lambda: n2.op("promotion")["state"] != 1)
    answer = n2.op("promotion")
    check(answer["state"] == 2, answer)
    note(f"promoted 1 -> 7 in {answer['us'] / 1000:.0f} ms")
    f = n2.facts()
    check(f["newest_known"] == 7, f)
    check(f["timeline"] == 7 and f["ancestors"] == [{"timeline": 1, "end": end}], (f, end))
    files = n2.history_files()
    check({t: size == 0 for t, size in files.items()} ==
          {2: True, 3: True, 4: True, 5: True, 6: True, 7: False}, files)
    marker = n2.ok("marker", "barrier 10")
    check(marker["timeline"] == 7 and n2.facts()["flush"] >= marker["end"], marker)
    note(f"marker written and flushed in {marker['us']} us")
    check(n3.op("marker", "x")["sqlstate"] == "25006", "marker on a standby")
    dump = run(f"{BINDIR}/pg_waldump", "-p", f"{n2.data}/pg_wal", "-t", "7", "-r", "LogicalMessage", "-s",
               f"{end >> 32:X}/{end & 0xffffffff:X}", "-e",
               f"{marker['end'] >> 32:X}/{marker['end'] & 0xffffffff:X}")
    check("pgquorum" in dump, dump)
    n2.ok("checkpoint")
    ms = await_("checkpoint", lambda: (n2.op("invalidate"), n2.facts())[1]["checkpointed_timeline"])
    note(f"checkpoint on the new timeline done {ms:.0f} ms after it was requested")
    # The other standby crosses the gap.
    n2.ok("slot_ensure", "pgquorum_n3")
    n3.follow(n2, 7, generation=11)
    ms = await_("follows to timeline 7", lambda: n3.facts()["replay_timeline"] == 7 and
                n3.facts()["replay_end"] >= marker["end"])
    note(f"the other standby is on timeline 7 and past the marker after {ms:.0f} ms")
    check(sorted(n3.history_files()) == [2, 3, 4, 5, 6, 7], n3.history_files())
    await_("counts", lambda: [(s["name"], s["priority"]) for s in n2.facts()["senders"]] == [("n3.t7", 1)])


def test_gap_after_restart():
    """What a standby has flushed of timeline 7 must be found again by its next start."""
    # No checkpoint record of timeline 7 has been replayed into pg_control by force: restart point on 1.
    n2.sql("INSERT INTO t VALUES (7, 'on timeline 7')")
    flush = n2.facts()["flush"]
    await_("flushed", lambda: n3.facts()["receiver_flushed"] >= flush and
           n3.facts()["replay_end"] >= flush)
    control = n3.facts()["checkpoint_timeline"], n3.facts()["min_recovery_timeline"]
    n3.stop("immediate")
    with open(f"{n3.data}/pgquorum.conf", "w"):
        pass
    n3.start()
    n3.follow(None, 7, generation=12)
    end = n3.settle()
    check(end["timeline"] == 7 and end["end"] >= flush, (end, flush))
    note(f"restart with placeholders: position on timeline 7 (pg_control said {control})")
    # The same without the placeholders.
    n3.stop("immediate")
    for timeline in range(2, 7):
        os.unlink(f"{n3.data}/pg_wal/{timeline:08X}.history")
    n3.start()
    n3.follow(None, 7, generation=13)
    lost = n3.settle()
    note(f"restart without them: timeline {lost['timeline']}, {lost['end'] - end['end']:+d} bytes")
    # On timeline 7 the worker has completed the files already; on timeline 1 it cannot know.
    changed = n3.ok("normalize", 1)["value"]
    check(changed == (5 if lost["timeline"] == 1 else 0), (changed, lost))
    check(sorted(n3.history_files()) == [2, 3, 4, 5, 6, 7], n3.history_files())
    n3.stop("immediate")
    n3.start()
    n3.follow(None, 7, generation=14)
    again = n3.settle()
    check((again["timeline"], again["end"]) == (end["timeline"], end["end"]), (again, end))
    note("normalized: the position is back")


def test_placeholders_above():
    """A crash between placeholder and promotion."""
    n3.ok("place", 7, 12)
    check(sorted(n3.history_files()) == list(range(2, 12)), n3.history_files())
    time.sleep(0.3)
    n3.stop("immediate")
    n3.start(expect=False)
    check("waiting for WAL to become available" in n3.tail(), n3.tail())
    note("placeholders above the newest history: the next start waits for ever, as documented")
    n3.stop("immediate")
    for timeline in range(8, 12):  # what boot does by NormalizeTimelines
        os.unlink(f"{n3.data}/pg_wal/{timeline:08X}.history")
    n3.start()
    n3.ok("place", 7, 12)
    check(n3.ok("normalize", 1)["value"] == 4, "normalize")
    check(sorted(n3.history_files()) == list(range(2, 8)), n3.history_files())
    n3.follow(n2, 7, generation=15)
    await_("streaming", lambda: n3.streaming_from(n2))


def rewind(node, source, timeline, generation):
    out = subprocess.run([f"{BINDIR}/pg_rewind", "-D", node.data, "--source-server",
                          f"host={ROOT} port={source.port} user=postgres dbname=postgres"],
                         capture_output=True, text=True)
    check(out.returncode == 0 and "Done" in out.stderr + out.stdout, out)
    node.configure()
    open(f"{node.data}/standby.signal", "w").close()
    open(f"{node.data}/pgquorum.conf", "w").close()
    source.ok("slot_ensure", f"pgquorum_{node.name}")
    node.start()
    node.follow(source, timeline, generation=generation)
    await_("streaming", lambda: node.streaming_from(source))
    check(node.sql("SELECT count(*) FROM t WHERE pad LIKE 'diverged%'") == 0, "diverged rows are there")
    check(node.facts()["replay_timeline"] == timeline, node.facts())
    note(f"rewound, history files {sorted(node.history_files())}")


def test_old_primary_rewinds():
    """Across the gap, after checkpoints on the diverged side; wal_keep_size is 0."""
    run(f"{BINDIR}/pg_ctl", "-D", n1.data, "-l", f"{ROOT}/n1.log", "-w", "start")
    n1.lead([], 0, 20)
    await_("list empty", lambda: n1.sql("SHOW synchronous_standby_names") == "")
    n1.sql("INSERT INTO t VALUES (1, 'diverged')")
    n1.stop("fast")
    rewind(n1, n2, 7, 21)


def test_promote_again():
    """A failed candidate's id is a real gap: 7 -> 9, with two standbys that know only 7."""
    for node in (n1, n3):
        node.follow(None, 7, generation=30)
        node.end_receiver()
    n3.settle()
    n3.lead(["n1.t9"], 1, 31)
    # The old primary is ahead, by many segments since its last checkpoint.
    n2.lead([], 0, 29)
    await_("list empty", lambda: n2.sql("SHOW synchronous_standby_names") == "")
    n2.ok("retain")
    n2.sql("INSERT INTO t SELECT g, repeat('diverged', 60) FROM generate_series(1, 100000) g")
    n2.stop("immediate")
    # As if it had been cloned from a server on timeline 7.
    for timeline in range(2, 7):
        os.unlink(f"{n3.data}/pg_wal/{timeline:08X}.history")
    n3.ok("promote", 7, 9)
    await_("promoted", lambda: n3.op("promotion")["state"] != 1)
    check(n3.op("promotion")["state"] == 2 and n3.facts()["timeline"] == 9, n3.op("promotion"))
    check([a["timeline"] for a in n3.facts()["ancestors"]] == [1, 7], n3.facts())
    check({t for t, size in n3.history_files().items() if size} == {7, 9} and
          sorted(n3.history_files()) == list(range(2, 10)), n3.history_files())
    n3.ok("slot_ensure", "pgquorum_n1")
    # A standby several timelines behind asks for every one of them.
    for timeline in range(2, 8):
        os.unlink(f"{n1.data}/pg_wal/{timeline:08X}.history")
    n1.follow(n3, 9, generation=32)
    await_("follows", lambda: n1.facts()["replay_timeline"] == 9)
    note(f"promoted 7 -> 9; the follower has history files {sorted(n1.history_files())}")
    n3.ok("checkpoint")
    await_("checkpoint", lambda: (n3.op("invalidate"), n3.facts())[1]["checkpointed_timeline"])
    n3.lead(["n1.t9", "n2.t9"], 1, 33)
    rewind(n2, n3, 9, 34)


def test_cancel_promotion():
    n1.follow(None, 9, generation=40)
    await_("gone", lambda: not n1.facts()["receiver_running"])
    n1.settle()
    # A stopped startup process cannot take the request up.
    startup = n1.facts()["startup_pid"]
    os.kill(startup, signal.SIGSTOP)
    n1.ok("promote", 9, 11)
    check(n1.ok("cancel_promotion")["value"], "cancel")
    os.kill(startup, signal.SIGCONT)
    time.sleep(0.5)
    check(n1.facts()["in_recovery"], "promoted although withdrawn")
    n1.ok("promote", 9, 11)
    await_("promoted", lambda: n1.op("promotion")["state"] != 1)
    check(n1.op("promotion")["state"] == 2 and n1.facts()["timeline"] == 11, n1.op("promotion"))


def test_wrong_timeline():
    """Somebody takes the assigned id away in the middle: seen, and reported as a failure."""
    n2.follow(None, 9, generation=50)
    n2.end_receiver()
    n2.settle()
    startup = n2.facts()["startup_pid"]
    os.kill(startup, signal.SIGSTOP)
    n2.ok("promote", 9, 11)
    open(f"{n2.data}/pg_wal/0000000B.history", "w").close()
    os.kill(startup, signal.SIGCONT)
    await_("promoted", lambda: n2.op("promotion")["state"] != 1)
    answer = n2.op("promotion")
    check(answer["state"] == 3 and "timeline 12 instead of 11" in answer["error"], answer)
