#!/usr/bin/python3
"""Every node stopped and started once, the primary last, while clients write; a parameter that needs it is in force then."""
from pgquorum_tap import main, wait_for
from pgquorum_tap.cluster import NOT_YET
from pgquorum_tap.scenarios import write_through

PARAMETER, VALUE = "max_files_per_process", "900"


def a_rolling_restart(test):
    cluster = test.cluster()

    def setting(node):
        return cluster.sql("SELECT setting, pending_restart FROM pg_settings WHERE name = %s", (PARAMETER,), node)[0]

    for node in cluster.nodes:
        cluster.sql(f"ALTER SYSTEM SET {PARAMETER} = {VALUE}", node=node)
        cluster.sql("SELECT pg_reload_conf()", node=node)
        wait_for(lambda n=node: setting(n)[1] and setting(n)[0] != VALUE, f"{node} shows that it waits for a restart", 20,
                 NOT_YET)

    def awaiting():
        return {node for node, waits in cluster.sql("SELECT node_id, pending_restart FROM system.cluster_health") if waits}
    wait_for(lambda: awaiting() == set(cluster.nodes), "the primary tells who waits for a restart", 20, NOT_YET)

    def fault(old):
        for node in [n for n in cluster.nodes if n != old] + [old]:
            cluster.stop(node)
            cluster.start(node)
            cluster.await_healthy()
    result = write_through(cluster, fault)
    assert not result.problems, result.problems
    assert {setting(node) for node in cluster.nodes} == {(VALUE, False)}, [setting(node) for node in cluster.nodes]
    wait_for(lambda: not awaiting(), "nobody waits for a restart", 20, NOT_YET)
    test.note(f"longest write outage {result.outage_ms:.0f} ms")


main(a_rolling_restart)
