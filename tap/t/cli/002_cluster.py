#!/usr/bin/python3
"""A cluster by hand, as the README says, and what the command line says about it."""
import json
import pathlib
import shutil

from pgquorum_tap import main, wait_for
from pgquorum_tap.cluster import bindir, pgquorum, run
from pgquorum_tap.ports import free_ports


def addresses(port):
    return ("--listen", f"127.0.0.1:{port}", "--raft", f"127.0.0.1:{port + 1}")


def status(data):
    """What `cluster status --json` says; None while it does not answer."""
    done = pgquorum("cluster", "status", "--json", "--data", data, check=False)
    return json.loads(done.stdout) if done.returncode in (0, 3) else None


def stop_if_running(data):
    pgquorum("node", "stop", "--mode", "immediate", "--data", data, check=False)


def join(token, node, data, port, contact, check=True):
    return pgquorum("cluster", "join", "--token", token, "--node-id", node, "--data", data, "--cluster-address",
                    f"127.0.0.1:{contact}", *addresses(port), check=check)


def first_node(test, base, port):
    data = base / "node1"
    pgquorum("node", "init", "--node-id", "node1", "--cluster", "prod", "--data", data, *addresses(port))
    test.on_end(stop_if_running, data)
    pgquorum("node", "start", "--data", data)
    wait_for(lambda: (status(data) or {}).get("healthy"), "the first node is primary")
    return data


def three_nodes_by_hand(test):
    base, port = test.directory(), free_ports(6)
    first = first_node(test, base, port)
    for i in (2, 3):
        done = pgquorum("cluster", "token", "--data", first)
        assert len(done.stdout.split()) == 1, "the token alone"
        data = base / f"node{i}"
        # Any member admits: the second node asks the first, the third asks the second.
        join(done.stdout.strip(), f"node{i}", data, port + 2 * (i - 1), port + 2 * (i - 2) + 1)
        test.on_end(stop_if_running, data)
        pgquorum("node", "start", "--data", data)
        wait_for(lambda n=i, d=data: (lambda s: s and s["healthy"] and len(s["nodes"]) == n)(status(d)),
                 f"{i} healthy nodes, seen from the newest")
        identity = pathlib.Path(f"{data}.pgquorum/identity").read_text()
        assert f"node_name = node{i}" in identity, identity
    table = pgquorum("cluster", "status", "--data", first).stdout
    assert table.split()[:2] == ["node_id", "role"] and table.count("healthy") == 3, table
    pgquorum("node", "stop", "--data", base / "node3")
    stopped = pgquorum("node", "stop", "--data", base / "node3", check=False)
    assert stopped.returncode == 1 and "no server runs" in stopped.stderr, stopped.stderr
    wait_for(lambda: not status(first)["healthy"], "the stopped node is seen")
    assert pgquorum("cluster", "status", "--data", first, check=False).returncode == 3
    a_state_directory_moves(base, first)


def a_state_directory_moves(base, first):
    """Of the third node, which is stopped; it comes back with its vote and its log."""
    data, old, new = base / "node3", base / "node3.pgquorum", base / "elsewhere"

    def move(node, to, *more, check=True):
        return pgquorum("node", "move-state", "--data", base / node, "--to", to, *more, check=check)
    new.mkdir(mode=0o755)
    shutil.chown(new, data.owner(), data.group())
    for node, to, code, words in (("node2", new, 1, "runs (process"), ("node3", base / "node1", 1, "not empty"),
                                  ("node3", data / "state", 2, "outside of the data directory")):
        refused = move(node, to, check=False)
        assert refused.returncode == code and words in refused.stderr, refused
        assert not (data / "state").exists() and not any(new.iterdir())
    before = {path.relative_to(old) for path in old.rglob("*")}
    done = json.loads(move("node3", new, "--json").stdout)
    assert (done["outcome"], done["state_directory"], done["from"]) == ("moved", str(new), str(old)), done
    assert {path.relative_to(new) for path in new.rglob("*")} == before
    assert new.stat().st_mode & 0o077 == 0 and (not old.exists() or not any(old.iterdir()))
    assert json.loads(move("node3", new, "--json").stdout)["outcome"] == "there already"
    pgquorum("node", "start", "--data", data)
    wait_for(lambda: status(first)["healthy"], "the moved node is back")
    assert not old.exists() or not any(old.iterdir()), "nothing is written to the old place any more"


def a_join_that_cannot_be_is_refused(test):
    base, port = test.directory(), free_ports(6)
    first = first_node(test, base, port)
    token = pgquorum("cluster", "token", "--data", first).stdout.strip()
    data = base / "node2"

    def refused(words, code=1, **change):
        given = {"token": token, "node": "node2", "data": data, "port": port + 2, "contact": port + 1, **change}
        done = join(check=False, **given)
        assert done.returncode == code and words in done.stderr, (done.returncode, done.stderr)
        assert not data.exists() or not any(data.iterdir()), "nothing is left behind"

    refused("token", token=token[:-4], code=2)
    refused("could not", contact=port + 5)
    refused("node1", node="node1", data=base / "other")
    spare = base / "full"
    spare.mkdir()
    (spare / "notes.txt").write_text("mine")
    refused("not empty", data=spare)
    join(token, "node2", data, port + 2, port + 1)
    again = join(token, "node3", base / "node3", port + 4, port + 1, check=False)
    assert again.returncode == 1 and "token" in again.stderr, again.stderr


def the_replicator_comes_in_by_certificate_only(test):
    base, port = test.directory(), free_ports(2)
    data = first_node(test, base, port)
    pki = pathlib.Path(f"{data}.pgquorum/pki")
    conninfo = f"host=127.0.0.1 port={port} user=pgquorum_replicator dbname=postgres connect_timeout=5"
    query = ["-X", "-A", "-t", "-c", "SELECT current_user"]
    without = run(bindir() / "psql", conninfo, *query, check=False)
    assert without.returncode != 0 and "certificate" in without.stderr, without.stderr
    plain = run(bindir() / "psql", conninfo + " sslmode=disable", *query, check=False)
    assert plain.returncode != 0, plain.stdout
    certified = conninfo + f" sslmode=verify-ca sslrootcert={pki}/ca.crt sslcert={pki}/node.crt sslkey={pki}/node.key"
    done = run(bindir() / "psql", certified, *query)
    assert done.stdout.strip() == "pgquorum_replicator", done.stdout


main(three_nodes_by_hand, a_join_that_cannot_be_is_refused, the_replicator_comes_in_by_certificate_only)
