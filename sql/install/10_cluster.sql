-- What this node knows of its cluster. The functions read shared memory, so everything here works on
-- standbys too, and without a connection to another node. NULL means: not known.

CREATE FUNCTION pgquorum_internal.members(
  OUT node_id text, OUT raft_node_id bigint, OUT role text, OUT status text, OUT health_score bigint,
  OUT reason text, OUT host text, OUT port bigint, OUT raft_host text, OUT raft_port bigint,
  OUT priority bigint, OUT raft_voter boolean, OUT data_voter boolean, OUT synchronous boolean,
  OUT streaming boolean, OUT connected boolean, OUT is_self boolean, OUT timeline bigint,
  OUT boot_id text, OUT flush_lsn pg_lsn, OUT replay_lsn pg_lsn, OUT pledged_epoch bigint,
  OUT lag_bytes bigint, OUT lag_us bigint, OUT started_at timestamptz, OUT last_seen timestamptz,
  OUT application_name text, OUT pending_restart boolean)
RETURNS SETOF record LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'pgquorum_members';
COMMENT ON FUNCTION pgquorum_internal.members() IS 'members of the cluster as this node sees them; one row for a server without a cluster';

CREATE FUNCTION pgquorum_internal.raft(
  OUT node_id text, OUT role text, OUT term bigint, OUT leader text, OUT leader_id bigint, OUT voted_for bigint,
  OUT commit_index bigint, OUT applied_index bigint, OUT first_index bigint, OUT last_index bigint,
  OUT snapshot_index bigint, OUT log_bytes bigint, OUT voters bigint, OUT learners bigint,
  OUT membership_changing boolean, OUT elections_started bigint, OUT leader_changes bigint,
  OUT proposals_pending bigint, OUT proposals_failed bigint, OUT commit_latency_p50_us bigint,
  OUT commit_latency_p99_us bigint, OUT fsync_latency_p50_us bigint, OUT fsync_latency_p99_us bigint,
  OUT election_timeout_ms bigint, OUT election_timeout_max_ms bigint, OUT heartbeat_interval_ms bigint,
  OUT max_entries_per_append bigint, OUT published_at timestamptz, OUT worker_alive boolean)
RETURNS SETOF record LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'pgquorum_raft';
COMMENT ON FUNCTION pgquorum_internal.raft() IS 'Raft as this node''s consensus worker published it last';

CREATE FUNCTION pgquorum_internal.gate(
  OUT gate_open boolean, OUT admits text, OUT lease_remaining_ms bigint, OUT epoch bigint,
  OUT generation text, OUT phase text, OUT primary_node_id text, OUT rule_version bigint,
  OUT required_acks bigint, OUT synchronous_acks bigint, OUT commits_in_flight bigint,
  OUT commits_checked bigint, OUT commits_refused bigint, OUT writes_refused bigint,
  OUT answers_dropped bigint, OUT synchronous_commit_raised bigint, OUT synchronous_commit_lowered bigint,
  OUT connections_refused bigint, OUT lease_renewals bigint, OUT lease_lapses bigint)
RETURNS SETOF record LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'pgquorum_gate';
COMMENT ON FUNCTION pgquorum_internal.gate() IS 'the write gate of this node; no row on a standalone server';

CREATE FUNCTION pgquorum_internal.node(
  OUT node_id text, OUT cluster_name text, OUT cluster_id text, OUT raft_node_id bigint, OUT mode text,
  OUT closed_reason text, OUT boot_id text, OUT boot_count bigint, OUT started_at timestamptz,
  OUT last_repair text, OUT state_directory text, OUT worker_pid bigint, OUT agent_state text,
  OUT coordinator_state text, OUT failover_paused boolean)
RETURNS SETOF record LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'pgquorum_node';
COMMENT ON FUNCTION pgquorum_internal.node() IS 'identity and life of this node';

CREATE FUNCTION pgquorum_internal.history(
  OUT epoch bigint, OUT generation text, OUT kind text, OUT outcome text, OUT old_primary text,
  OUT new_primary text, OUT timeline bigint, OUT detected_at timestamptz, OUT started_at timestamptz,
  OUT appointed_at timestamptz, OUT finished_at timestamptz, OUT reason text)
RETURNS SETOF record LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'pgquorum_history';
COMMENT ON FUNCTION pgquorum_internal.history() IS 'changes of the primary, newest first, from the cluster''s log';

CREATE VIEW system.cluster_health AS
SELECT node_id, role, health_score::integer, status,
       date_trunc('second', clock_timestamp() - started_at) AS uptime,
       timeline, replay_lsn AS lsn, lag_bytes, round(lag_us / 1000.0, 3) AS lag_ms,
       priority::integer, host, port::integer, last_seen, reason, is_self, pending_restart
FROM pgquorum_internal.members();
COMMENT ON VIEW system.cluster_health IS 'one row for each node: its role, and whether it can do its work';
COMMENT ON COLUMN system.cluster_health.node_id IS 'name of the node; NULL on a server that is no member of a cluster';
COMMENT ON COLUMN system.cluster_health.role IS 'primary, standby, witness or observer';
COMMENT ON COLUMN system.cluster_health.health_score IS '0 to 100';
COMMENT ON COLUMN system.cluster_health.status IS 'healthy, degraded, failed, unknown or fenced; healthy for a standby means streaming on the current timeline and at most two seconds behind';
COMMENT ON COLUMN system.cluster_health.uptime IS 'since the start of the server';
COMMENT ON COLUMN system.cluster_health.timeline IS 'timeline that the node is on';
COMMENT ON COLUMN system.cluster_health.lsn IS 'end of the WAL that the node wrote (primary) or replayed (standby)';
COMMENT ON COLUMN system.cluster_health.lag_bytes IS 'WAL of the primary that is not on the node''s disk yet';
COMMENT ON COLUMN system.cluster_health.lag_ms IS 'age of what was replayed last while something is outstanding';
COMMENT ON COLUMN system.cluster_health.priority IS 'higher is preferred as primary, 0 is never one by itself';
COMMENT ON COLUMN system.cluster_health.last_seen IS 'time of the last report that reached this node';
COMMENT ON COLUMN system.cluster_health.reason IS 'why the status is not healthy';
COMMENT ON COLUMN system.cluster_health.is_self IS 'true for the node that answers';
COMMENT ON COLUMN system.cluster_health.pending_restart IS 'a parameter was changed that is in force only after a restart of the node''s server';

