#!/usr/bin/python3
"""33: two data nodes and a witness. Faults of each, and what a witness is not."""
import json
import shutil

import psycopg2

from pgquorum_tap import main, wait_for
from pgquorum_tap.cluster import NOT_YET, pgquorum
from pgquorum_tap.scenarios import with_everybody, write_through

WITNESS = "node3"
ENOUGH = {"before": 60, "after": 60}


def two_nodes_and_a_witness(test):
    network = test.network(3)
    return test.cluster(network=network, witness=True), network


def raft_role(cluster):
    return cluster.value("SELECT role FROM system.raft_status", node=WITNESS)


def it_votes_and_shows(test, made):
    cluster, _ = made
    for node in cluster.nodes:
        assert cluster.health(node)[WITNESS] == ("witness", "healthy"), cluster.health(node)
    shown = json.loads(pgquorum("cluster", "status", "--json", "--url", cluster.node_url("node1")).stdout)
    assert shown["healthy"] and [n["role"] for n in shown["nodes"] if n["node_id"] == WITNESS] == ["witness"], shown
    # It hands the leadership over as soon as a node with data can take it.
    wait_for(lambda: raft_role(cluster) == "witness", "it follows", 30, NOT_YET)
    assert cluster.value("SELECT agent_state FROM system.node_status", node=WITNESS) == "witness"
    votes, rule, priority = cluster.sql("SELECT raft_voter, data_voter OR synchronous, priority FROM system.cluster_members "
                                        "WHERE node_id = %s", (WITNESS,))[0]
    assert votes and not rule and priority == 0, (votes, rule, priority)
    assert WITNESS not in cluster.value("SHOW synchronous_standby_names")
    assert cluster.value("SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE %s", (f"%{WITNESS}%",)) == 0
    size = sum(f.stat().st_size for f in cluster.nodes[WITNESS].data.rglob("*") if f.is_file())
    test.note(f"its data directory has {size >> 20} MB")


def refused(cluster, statement, node=None):
    """SQLSTATE and text of the error."""
    try:
        cluster.sql(statement, node=node)
    except psycopg2.Error as error:
        return error.pgcode, str(error)
    raise AssertionError(f"{statement} was carried out")


def what_it_is_not(test, made):
    """No primary, no source of data, none who gets any."""
    cluster, _ = made
    for verb in (f"SELECT system.failover('{WITNESS}')", f"SELECT system.force_failover('{WITNESS}', accept_loss => true)"):
        code, text = refused(cluster, verb)
        assert code == "RX100" and "is a witness" in text, (verb, code, text)
    assert refused(cluster, f"SELECT system.set_priority('{WITNESS}', 50)")[0] == "22023"
    assert refused(cluster, "CREATE TABLE here (i int)", WITNESS)[0] == "25006"
    # Also when somebody promotes its server by hand: nobody has allowed it to write.
    assert cluster.value("SELECT pg_promote()", node=WITNESS)
    assert refused(cluster, "CREATE TABLE here (i int)", WITNESS)[0] == "25006"
    cluster.kill(WITNESS)
    cluster.start(WITNESS)
    wait_for(lambda: cluster.value("SELECT pg_is_in_recovery()", node=WITNESS), "it is a standby again", 30, NOT_YET)
    # Its certificate opens no data, its state directory holds no key that could make another one.
    state, pki = cluster.nodes[WITNESS].state / "pki", test.directory()
    assert not (state / "ca.key").exists()
    for name in ("ca.crt", "node.crt", "node.key"):
        shutil.copyfile(state / name, pki / name)
        (pki / name).chmod(0o600)
    primary = cluster.nodes[cluster.await_primary()]
    try:
        psycopg2.connect(f"host={primary.host} port={primary.port} dbname=postgres user=pgquorum_replicator "
                         f"sslmode=verify-ca sslrootcert={pki}/ca.crt sslcert={pki}/node.crt sslkey={pki}/node.key")
        raise AssertionError("it came in")
    except psycopg2.OperationalError as error:
        assert "is a witness" in str(error), error
    cluster.await_healthy()


def the_primary_dies(test, made):
    """(a) The other node and the witness are a majority, and the acknowledged rows are on the other node."""
    cluster, _ = made
    result = write_through(cluster, cluster.kill, recover=cluster.start, prepare=with_everybody, **ENOUGH)
    assert {result.old, result.new} == {"node1", "node2"}, (result.old, result.new)
    assert not result.problems and result.overlap_ms == 0, (result.problems, result.overlap_ms)
    assert result.outage_ms < 10_000, result.outage_ms
    test.note(f"write outage {result.outage_ms:.0f} ms")


def cut_the_data_link(cluster, network):
    return write_through(cluster, lambda _: network.partition("node1", "node2"), recover=lambda _: network.heal_all(),
                         prepare=with_everybody, **ENOUGH)


def the_data_link_is_cut(test, made):
    """(b) Both still reach the witness: it votes for one of them. Which one, is nobody's business."""
    cluster, network = made
    result = cut_the_data_link(cluster, network)
    assert not result.problems and result.overlap_ms == 0, (result.problems, result.overlap_ms)
    test.note(f"write outage {result.outage_ms:.0f} ms, primary {result.old} -> {result.new}")


def the_data_link_is_cut_in_asynchronous_mode(test, made):
    """(b) Rows of the old primary may be lost; two writers there are not."""
    cluster, network = made
    cluster.sql("ALTER SYSTEM SET pgquorum.replication_mode = 'async'")
    wait_for(lambda: cluster.value("SHOW synchronous_standby_names") == "", "asynchronous mode", 30, NOT_YET)
    result = cut_the_data_link(cluster, network)
    cluster.sql("ALTER SYSTEM SET pgquorum.replication_mode = 'quorum'")
    worse = [p for p in result.problems if "acknowledged rows are missing" not in p]
    assert not worse and result.overlap_ms == 0, (result.problems, result.overlap_ms)
    wait_for(lambda: cluster.value("SHOW synchronous_standby_names") != "", "quorum mode", 30, NOT_YET)
    test.note(f"write outage {result.outage_ms:.0f} ms, primary {result.old} -> {result.new}; "
              f"{result.problems or 'nothing lost'}")


def the_witness_dies(test, made):
    """(c) Nobody notices but those who look."""
    cluster, _ = made
    epoch = "SELECT epoch FROM system.write_gate"
    before = cluster.value(epoch)

    def recover(primary):
        wait_for(lambda: cluster.health(primary)[WITNESS] == ("witness", "failed"), "its death is seen", 30, NOT_YET)
        cluster.start(WITNESS)
    result = write_through(cluster, lambda _: cluster.kill(WITNESS), recover=recover, **ENOUGH)
    assert result.new == result.old and cluster.value(epoch) == before, (result.old, result.new)
    assert not result.problems, result.problems
    test.note(f"longest pause between rows {result.outage_ms:.0f} ms")


main(it_votes_and_shows, what_it_is_not, the_primary_dies, the_data_link_is_cut,
     the_data_link_is_cut_in_asynchronous_mode, the_witness_dies, shared=two_nodes_and_a_witness)
