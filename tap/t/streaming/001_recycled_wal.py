#!/usr/bin/python3
"""A standby whose WAL is gone on the primary when it comes back takes a new base backup by itself."""
import re

from pgquorum_tap import main
from pgquorum_tap.waiting import wait_for


def wal_recycled_while_away(test):
    # Slots keep WAL for members that are away; this bound makes them give it up.
    cluster = test.cluster(settings={"max_slot_wal_keep_size": "16MB",
                                     "min_wal_size": "32MB", "max_wal_size": "64MB"})
    cluster.sql("CREATE TABLE kept (id int); INSERT INTO kept VALUES (1)")
    for node in cluster.nodes:
        cluster.sql("ALTER SYSTEM SET wal_keep_size = 0", node=node)
        cluster.sql("SELECT pg_reload_conf()", node=node)
    away = cluster.standbys()[0]
    cluster.await_caught_up()
    cluster.kill(away)
    oldest = "SELECT min(name) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'"
    before = cluster.value(oldest)
    for _ in range(10):
        cluster.sql("INSERT INTO kept VALUES (2)")
        cluster.sql("SELECT pg_switch_wal()")
    cluster.sql("CHECKPOINT")

    def recycled():
        cluster.sql("CHECKPOINT")
        return cluster.value(oldest) > before
    wait_for(recycled, "the segments that the standby needs are gone", 60)
    cluster.start(away)
    cluster.await_healthy(180)
    assert cluster.value("SELECT count(*) FROM kept", node=away) == 11
    log = cluster.nodes[away].log.read_text(errors="replace")
    assert re.search(r"the upstream has removed WAL that this standby needs", log)
    assert re.search(r"taking a new base backup", log)


main(wal_recycled_while_away)
