-- The failover agent's state table: what docs/reference/agent.md shows, out of the library that runs.
CREATE FUNCTION pgquorum_internal.failover_states(
  OUT "position" integer, OUT from_state text, OUT condition text, OUT to_state text, OUT why text)
RETURNS SETOF record LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_failover_states';
COMMENT ON FUNCTION pgquorum_internal.failover_states() IS 'rows of the failover agent''s state table, in the order in which they are tried';

CREATE VIEW system.failover_states AS SELECT * FROM pgquorum_internal.failover_states();
COMMENT ON VIEW system.failover_states IS 'the failover agent''s state table: the first row whose condition holds is taken, those of any state first';

REVOKE ALL ON FUNCTION pgquorum_internal.failover_states() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgquorum_internal.failover_states() TO pgquorum_monitor;
REVOKE ALL ON system.failover_states FROM PUBLIC;
GRANT SELECT ON system.failover_states TO pgquorum_monitor;
