-- The failover agent's state table comes out of the library.
SELECT from_state, condition, to_state FROM system.failover_states WHERE position <= 3 ORDER BY position;
SELECT count(*) > 40 AS whole, count(DISTINCT to_state) AS states_entered FROM system.failover_states;
-- States that only the rows of any state leave: a restart ends one, a witness stays one.
SELECT to_state FROM system.failover_states EXCEPT SELECT from_state FROM system.failover_states ORDER BY 1;
