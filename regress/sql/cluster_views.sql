-- A server that is no member shows itself where that makes sense, and nothing elsewhere.
SELECT node_id, role, health_score, status, uptime >= interval '0' AS uptime, timeline, lsn IS NOT NULL AS lsn,
       lag_bytes, lag_ms, priority, host, port, reason, is_self
FROM system.cluster_health;
SELECT count(*) FROM system.cluster_members;
SELECT count(*) FROM system.raft_status;
SELECT count(*) FROM system.write_gate;
SELECT count(*) FROM system.failover_history;
SELECT count(*) FROM system.replication_stats;
SELECT count(*) FROM system.cluster_settings;
SELECT node_id, cluster_name, cluster_id, raft_node_id, mode, closed_reason, boot_id ~ '^[0-9a-f]{16}$' AS boot_id,
       boot_count, started_at <= clock_timestamp() AS started, last_repair, state_directory, worker_pid, agent_state,
       coordinator_state, failover_paused
FROM system.node_status;
-- Verbs need a cluster and say how to get one.
\set VERBOSITY sqlstate
SELECT system.failover('node2');
\set VERBOSITY default
SELECT system.force_failover(accept_loss => true);
SELECT system.create_join_token();
SELECT system.remove_member('node2');
SELECT system.set_priority('node2', 10);
SELECT system.pause_failover();
SELECT system.resume_failover();
-- Arguments are checked before anything else.
SELECT system.set_priority('node2', 101);
SELECT system.set_priority(NULL, 1);
SELECT system.failover('node2', timeout => '-1 s');
SELECT system.failover('node2', timeout => NULL);
SELECT system.create_join_token('0 s');
-- Every object of the schema says what it is.
SELECT p.oid::regprocedure AS without_comment FROM pg_proc p
WHERE pronamespace = 'system'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL
UNION ALL
SELECT NULL FROM pg_class c
WHERE relnamespace = 'system'::regnamespace AND relkind = 'v' AND obj_description(c.oid, 'pg_class') IS NULL;
-- Reading is for pgquorum_monitor, acting for pgquorum_admin, nothing for everybody. What shows users' rows is for
-- pgquorum_admin as well.
SELECT c.relname FROM pg_class c
WHERE relnamespace = 'system'::regnamespace AND relkind = 'v' AND relname <> 'replication_differences'
  AND (has_table_privilege('public', c.oid, 'SELECT') OR NOT has_table_privilege('pgquorum_monitor', c.oid, 'SELECT'));
SELECT p.oid::regprocedure FROM pg_proc p
WHERE pronamespace IN ('system'::regnamespace, 'pgquorum_internal'::regnamespace)
  AND proname <> 'version' AND has_function_privilege('public', p.oid, 'EXECUTE');
CREATE ROLE regress_monitor IN ROLE pgquorum_monitor;
CREATE ROLE regress_admin IN ROLE pgquorum_admin;
SET ROLE regress_monitor;
SELECT count(*) FROM system.cluster_health;
SELECT system.pause_failover();
SET ROLE regress_admin;
SELECT count(*) FROM system.replication_stats;
SELECT system.pause_failover();
RESET ROLE;
DROP ROLE regress_monitor, regress_admin;
