-- A server that is no member has no Raft.
SELECT count(*) FROM system.raft_metrics;
SELECT count(*) FROM system.raft_histograms;
SELECT count(*) FROM system.raft_histogram_buckets;
SELECT count(*) FROM system.raft_peers;
CREATE ROLE regress_monitor IN ROLE pgquorum_monitor;
CREATE ROLE regress_nobody;
SET ROLE regress_monitor;
SELECT count(*) FROM system.raft_histograms;
SET ROLE regress_nobody;
SELECT count(*) FROM system.raft_peers;
RESET ROLE;
DROP ROLE regress_monitor, regress_nobody;
