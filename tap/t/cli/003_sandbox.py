#!/usr/bin/python3
"""pgquorum sandbox: processes killed, paused, stopped and started, and what is left afterwards."""
import os
import signal

from pgquorum_tap import main, wait_for
from pgquorum_tap.cluster import pgquorum
from pgquorum_tap.ports import free_ports


def processes(cluster, node):
    return next(n["processes"] for n in cluster.status()["nodes"] if n["node_id"] == node)


def await_processes(cluster, node, wanted):
    wait_for(lambda: processes(cluster, node) == wanted, f"{node} is {wanted}")


def the_verbs_do_what_they_say(test):
    cluster = test.cluster(nodes=1)
    assert cluster.status()["healthy"]
    assert cluster.value("SELECT current_user") == cluster.account
    cluster.pause("node1")
    await_processes(cluster, "node1", "paused")
    cluster.resume("node1")
    await_processes(cluster, "node1", "running")
    first = cluster.postmaster("node1")
    cluster.kill("node1")
    assert processes(cluster, "node1") == "stopped"
    assert not os.path.exists(f"/proc/{first}"), "reaped, whatever process 1 is"
    again = pgquorum("sandbox", "kill", "--dir", cluster.directory, "node1", check=False)
    assert again.returncode == 1 and "not running" in again.stderr, again.stderr
    cluster.start("node1")
    cluster.await_healthy()
    twice = pgquorum("sandbox", "start", "--dir", cluster.directory, "node1", check=False)
    assert twice.returncode == 1 and "runs already" in twice.stderr, twice.stderr
    cluster.stop("node1")
    assert processes(cluster, "node1") == "stopped", "a start may follow at once"


def a_supervised_server_comes_back(test):
    cluster = test.cluster(nodes=1, supervise=True)
    old = cluster.postmaster("node1")
    cluster.kill_postmaster("node1")
    cluster.await_healthy()
    assert cluster.postmaster("node1") != old
    cluster.stop("node1")
    assert processes(cluster, "node1") == "stopped", "a start may follow at once"


def down_leaves_nothing(test):
    cluster = test.cluster(nodes=1)
    postmaster = cluster.postmaster("node1")
    mine = cluster.directory / "mine.txt"
    mine.write_text("not the sandbox's")
    os.kill(postmaster, signal.SIGSTOP)
    cluster.down()
    assert not os.path.exists(f"/proc/{postmaster}")
    assert [p.name for p in cluster.directory.iterdir()] == ["mine.txt"]
    mine.unlink()
    cluster.directory.rmdir()


def wrong_input_says_what_is_wrong(test):
    base = test.directory()
    for words, said in ((["up", "--dir", base, "--nodes", "0"], "1 to 16"),
                        (["up", "--dir", base, "--port", "80"], "out of range"),
                        (["up", "--dir", base, "--nodes", "2", "--hosts", "127.0.0.1"], "--hosts"),
                        (["kill", "--dir", base, "node1"], "no sandbox"),
                        (["status", "--dir", base], "no sandbox"),
                        (["kill", "node1"], "--dir")):
        done = pgquorum("sandbox", *words, check=False)
        assert done.returncode == 2 and said in done.stderr, (words, done.returncode, done.stderr)


def a_taken_port_is_named(test):
    import socket
    base, port = test.directory(), free_ports(6)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port + 2))
        taken.listen()
        done = pgquorum("sandbox", "up", "--dir", base / "sandbox", "--port", port, check=False)
    assert done.returncode == 1 and f"port {port + 2}" in done.stderr, done.stderr
    assert not (base / "sandbox").exists()


main(the_verbs_do_what_they_say, a_supervised_server_comes_back, down_leaves_nothing, wrong_input_says_what_is_wrong,
     a_taken_port_is_named)