CREATE VIEW system.cluster_members AS
SELECT node_id, raft_node_id, role, host, port::integer, raft_host, raft_port::integer, raft_voter, data_voter,
       synchronous, connected, priority::integer, pledged_epoch, boot_id, application_name, is_self
FROM pgquorum_internal.members()
WHERE node_id IS NOT NULL;
COMMENT ON VIEW system.cluster_members IS 'members of the cluster, their addresses and what they vote on; empty on a standalone server';
COMMENT ON COLUMN system.cluster_members.raft_voter IS 'counts for the majority of the cluster''s log';
COMMENT ON COLUMN system.cluster_members.data_voter IS 'counts in the rule of the present primary: may acknowledge commits';
COMMENT ON COLUMN system.cluster_members.synchronous IS 'named in the primary''s synchronous_standby_names';
COMMENT ON COLUMN system.cluster_members.pledged_epoch IS 'highest epoch the node has durably promised to follow';

CREATE VIEW system.raft_status AS SELECT * FROM pgquorum_internal.raft();
COMMENT ON VIEW system.raft_status IS 'consensus on this node: role, term, log positions, latencies; empty on a standalone server';

CREATE VIEW system.write_gate AS SELECT * FROM pgquorum_internal.gate();
COMMENT ON VIEW system.write_gate IS 'whether this node may commit now, under which epoch, lease and rule; empty on a standalone server';

CREATE VIEW system.node_status AS SELECT * FROM pgquorum_internal.node();
COMMENT ON VIEW system.node_status IS 'identity of this node and what its failover agent is doing';

CREATE VIEW system.failover_history AS
SELECT epoch, kind, outcome, old_primary, new_primary, timeline, detected_at, started_at, appointed_at,
       finished_at, round(extract(epoch FROM finished_at - coalesce(detected_at, started_at)) * 1000) AS duration_ms,
       reason, generation
FROM pgquorum_internal.history();
COMMENT ON VIEW system.failover_history IS 'changes of the primary, newest first; the same on every node';
COMMENT ON COLUMN system.failover_history.detected_at IS 'estimate of when the old primary was last known to work';
COMMENT ON COLUMN system.failover_history.started_at IS 'the old primary was revoked';
COMMENT ON COLUMN system.failover_history.finished_at IS 'the new primary had its barrier behind it, or a later epoch superseded it';
COMMENT ON COLUMN system.failover_history.duration_ms IS 'from detected_at, or started_at where that is not known, to finished_at';

-- On the primary the walsenders say most; elsewhere the members' own reports are all there is. Servers that
-- stream without being members are shown as well.
CREATE VIEW system.replication_stats AS
SELECT coalesce(m.node_id, r.application_name) AS node_id,
       coalesce(r.state, CASE WHEN m.streaming THEN 'streaming' WHEN NOT m.streaming THEN 'disconnected' END) AS state,
       m.synchronous, r.sync_state, r.sent_lsn, r.write_lsn, coalesce(r.flush_lsn, m.flush_lsn) AS flush_lsn,
       coalesce(r.replay_lsn, m.replay_lsn) AS replay_lsn, m.lag_bytes, round(m.lag_us / 1000.0, 3) AS lag_ms,
       round(extract(epoch FROM r.write_lag) * 1000, 3) AS write_lag_ms,
       round(extract(epoch FROM r.flush_lag) * 1000, 3) AS flush_lag_ms,
       round(extract(epoch FROM r.replay_lag) * 1000, 3) AS replay_lag_ms,
       m.timeline, coalesce(r.reply_time, m.last_seen) AS last_seen
FROM (SELECT * FROM pgquorum_internal.members() WHERE node_id IS NOT NULL AND role IN ('standby', 'observer')) m
     FULL JOIN pg_catalog.pg_stat_replication r ON r.application_name = m.application_name;
COMMENT ON VIEW system.replication_stats IS 'one row for each standby: how far it has received, flushed and replayed';
COMMENT ON COLUMN system.replication_stats.synchronous IS 'named in the primary''s synchronous_standby_names';
COMMENT ON COLUMN system.replication_stats.sync_state IS 'as in pg_stat_replication; NULL on a standby';

GRANT pg_monitor TO pgquorum_monitor;
REVOKE ALL ON FUNCTION pgquorum_internal.members(), pgquorum_internal.raft(), pgquorum_internal.gate(),
  pgquorum_internal.node(), pgquorum_internal.history() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgquorum_internal.members(), pgquorum_internal.raft(), pgquorum_internal.gate(),
  pgquorum_internal.node(), pgquorum_internal.history() TO pgquorum_monitor;
REVOKE ALL ON system.cluster_health, system.cluster_members, system.raft_status, system.write_gate,
  system.node_status, system.failover_history, system.replication_stats FROM PUBLIC;
GRANT SELECT ON system.cluster_health, system.cluster_members, system.raft_status, system.write_gate,
  system.node_status, system.failover_history, system.replication_stats TO pgquorum_monitor;
