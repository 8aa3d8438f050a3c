-- A standalone server keeps its role, writes as ever, and its settings are its own.
SELECT pg_is_in_recovery();
CREATE TABLE standalone_t (i int);
BEGIN;
INSERT INTO standalone_t VALUES (1);
SAVEPOINT a;
INSERT INTO standalone_t VALUES (2);
ROLLBACK TO a;
COMMIT;
SET synchronous_commit = off;
INSERT INTO standalone_t VALUES (3);
SHOW synchronous_commit;
RESET synchronous_commit;
SELECT * FROM standalone_t ORDER BY i;
DROP TABLE standalone_t;
-- No consensus worker, and no place for one is taken.
SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'pgquorum%';
-- The generation of the list is pgquorum's alone.
SET pgquorum.sync_generation = 5;
ALTER SYSTEM SET pgquorum.sync_generation = 5;
-- Settings of a cluster are none of this server's.
ALTER SYSTEM SET pgquorum.lease_duration = '3s';
ALTER SYSTEM SET lease_duration = '3s';
-- Other settings stay the administrator's.
ALTER SYSTEM SET synchronous_standby_names = '';
ALTER SYSTEM RESET synchronous_standby_names;
