#!/usr/bin/python3
"""pgquorum node init: new and existing data directories, Debian's layout, wrong input."""
import os
import pathlib
import pwd
import shutil
import subprocess

from pgquorum_tap import main
from pgquorum_tap.cluster import bindir, pgquorum, run
from pgquorum_tap.ports import free_ports
from pgquorum_tap.stock import StockCluster


def as_owner(*words, **options):
    """As the account that servers run as."""
    if os.geteuid() == 0:
        words = ("setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups", *words)
    return run(*words, cwd="/", **options)


def init(data, port, *more, node="node1", check=True):
    return pgquorum("node", "init", "--node-id", node, "--cluster", "prod", "--data", data, "--listen",
                    f"127.0.0.1:{port}", "--raft", f"127.0.0.1:{port + 1}", *more, check=check)


def single_user(data, query):
    return as_owner(bindir() / "postgres", "--single", "-D", data, "postgres",
                    input=query + "\n").stdout


def stopped_server(test, settings=None):
    """A plain server's directory, cleanly stopped, and its port."""
    cluster = StockCluster(nodes=1, settings=settings)
    test.on_end(cluster.down)
    cluster.up()
    return cluster, cluster.nodes["node1"].data


def a_new_directory_becomes_a_member(test):
    data = test.directory() / "data"
    done = init(data, free_ports(2))
    assert "max_worker_processes" in done.stderr, done.stderr
    state = pathlib.Path(f"{data}.pgquorum")
    for path in (data / "pgquorum.member", state / "identity", state / "pki/ca.crt", state / "pki/ca.key",
                 state / "pki/node.crt", state / "pki/node.key", state / "conf/postgresql.conf",
                 state / "conf/pg_hba.conf", state / "conf/pg_ident.conf", state / "conf/pgquorum.member"):
        assert path.exists(), path
    for secret in (state, state / "pki", state / "pki/ca.key", state / "pki/node.key"):
        assert secret.stat().st_mode & 0o077 == 0, secret
    lines = [line.split() for line in (data / "pg_hba.conf").read_text().splitlines()
             if line.strip() and not line.startswith("#")]
    assert "trust" not in [word for line in lines for word in line], lines
    assert lines[0] == ["hostssl", "replication", "pgquorum_replicator", "all", "cert", "map=pgquorum"], lines[0]
    assert (data / "postgresql.conf").read_text().rstrip().splitlines()[-2] == "include_if_exists 'pgquorum.conf'"


def the_replicator_is_no_superuser_and_may_rewind(test):
    data = test.directory() / "data"
    init(data, free_ports(2))
    out = single_user(data, "SELECT rolname FROM pg_roles WHERE rolname = 'pgquorum_replicator' AND rolreplication "
                            "AND rolcanlogin AND NOT rolsuper AND has_function_privilege(oid, "
                            "'pg_read_binary_file(text,bigint,bigint,boolean)', 'EXECUTE')")
    assert 'rolname = "pgquorum_replicator"' in out, out


def an_existing_server_is_adopted_and_its_settings_kept(test):
    cluster, data = stopped_server(test, {"shared_preload_libraries": "auto_explain", "max_wal_senders": "33"})
    cluster.sql("ALTER SYSTEM SET primary_conninfo = 'host=elsewhere'")
    cluster.sql("CREATE TABLE kept AS SELECT 42 AS answer")
    running = init(data, free_ports(2), check=False)
    assert running.returncode == 1 and "Stop it first" in running.stderr, running.stderr
    cluster.stop("node1", "immediate")
    unclean = init(data, free_ports(2), check=False)
    assert unclean.returncode == 1 and "not shut down cleanly" in unclean.stderr, unclean.stderr
    cluster.start("node1")
    cluster.stop("node1")
    with open(data / "pg_hba.conf", "a", encoding="utf-8") as hba:
        hba.write("host app app 192.0.2.0/24 scram-sha-256\n")
    done = init(data, free_ports(2))
    conf = (data / "postgresql.conf").read_text()
    assert "shared_preload_libraries = 'auto_explain, pgquorum'" in conf, conf
    assert "max_wal_senders = '20'" not in conf, "a higher value stays"
    assert "removed primary_conninfo" in done.stderr, done.stderr
    assert "primary_conninfo" not in (data / "postgresql.auto.conf").read_text()
    assert "host app app 192.0.2.0/24 scram-sha-256" in (data / "pg_hba.conf").read_text()
    assert 'answer = "42"' in single_user(data, "SELECT answer FROM kept")


