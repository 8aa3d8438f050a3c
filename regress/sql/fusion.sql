-- Tables USING fusion on one server. The crash tests are tap/t/fusion.
CREATE TABLE account (id bigint, owner text NOT NULL, balance numeric) USING fusion;
INSERT INTO account SELECT i, 'owner ' || i, i * 10 FROM generate_series(1, 1000) i;
SELECT count(*), sum(balance) FROM account;
UPDATE account SET balance = balance + 1 WHERE id <= 10;
DELETE FROM account WHERE id > 990;
SELECT count(*), sum(balance) FROM account;
INSERT INTO account VALUES (2000, NULL, 1);
SELECT * FROM account WHERE id = 5;
-- savepoints, exceptions
BEGIN;
UPDATE account SET owner = 'x' WHERE id = 5;
SAVEPOINT a;
DELETE FROM account WHERE id < 5;
SAVEPOINT b;
INSERT INTO account VALUES (-1, 'b', 0);
RELEASE b;
ROLLBACK TO a;
INSERT INTO account VALUES (-2, 'after', 0);
SELECT id, owner FROM account WHERE id <= 5 ORDER BY id;
ROLLBACK;
DO $$ BEGIN
  BEGIN INSERT INTO account VALUES (-3, 'gone', 0); RAISE EXCEPTION 'no'; EXCEPTION WHEN others THEN INSERT INTO account VALUES (-4, 'stays', 0); END;
END $$;
SELECT id, owner FROM account WHERE id < 0;
-- cursors keep their snapshot, in both directions
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id FROM account WHERE id BETWEEN 1 AND 4;
DELETE FROM account WHERE id = 2;
FETCH 2 FROM c;
FETCH BACKWARD 1 FROM c;
FETCH ALL FROM c;
FETCH BACKWARD 2 FROM c;
ROLLBACK;
-- RETURNING, MERGE, COPY, triggers, WHERE CURRENT OF
CREATE TABLE small (a int) USING fusion;
COPY small FROM stdin;
1
2
3
\.
UPDATE small SET a = a + 10 WHERE a > 1 RETURNING a;
MERGE INTO small USING (VALUES (1), (77)) v (x) ON small.a = v.x
  WHEN MATCHED THEN DELETE WHEN NOT MATCHED THEN INSERT VALUES (v.x);
