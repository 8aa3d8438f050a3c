-- What the Raft library of this node counts and measures, since its consensus worker started. The functions
-- read shared memory: no row before the worker has published anything, NULL when it does not answer.

CREATE FUNCTION pgquorum_internal.raft_metrics(
  OUT metric text, OUT kind text, OUT value bigint, OUT meaning text)
RETURNS SETOF record LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'pgquorum_raft_metrics';
COMMENT ON FUNCTION pgquorum_internal.raft_metrics() IS 'counters, positions and queue depths of Raft on this node';

CREATE FUNCTION pgquorum_internal.raft_histograms(
  OUT histogram text, OUT unit text, OUT count bigint, OUT sum bigint, OUT p50 bigint, OUT p90 bigint,
  OUT p99 bigint, OUT p999 bigint, OUT max bigint, OUT meaning text)
RETURNS SETOF record LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'pgquorum_raft_histograms';
COMMENT ON FUNCTION pgquorum_internal.raft_histograms() IS 'measurements of Raft on this node, summed up';

CREATE FUNCTION pgquorum_internal.raft_histogram_buckets(
  OUT histogram text, OUT unit text, OUT less_than bigint, OUT count bigint)
RETURNS SETOF record LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'pgquorum_raft_histogram_buckets';
COMMENT ON FUNCTION pgquorum_internal.raft_histogram_buckets() IS 'measurements of Raft on this node, by powers of two';

CREATE FUNCTION pgquorum_internal.raft_peers(
  OUT node_id text, OUT raft_node_id bigint, OUT state text, OUT active boolean, OUT match_index bigint,
  OUT next_index bigint, OUT inflight_messages bigint, OUT inflight_bytes bigint)
RETURNS SETOF record LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'pgquorum_raft_peers';
COMMENT ON FUNCTION pgquorum_internal.raft_peers() IS 'how far the Raft leader has brought each follower; no row elsewhere';

CREATE VIEW system.raft_metrics AS SELECT * FROM pgquorum_internal.raft_metrics();
COMMENT ON VIEW system.raft_metrics IS 'counters, positions and queue depths of Raft on this node, one row for each; empty on a standalone server';
COMMENT ON COLUMN system.raft_metrics.kind IS 'gauge, or counter: it only grows, from 0 at the start of the consensus worker';
COMMENT ON COLUMN system.raft_metrics.value IS 'NULL when the consensus worker does not answer';

CREATE VIEW system.raft_histograms AS SELECT * FROM pgquorum_internal.raft_histograms();
COMMENT ON VIEW system.raft_histograms IS 'latencies and batch sizes of Raft on this node since its consensus worker started; empty on a standalone server';
COMMENT ON COLUMN system.raft_histograms.unit IS 'us (microseconds) or batches';
COMMENT ON COLUMN system.raft_histograms.p50 IS 'upper bound of the median, at most an eighth too high; NULL as long as nothing was measured';
COMMENT ON COLUMN system.raft_histograms.p999 IS '999 of 1000 values are at most this';

CREATE VIEW system.raft_histogram_buckets AS SELECT * FROM pgquorum_internal.raft_histogram_buckets();
COMMENT ON VIEW system.raft_histogram_buckets IS 'how many values of each histogram are below each power of two, for monitoring systems that sum histograms up; empty on a standalone server';
COMMENT ON COLUMN system.raft_histogram_buckets.less_than IS 'NULL: no bound, all values';
COMMENT ON COLUMN system.raft_histogram_buckets.count IS 'values below the bound, those of smaller bounds included';

CREATE VIEW system.raft_peers AS SELECT * FROM pgquorum_internal.raft_peers();
COMMENT ON VIEW system.raft_peers IS 'one row for each follower, on the Raft leader only: how far it has come and what is on its way to it';
COMMENT ON COLUMN system.raft_peers.state IS 'probe (where the logs agree is unknown), replicate or snapshot';
COMMENT ON COLUMN system.raft_peers.active IS 'it was heard within the last election timeout';
COMMENT ON COLUMN system.raft_peers.match_index IS 'its log is durable and equal to the leader''s up to here';
COMMENT ON COLUMN system.raft_peers.inflight_messages IS 'appends sent to it and not answered';

REVOKE ALL ON FUNCTION pgquorum_internal.raft_metrics(), pgquorum_internal.raft_histograms(),
  pgquorum_internal.raft_histogram_buckets(), pgquorum_internal.raft_peers() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgquorum_internal.raft_metrics(), pgquorum_internal.raft_histograms(),
  pgquorum_internal.raft_histogram_buckets(), pgquorum_internal.raft_peers() TO pgquorum_monitor;
REVOKE ALL ON system.raft_metrics, system.raft_histograms, system.raft_histogram_buckets, system.raft_peers FROM PUBLIC;
GRANT SELECT ON system.raft_metrics, system.raft_histograms, system.raft_histogram_buckets, system.raft_peers
  TO pgquorum_monitor;
