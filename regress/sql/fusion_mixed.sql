-- One transaction, rows of fusion tables and of ordinary ones.
SHOW pgquorum.fusion_mixed_transactions;
CREATE TABLE shared (id int PRIMARY KEY, n int) USING fusion;
CREATE TABLE plain (id int PRIMARY KEY, n int);
INSERT INTO shared VALUES (1, 1), (2, 2);
INSERT INTO plain VALUES (1, 1), (2, 2);
-- refused in either order, whatever the statement
BEGIN; UPDATE shared SET n = 10; UPDATE plain SET n = 10; ROLLBACK;
BEGIN; INSERT INTO plain VALUES (3, 3); INSERT INTO shared VALUES (3, 3); ROLLBACK;
BEGIN; DELETE FROM plain WHERE id = 1; DELETE FROM shared WHERE id = 1; ROLLBACK;
BEGIN; UPDATE shared SET n = 10; MERGE INTO plain USING shared ON shared.id = plain.id WHEN MATCHED THEN UPDATE SET n = 5; ROLLBACK;
WITH w AS (INSERT INTO plain VALUES (3, 3) RETURNING id) INSERT INTO shared SELECT id FROM w;
WITH w AS (INSERT INTO shared VALUES (3, 3) RETURNING id) SELECT * FROM w, LATERAL (SELECT 1) x;
BEGIN; UPDATE shared SET n = 10 WHERE id = 1;
COPY plain FROM stdin (DELIMITER ',');
7,7
\.
ROLLBACK;
BEGIN;
COPY plain FROM stdin (DELIMITER ',');
7,7
\.
COPY shared FROM stdin (DELIMITER ',');
7,7
\.
ROLLBACK;
DO $$ BEGIN UPDATE shared SET n = 10; UPDATE plain SET n = 10; END $$;
SELECT * FROM shared UNION ALL SELECT * FROM plain ORDER BY 1, 2;
-- triggers, foreign keys with actions
CREATE FUNCTION copy_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO plain VALUES (new.id, new.n); RETURN new; END $$;
CREATE TRIGGER t AFTER INSERT ON shared FOR EACH ROW EXECUTE FUNCTION copy_row();
INSERT INTO shared VALUES (4, 4);
DROP TRIGGER t ON shared;
CREATE TABLE child (id int REFERENCES shared ON DELETE CASCADE ON UPDATE CASCADE);
INSERT INTO child VALUES (1);
DELETE FROM shared WHERE id = 1;
DELETE FROM shared WHERE id = 2;
-- a refused statement can be undone; what is undone does not count, nor what changed nothing
BEGIN; UPDATE shared SET n = 11; SAVEPOINT s; UPDATE plain SET n = 11; ROLLBACK TO s; COMMIT;
BEGIN; SAVEPOINT s; UPDATE plain SET n = 12; ROLLBACK TO s; UPDATE shared SET n = 12; RELEASE s; COMMIT;
BEGIN; SAVEPOINT s; UPDATE plain SET n = 12; RELEASE s; UPDATE shared SET n = 13; ROLLBACK;
BEGIN; UPDATE plain SET n = 13 WHERE id = 99; UPDATE shared SET n = 13; DELETE FROM plain WHERE false; COMMIT;
BEGIN; UPDATE plain SET n = 14; COMMIT;
UPDATE shared SET n = 14;
-- always: row locks, catalogs, sequences, temporary and unlogged tables, new tables
BEGIN; SELECT * FROM shared FOR UPDATE; SELECT id FROM plain WHERE id = 1 FOR UPDATE; INSERT INTO child VALUES (1); COMMIT;
CREATE SEQUENCE numbers;
CREATE UNLOGGED TABLE unlogged (a int);
BEGIN;
UPDATE shared SET n = nextval('numbers');
CREATE TEMP TABLE passing (a int);
INSERT INTO passing VALUES (1);
INSERT INTO unlogged VALUES (1);
CREATE TABLE new_plain (a int);
INSERT INTO new_plain VALUES (1), (2);
CREATE TABLE new_too AS SELECT * FROM plain;
TRUNCATE plain, child;
INSERT INTO plain VALUES (1, 15), (2, 15);
ALTER TABLE plain ADD COLUMN c text DEFAULT clock_timestamp()::text;
COMMENT ON TABLE plain IS 'plain';
COMMIT;
BEGIN; INSERT INTO plain VALUES (20, 20); CREATE TABLE new_shared USING fusion AS SELECT 1 AS a; INSERT INTO new_shared VALUES (2); COMMIT;
SELECT count(*) FROM new_plain; SELECT count(*) FROM new_shared;
-- partitions of both kinds
CREATE TABLE parts (a int) PARTITION BY RANGE (a);
CREATE TABLE part1 PARTITION OF parts FOR VALUES FROM (0) TO (10) USING fusion;
CREATE TABLE part2 PARTITION OF parts FOR VALUES FROM (10) TO (20);
INSERT INTO parts VALUES (1), (2);
INSERT INTO parts VALUES (11), (12);
INSERT INTO parts VALUES (3), (13);
UPDATE parts SET a = a + 10 WHERE a = 1;
SELECT tableoid::regclass, a FROM parts ORDER BY a;
-- allowed where it is wanted
SET pgquorum.fusion_mixed_transactions = on;
BEGIN; UPDATE shared SET n = 20; UPDATE plain SET n = 20; INSERT INTO parts VALUES (3), (13); COMMIT;
BEGIN; UPDATE shared SET n = 21; UPDATE plain SET n = 21; ROLLBACK;
INSERT INTO child VALUES (1);
DELETE FROM shared WHERE id = 1;
SELECT count(*) FROM child;
SELECT id, n FROM shared UNION ALL SELECT id, n FROM plain ORDER BY 1, 2;
RESET pgquorum.fusion_mixed_transactions;
BEGIN; UPDATE plain SET n = 22; SET LOCAL pgquorum.fusion_mixed_transactions = on; UPDATE shared SET n = 22; COMMIT;
DROP TABLE child, shared, plain, unlogged, new_plain, new_too, new_shared, parts, passing;
DROP SEQUENCE numbers;
DROP FUNCTION copy_row;
