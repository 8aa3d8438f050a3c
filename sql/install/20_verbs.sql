-- Actions on the cluster. Each works on every member, standbys included.

CREATE FUNCTION system.failover(target text DEFAULT NULL, timeout interval DEFAULT '60 seconds')
RETURNS text LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pgquorum_failover';
COMMENT ON FUNCTION system.failover(text, interval) IS
  'planned switchover to the target, or to the best node: refused with a reason when it is not safe; returns when the new primary serves';

CREATE FUNCTION system.force_failover(target text DEFAULT NULL, accept_loss boolean DEFAULT false,
                                      timeout interval DEFAULT '60 seconds')
RETURNS text LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pgquorum_force_failover';
COMMENT ON FUNCTION system.force_failover(text, boolean, interval) IS
  'failover without the checks of health and lag; with accept_loss also without a full quorum, which may lose acknowledged commits';

CREATE FUNCTION system.create_join_token(ttl interval DEFAULT '1 hour')
RETURNS text LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pgquorum_create_join_token';
COMMENT ON FUNCTION system.create_join_token(interval) IS 'a token with which one node may join the cluster once';

CREATE FUNCTION system.remove_member(node text, timeout interval DEFAULT '60 seconds')
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pgquorum_remove_member';
COMMENT ON FUNCTION system.remove_member(text, interval) IS
  'takes a node out of the cluster for good; refused for the primary';

CREATE FUNCTION system.set_priority(node text, priority integer)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pgquorum_set_priority';
COMMENT ON FUNCTION system.set_priority(text, integer) IS
  'priority of a node as primary, 0 to 100: higher is preferred, 0 is never chosen by itself';

CREATE FUNCTION system.pause_failover()
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pgquorum_pause_failover';
COMMENT ON FUNCTION system.pause_failover() IS 'no automatic failover until system.resume_failover(); planned ones still work';

CREATE FUNCTION system.resume_failover()
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE AS 'MODULE_PATHNAME', 'pgquorum_resume_failover';
COMMENT ON FUNCTION system.resume_failover() IS 'ends system.pause_failover()';

REVOKE ALL ON FUNCTION system.failover(text, interval), system.force_failover(text, boolean, interval),
  system.create_join_token(interval), system.remove_member(text, interval), system.set_priority(text, integer),
  system.pause_failover(), system.resume_failover() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION system.failover(text, interval), system.force_failover(text, boolean, interval),
  system.create_join_token(interval), system.remove_member(text, interval), system.set_priority(text, integer),
  system.pause_failover(), system.resume_failover() TO pgquorum_admin;