COPY (SELECT a FROM small ORDER BY a) TO stdout;
CREATE FUNCTION fusion_trigger() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE NOTICE '% % %', tg_op, old, new; RETURN NULL; END $$;
CREATE TRIGGER t AFTER INSERT OR UPDATE OR DELETE ON small FOR EACH ROW EXECUTE FUNCTION fusion_trigger();
UPDATE small SET a = 78 WHERE a = 77;
DELETE FROM small WHERE a = 78;
BEGIN;
DECLARE d CURSOR FOR SELECT a FROM small WHERE a = 12 FOR UPDATE;
FETCH d;
UPDATE small SET a = 14 WHERE CURRENT OF d;
COMMIT;
SELECT a FROM small ORDER BY a;
-- long values are compressed, or put into pages of their own (fusion_large.sql)
CREATE TABLE long (a int, b text) USING fusion;
INSERT INTO long VALUES (1, repeat('abc', 10000));
SELECT a, length(b), b = repeat('abc', 10000) FROM long;
INSERT INTO long SELECT 2, string_agg(md5(i::text), '') FROM generate_series(1, 1000) i RETURNING length(b);
-- foreign key to an ordinary table
CREATE TABLE parent (id int PRIMARY KEY);
INSERT INTO parent VALUES (1), (2);
CREATE TABLE child (id int REFERENCES parent) USING fusion;
INSERT INTO child VALUES (1);
INSERT INTO child VALUES (3);
DELETE FROM parent WHERE id = 1;
-- DDL is a part of its transaction
BEGIN;
TRUNCATE small;
INSERT INTO small VALUES (100);
ROLLBACK;
SELECT a FROM small ORDER BY a;
BEGIN;
CREATE TABLE passing (a int) USING fusion;
INSERT INTO passing VALUES (1);
TRUNCATE passing;
INSERT INTO passing VALUES (2);
SAVEPOINT a;
TRUNCATE passing;
INSERT INTO passing VALUES (3);
ROLLBACK TO a;
COMMIT;
SELECT * FROM passing;
ALTER TABLE passing ADD COLUMN b int DEFAULT 5;
ALTER TABLE passing ALTER a TYPE bigint;
SELECT * FROM passing;
ALTER TABLE passing SET ACCESS METHOD heap;
ALTER TABLE passing SET ACCESS METHOD fusion;
SELECT * FROM passing;
BEGIN;
DROP TABLE passing;
ROLLBACK;
SELECT * FROM passing;
CREATE MATERIALIZED VIEW seen USING fusion AS SELECT * FROM passing;
REFRESH MATERIALIZED VIEW seen;
SELECT * FROM seen;
CREATE TABLE parts (a int) PARTITION BY RANGE (a);
CREATE TABLE part1 PARTITION OF parts FOR VALUES FROM (0) TO (10) USING fusion;
CREATE TABLE part2 PARTITION OF parts FOR VALUES FROM (10) TO (20) USING fusion;
INSERT INTO parts SELECT generate_series(0, 19);
UPDATE parts SET a = a + 5 WHERE a < 10;
SELECT tableoid::regclass, count(*) FROM parts GROUP BY 1 ORDER BY 1;
-- maintenance
ANALYZE account;
SELECT reltuples FROM pg_class WHERE relname = 'account';
VACUUM account;
SELECT count(*) FROM account TABLESAMPLE bernoulli (100);
SELECT xmin, xmax, tableoid::regclass FROM account LIMIT 1;
-- parallel plans, but not in a transaction that has changed fusion tables
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET parallel_leader_participation = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM account;
SELECT count(*) AS accounts FROM account \gset
SET plan_cache_mode = force_generic_plan;
PREPARE counting AS SELECT count(*) - $1 AS difference FROM account;
EXECUTE counting(:accounts);
CREATE TABLE by_workers USING fusion AS SELECT id FROM account;
SELECT count(*) - :accounts AS difference FROM by_workers;
BEGIN;
DELETE FROM by_workers;
EXPLAIN (COSTS OFF) SELECT count(*) FROM account;
EXECUTE counting(:accounts);
DELETE FROM account;
EXECUTE counting(0);
ROLLBACK;
EXECUTE counting(:accounts);
DROP TABLE by_workers;
RESET ALL;
-- what there is not
CREATE TEMP TABLE t (a int) USING fusion;
CREATE UNLOGGED TABLE t (a int) USING fusion;
VACUUM FULL account;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT count(*) FROM account;
ROLLBACK;
BEGIN;
INSERT INTO small VALUES (1);
PREPARE TRANSACTION 'p';
DROP TABLE account, small, long, child, parent, passing, parts CASCADE;
DROP FUNCTION fusion_trigger();
-- views
CREATE TABLE sized (a int) USING fusion;
INSERT INTO sized VALUES (1);
SELECT system.fusion_table_size('sized') > 0 AS sized, system.fusion_table_size('pg_class') AS other;
SELECT state, reason, processes > 0 AS used, opened_at IS NOT NULL AS opened FROM system.fusion_storage;
SELECT used > 0 AS used, used <= pages AS bounded, hits > 0 AS hits, grants - grants_returned = used AS granted FROM system.fusion_cache;
SELECT thread > 0 AS thread, durable_to <= inserted_to AS durable, records > 0 AS records FROM system.fusion_redo;
SELECT redo_from > 0 AS redo_from, checkpoints > 0 AS checkpoints FROM system.fusion_checkpoint;
SELECT next_transaction > 1 AS next, oldest_snapshot <= last_commit_number AS horizon FROM system.fusion_transactions;
DROP TABLE sized;
