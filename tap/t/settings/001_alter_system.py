#!/usr/bin/python3
"""ALTER SYSTEM on a member: settings of the cluster, of the node, and what may not be set."""
import psycopg2

from pgquorum_tap import main
from pgquorum_tap.waiting import wait_for


def error_of(cluster, statement, node=None):
    try:
        cluster.sql(statement, node=node)
    except psycopg2.Error as error:
        return error.pgcode
    return None


def value_on(cluster, node, name):
    return cluster.value("SELECT value FROM system.cluster_settings WHERE name = %s", (name,), node)


def everywhere(cluster, name, value):
    for node in cluster.nodes:
        wait_for(lambda n=node: value_on(cluster, n, name) == value, f"{node} shows {name} = {value}", 20)


def settings_of_the_cluster(test):
    cluster = test.cluster()
    standby = cluster.standbys()[0]
    # The documented timings of a wide area network, on a standby, with and without the prefix.
    cluster.sql("ALTER SYSTEM SET pgquorum.failure_timeout = '5s'", node=standby)
    cluster.sql("ALTER SYSTEM SET LEASE_DURATION = '10 s'", node=standby)
    cluster.sql("ALTER SYSTEM SET pgquorum.automatic_failover TO off")
    everywhere(cluster, "pgquorum.failure_timeout", "5000")
    everywhere(cluster, "pgquorum.lease_duration", "10000")
    everywhere(cluster, "pgquorum.automatic_failover", "off")
    cluster.sql("ALTER SYSTEM RESET failure_timeout")
    cluster.sql("ALTER SYSTEM SET lease_duration TO DEFAULT")
    cluster.sql("ALTER SYSTEM SET automatic_failover = on")
    for name, value in (("failure_timeout", "1000"), ("lease_duration", "2000"), ("automatic_failover", "on")):
        everywhere(cluster, "pgquorum." + name, value)
    for node in cluster.nodes.values():
        assert "failure_timeout" not in (node.data / "postgresql.auto.conf").read_text()

    assert error_of(cluster, "ALTER SYSTEM SET lease_duration = '1ms'") == "22023"
    assert error_of(cluster, "ALTER SYSTEM SET pgquorum.no_such_setting = 1") == "42704"
    assert error_of(cluster, "ALTER SYSTEM SET no_such_setting = 1") == "42704"
    assert error_of(cluster, "BEGIN; ALTER SYSTEM SET lease_duration = '3s'") == "25001"
    cluster.sql("CREATE ROLE somebody LOGIN; CREATE ROLE operator LOGIN IN ROLE pgquorum_admin")
    assert error_of(cluster, "SET ROLE somebody; ALTER SYSTEM SET lease_duration = '3s'") in ("42501", "25001")


def what_may_not_be_set(test):
    cluster = test.cluster(nodes=1)
    for name, value in (("recovery_min_apply_delay", "1h"), ("restore_command", "true"), ("primary_conninfo", "host=x"),
                        ("synchronous_standby_names", ""), ("fsync", "off"), ("full_page_writes", "no"),
                        ("wal_level", "minimal"), ("shared_preload_libraries", "auto_explain")):
        assert error_of(cluster, f"ALTER SYSTEM SET {name} = '{value}'") == "55000", name
        assert error_of(cluster, f"ALTER SYSTEM RESET {name}") is None, name
    # Raft's times only together as the next start takes them; a refusal writes nothing.
    for right in ("SET pgquorum.election_timeout = '5s'", "SET pgquorum.raft_heartbeat_interval = '1s'",
                  "SET pgquorum.election_timeout_max = '6s'"):
        cluster.sql(f"ALTER SYSTEM {right}")
    written = (cluster.nodes["node1"].data / "postgresql.auto.conf").read_text()
    for wrong in ("SET pgquorum.raft_heartbeat_interval = 2501", "SET pgquorum.election_timeout_max = '5 s'",
                  "SET pgquorum.election_timeout = '1900ms'", "RESET pgquorum.election_timeout",
                  "SET pgquorum.election_timeout TO DEFAULT", "SET pgquorum.max_entries_per_append = 1001"):
        assert error_of(cluster, f"ALTER SYSTEM {wrong}") == "22023", wrong
    assert (cluster.nodes["node1"].data / "postgresql.auto.conf").read_text() == written
    assert cluster.value("SELECT election_timeout_ms FROM system.raft_status") == 1000, "not before a restart"
    for name in ("election_timeout_max", "raft_heartbeat_interval", "election_timeout"):
        cluster.sql(f"ALTER SYSTEM RESET pgquorum.{name}")
    # Everything else is the server's own.
    cluster.sql("ALTER SYSTEM SET work_mem = '5MB'")
    cluster.sql("ALTER SYSTEM SET fsync = on")
    cluster.sql("ALTER SYSTEM SET external_pid_file = ''")
    assert "work_mem" in (cluster.nodes["node1"].data / "postgresql.auto.conf").read_text()


main(settings_of_the_cluster, what_may_not_be_set)
