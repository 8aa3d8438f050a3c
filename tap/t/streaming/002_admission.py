#!/usr/bin/python3
"""Who may stream under a name that counts for commits."""
import psycopg2
import psycopg2.extras

from pgquorum_tap import main
from pgquorum_tap.waiting import wait_for


def attempt(cluster, server, user, name, certificate_of=None):
    """The error of a replication connection to `server`, or None when it is let in."""
    node = cluster.nodes[server]
    options = {"host": node.host, "port": node.port, "user": user, "application_name": name, "connect_timeout": 5}
    if certificate_of:
        pki = cluster.nodes[certificate_of].state / "pki"
        options.update(sslmode="require", sslcert=str(pki / "node.crt"), sslkey=str(pki / "node.key"))
    try:
        connection = psycopg2.connect(connection_factory=psycopg2.extras.PhysicalReplicationConnection, **options)
    except psycopg2.OperationalError as error:
        return str(error)
    connection.close()
    return None


def names_that_count(test):
    cluster = test.cluster()
    primary = cluster.await_primary()
    standby, other = cluster.standbys()
    timeline = int(cluster.value("SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)"), 16)
    right = f"{standby}.t{timeline}"
    member = "pgquorum_replicator"
    assert attempt(cluster, primary, member, right, standby) is None
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


main(names_that_count)