def a_node_is_not_initialised_twice(test):
    data = test.directory() / "data"
    init(data, free_ports(2))
    before = (data / "pgquorum.member").read_text()
    again = init(data, free_ports(2), check=False)
    assert again.returncode == 1 and "belongs to a cluster already" in again.stderr, again.stderr
    assert (data / "pgquorum.member").read_text() == before
    # Its data lost, its state kept: that state holds a vote and must not be taken over by a new node.
    shutil.rmtree(data)
    again = init(data, free_ports(2), check=False)
    assert again.returncode == 1 and "is not empty" in again.stderr and "vote" in again.stderr, again.stderr


def a_failed_init_leaves_nothing_behind(test):
    cluster, data = stopped_server(test)
    cluster.stop("node1")
    before = (data / "postgresql.conf").read_text()
    (data / "PG_VERSION").write_text("14\n")
    failed = init(data, free_ports(2), check=False)
    assert failed.returncode == 2 and "PostgreSQL 14" in failed.stderr and "--bindir" in failed.stderr, failed.stderr
    assert (data / "postgresql.conf").read_text() == before
    assert not (data / "pgquorum.member").exists()
    state = pathlib.Path(f"{data}.pgquorum")
    assert not state.exists() or not any(state.iterdir()), list(state.iterdir())
    (data / "PG_VERSION").write_text("15\n")
    init(data, free_ports(2))


def wrong_input_says_what_is_wrong(test):
    data = test.directory() / "data"
    good = {"--node-id": "node1", "--cluster": "prod", "--listen": "127.0.0.1:7001", "--raft": "127.0.0.1:7002"}
    for change, words in (({"--node-id": "Node-1"}, "no node id"),
                          ({"--cluster": "two words"}, "no cluster name"),
                          ({"--listen": "127.0.0.1"}, "no HOST:PORT"),
                          ({"--listen": "127.0.0.1:99999"}, "no HOST:PORT"),
                          ({"--listen": "0.0.0.0:7001"}, "address that the other nodes can reach"),
                          ({"--raft": "127.0.0.1:7001"}, "must differ"),
                          ({"--state-directory": str(data / "inside")}, "outside of the data directory"),
                          ({"--bindir": "/nonexistent"}, "no PostgreSQL server program"),
                          ({"--set": "novalue"}, "NAME=VALUE"),
                          ({"--no-such-option": "x"}, "--no-such-option")):
        options = [word for pair in {**good, **change}.items() for word in pair]
        done = pgquorum("node", "init", "--data", data, *options, check=False)
        assert done.returncode == 2 and words in done.stderr, (change, done.returncode, done.stderr)
        assert done.stdout == "", done.stdout
        assert not data.exists(), change


def debians_layout_is_adopted(test):
    if os.geteuid() != 0 or not shutil.which("pg_createcluster"):
        test.skip("needs root and Debian's postgresql-common")
    name = f"pgquorum{os.getpid()}"
    etc = pathlib.Path(f"/etc/postgresql/15/{name}")
    base = test.directory()
    shutil.chown(base, "postgres")
    data = base / "data"
    port = free_ports(2)
    run("pg_createcluster", "15", name, "--datadir", data, "--port", port, "--", "-k")
    test.on_end(lambda: subprocess.run(["pg_dropcluster", "--stop", "15", name], check=False, capture_output=True))
    done = init(data, port, "--socket-directory", base)
    assert f"configuration in {etc}" in done.stderr, done.stderr
    conf = (etc / "postgresql.conf").read_text()
    assert f"include_if_exists '{data}/pgquorum.conf'" in conf, conf[-500:]
    assert "pgquorum_replicator" in (etc / "pg_hba.conf").read_text()
    assert not (data / "postgresql.conf").exists()
    owner = pwd.getpwuid((etc / "postgresql.conf").stat().st_uid).pw_name
    assert owner == "postgres", owner
    assert pathlib.Path(f"{data}.pgquorum/conf/pgquorum.member").exists()


def a_directory_that_is_none_is_refused(test):
    data = test.directory() / "data"
    data.mkdir()
    shutil.chown(data, pwd.getpwuid(os.geteuid()).pw_name if os.geteuid() else "postgres")
    (data / "notes.txt").write_text("mine")
    done = init(data, free_ports(2), check=False)
    assert done.returncode == 2 and "PG_VERSION" in done.stderr, done.stderr
    assert (data / "notes.txt").read_text() == "mine"


main(a_new_directory_becomes_a_member, the_replicator_is_no_superuser_and_may_rewind,
     an_existing_server_is_adopted_and_its_settings_kept, a_node_is_not_initialised_twice,
     a_failed_init_leaves_nothing_behind, wrong_input_says_what_is_wrong, debians_layout_is_adopted,
     a_directory_that_is_none_is_refused)
