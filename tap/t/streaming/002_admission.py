#!/usr/bin/python3
"""Who may stream under a name that counts for commits."""
import psycopg2
import psycopg2.extras

from pgquorum_tap import main
from pgquorum_tap.waiting import wait_for


def options(cluster, server, user, name, certificate_of=None):
    """Of a replication connection to `server`."""
    node = cluster.nodes[server]
    chosen = {"host": node.host, "port": node.port, "user": user, "application_name": name, "connect_timeout": 5}
    if certificate_of:
        pki = cluster.nodes[certificate_of].state / "pki"
        chosen.update(sslmode="require", sslcert=str(pki / "node.crt"), sslkey=str(pki / "node.key"))
    return chosen


def attempt(cluster, *who):
    """The error of the connection, or None when it is let in."""
    try:
        connection = psycopg2.connect(connection_factory=psycopg2.extras.PhysicalReplicationConnection,
                                      **options(cluster, *who))
    except psycopg2.OperationalError as error:
        return str(error)
    connection.close()
    return None


def renamed(connection, name):
    """The error of a SET in a replication connection, or None."""
    try:
        connection.cursor().execute(f"SET application_name = '{name}'")
    except psycopg2.Error as error:
        return str(error)
    return None


def three_nodes(test):
    return test.cluster()


def names_that_count(test, cluster):
    primary = cluster.await_primary()
    standby, other = cluster.standbys()
    timeline = int(cluster.value("SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"), 16)
    right = f"{standby}.t{timeline}"
    member = "pgquorum_replicator"
    # An administrator who lets himself stream: by the rules of pg_hba.conf he may.
    hba = cluster.nodes[primary].data / "pg_hba.conf"
    hba.write_text(f"host replication {cluster.account} all trust\n" + hba.read_text(), encoding="ascii")
    cluster.sql("SELECT pg_reload_conf()", node=primary)
    wait_for(lambda: attempt(cluster, primary, cluster.account, "pg_receivewal") is None, "the line is in force", 20)

    for error, why in [
            (attempt(cluster, primary, member, right, other), f'belongs to node "{other}"'),
            (attempt(cluster, primary, member, right.upper(), other), f'belongs to node "{other}"'),
            (attempt(cluster, primary, member, f"{standby}.t{timeline + 1}", standby), "writes timeline"),
            (attempt(cluster, primary, member, f"{standby}.t{timeline - 1}", standby), "writes timeline"),
            (attempt(cluster, primary, member, f"stranger.t{timeline}", standby), "belongs to node"),
            (attempt(cluster, other, member, right, standby), "not the primary"),
            (attempt(cluster, primary, cluster.account, right), "Only pgquorum_replicator")]:
        assert error is not None, f"let in, although: {why}"
        assert "is refused" in error and why in error, (error, why)

    # What counts for no commit may stream.
    assert attempt(cluster, primary, member, "pgquorum repair of x", standby) is None
    cluster.await_healthy()


def a_name_counts_once(test, cluster):
    """36: a second connection of the member itself. Neither may count beside the other: the older is ended, in case its
    network is gone, and whoever asks next has the name."""
    primary = cluster.await_primary()
    standby = cluster.standbys()[0]
    name = cluster.value("SELECT application_name FROM pg_stat_replication WHERE application_name LIKE %s", (standby + ".%",),
                         primary)
    error = attempt(cluster, primary, "pgquorum_replicator", name, standby)
    assert error and "streams under this name" in error, error
    wait_for(lambda: cluster.sql("SELECT state FROM pg_stat_replication WHERE application_name = %s", (name,), primary)
             == [("streaming",)], f"{standby} streams again, alone", 30)
    cluster.await_healthy()


def a_name_is_judged_wherever_it_comes_from(test, cluster):
    """By SET in a connection to a database too, and in capitals, which PostgreSQL takes for the same name."""
    primary = cluster.await_primary()
    standby, other = cluster.standbys()
    name = cluster.value("SELECT application_name FROM pg_stat_replication WHERE application_name LIKE %s", (standby + ".%",),
                         primary)
    timeline = int(name.rpartition(".t")[2])
    connection = psycopg2.connect(connection_factory=psycopg2.extras.LogicalReplicationConnection, dbname="postgres",
                                  **options(cluster, primary, "pgquorum_replicator", "nobody", other))
    for wanted, why in ((name, f'belongs to node "{other}"'), (name.upper(), f'belongs to node "{other}"'),
                        (f"{other}.t{timeline + 1}", "writes timeline"), (f"{other}.t{timeline}", "streams under this name")):
        error = renamed(connection, wanted)
        assert error and "is refused" in error and why in error, (wanted, error)
    assert renamed(connection, "anything") is None
    connection.close()
    cluster.await_healthy()


main(names_that_count, a_name_counts_once, a_name_is_judged_wherever_it_comes_from, shared=three_nodes)
