-- Values of fusion tables that are longer than a page.
CREATE FUNCTION noise(seed text, pieces int) RETURNS text LANGUAGE sql IMMUTABLE AS
  $$ SELECT string_agg(md5(seed || i), '' ORDER BY i) FROM generate_series(1, pieces) i $$;
CREATE TABLE long (id int PRIMARY KEY, small int, a text, b bytea) USING fusion;
INSERT INTO long SELECT i, i, noise('a' || i, 400 * i), decode(noise('b' || i, 300 * i), 'hex') FROM generate_series(1, 8) i;
INSERT INTO long VALUES (9, 9, repeat('abc', 1000000), NULL) RETURNING id, length(a), b;
SELECT id, small, length(a), a = noise('a' || id, 400 * id) AS a, b = decode(noise('b' || id, 300 * id), 'hex') AS b
  FROM long WHERE id <= 8 ORDER BY id;
SELECT length(a), a = repeat('abc', 1000000) AS a FROM long WHERE id = 9;
SELECT substr(a, 20001, 32) = md5('a8626') AS slice FROM long WHERE id = 8;
-- the old version's value is kept where it does not change
UPDATE long SET small = small + 10 WHERE id <= 8;
UPDATE long SET a = a || '!' WHERE id IN (2, 4) RETURNING id, right(a, 3) = right(noise('a' || id, 400 * id), 2) || '!' AS a;
UPDATE long SET b = o.b FROM long o WHERE long.id = 1 AND o.id = 8;
UPDATE long SET a = NULL WHERE id = 3;
DELETE FROM long WHERE id = 5;
BEGIN;
UPDATE long SET a = noise('undone', 2000);
SAVEPOINT s;
UPDATE long SET small = -1;
DELETE FROM long WHERE id = 7;
ROLLBACK TO s;
INSERT INTO long VALUES (10, 10, noise('never', 3000), NULL);
ROLLBACK;
SELECT * FROM system.fusion_check();
VACUUM long;
SELECT id, small, length(a), length(b), rtrim(a, '!') = noise('a' || id, 400 * id) AS a FROM long WHERE id <> 9 ORDER BY id;
SELECT b = (SELECT b FROM long WHERE id = 8) AS b FROM long WHERE id = 1;
SELECT * FROM system.fusion_check();
-- pages of values that nobody has any more are used again
CREATE TABLE again (id int, a text) USING fusion;
INSERT INTO again SELECT i, noise('x' || i, 1000) FROM generate_series(1, 20) i;
CREATE TABLE sizes AS SELECT system.fusion_table_size('again') AS size;
DO $$ BEGIN
  FOR turn IN 1 .. 5 LOOP
    INSERT INTO again SELECT 0, noise('y', 1000) FROM generate_series(1, 20);
    RAISE division_by_zero;
  END LOOP;
EXCEPTION WHEN division_by_zero THEN NULL;
END $$;
VACUUM again;
UPDATE again SET a = noise('z' || id, 1000);
VACUUM again;
UPDATE again SET a = noise('x' || id, 1000);
VACUUM again;
UPDATE again SET a = noise('z' || id, 1000);
SELECT system.fusion_table_size('again') <= 4 * size AS bounded FROM sizes;
SELECT count(*), count(*) FILTER (WHERE a = noise('z' || id, 1000)) AS right FROM again;
-- what columns and tables say about storage
CREATE TABLE kinds (p text, e text, x text, m text) USING fusion;
ALTER TABLE kinds ALTER p SET STORAGE PLAIN, ALTER e SET STORAGE EXTERNAL, ALTER x SET COMPRESSION pglz, ALTER m SET STORAGE MAIN;
INSERT INTO kinds VALUES ('p', repeat('e', 20000), repeat('x', 20000), repeat('m', 20000));
INSERT INTO kinds VALUES ('p', 'e', noise('x', 200), noise('m', 180)), ('p', 'e', 'x', noise('m', 400));
SELECT pg_column_size(p) AS p, pg_column_size(e) AS e, pg_column_size(x) < 1000 AS x, pg_column_size(m) < 1000 AS m, pg_column_compression(e) AS e,
       pg_column_compression(x) AS x, pg_column_compression(m) AS m, length(e), length(x), length(m), m = noise('m', length(m) / 32) AS m FROM kinds;
INSERT INTO kinds VALUES (noise('p', 500), 'e', 'x', 'm');
SELECT count(*) FROM kinds;
-- indexes, ON CONFLICT, FOR UPDATE, triggers, COPY, cursors
CREATE TABLE keyed (k text PRIMARY KEY, v text) USING fusion;
CREATE INDEX keyed_v ON keyed (md5(v));
CREATE INDEX keyed_head ON keyed (left(v, 10)) INCLUDE (k);
INSERT INTO keyed SELECT 'k' || i, noise('v' || i, 500) FROM generate_series(1, 5) i;
INSERT INTO keyed VALUES ('k1', noise('other', 600)) ON CONFLICT (k) DO UPDATE SET v = excluded.v || keyed.v;
INSERT INTO keyed VALUES ('k2', noise('other', 600)) ON CONFLICT DO NOTHING;
INSERT INTO keyed VALUES (noise('key', 200), 'too long');
INSERT INTO keyed VALUES (repeat('key', 20000), 'short when it is compressed');
SET enable_seqscan = off;
SELECT k FROM keyed WHERE md5(v) = md5(noise('v3', 500));
SELECT v FROM keyed WHERE k = repeat('key', 20000);
RESET enable_seqscan;
SELECT length(v), v = noise('other', 600) || noise('v1', 500) AS v FROM keyed WHERE k = 'k1' FOR UPDATE;
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE NOTICE '% % %', tg_op, length(old.v), length(new.v); RETURN new; END $$;
CREATE TRIGGER before BEFORE UPDATE ON keyed FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER after AFTER UPDATE ON keyed FOR EACH ROW EXECUTE FUNCTION tell();
UPDATE keyed SET k = 'k22' WHERE k = 'k2';
UPDATE keyed SET v = 'short' WHERE k = 'k3' RETURNING k, v;
DO $$ DECLARE r keyed; BEGIN
  SELECT * INTO r FROM keyed WHERE k = 'k4';
  DELETE FROM keyed WHERE k = 'k4';
  r.k := 'k44';
  INSERT INTO keyed SELECT r.*;
END $$;
BEGIN;
DECLARE c CURSOR WITH HOLD FOR SELECT k, v = noise('v' || right(k, 1), 500) AS v FROM keyed WHERE k LIKE 'k%' AND v LIKE '________________________________%' AND k <> 'k1' ORDER BY k;
COMMIT;
UPDATE keyed SET v = 'gone' WHERE k = 'k5';
VACUUM keyed;
FETCH ALL FROM c;
CLOSE c;
CREATE TABLE copied (k text, v text) USING fusion;
\getenv abs_builddir PG_ABS_BUILDDIR
\set filename :abs_builddir '/results/fusion_large.data'
COPY keyed TO :'filename';
COPY copied FROM :'filename';
CREATE TABLE as_select USING fusion AS SELECT k, v FROM keyed;
CREATE TABLE as_heap AS SELECT k, v FROM keyed;
SELECT count(*), count(*) FILTER (WHERE a.v = b.v AND b.v = c.v AND c.v = d.v) AS equal
  FROM keyed a JOIN as_select b USING (k) JOIN as_heap c USING (k) JOIN copied d USING (k);
-- rewrites, DDL, statistics
ALTER TABLE copied ADD COLUMN n int DEFAULT 1;
ALTER TABLE copied ALTER n TYPE numeric;
ALTER TABLE copied SET ACCESS METHOD heap;  -- PostgreSQL gives it no TOAST table
ALTER TABLE as_heap SET ACCESS METHOD fusion;
CREATE MATERIALIZED VIEW seen USING fusion AS SELECT * FROM keyed;
UPDATE keyed SET v = noise('new', 700) WHERE k = 'k5';
REFRESH MATERIALIZED VIEW seen;
SELECT count(*) FILTER (WHERE a.v = b.v) AS copied, count(*) FILTER (WHERE a.v = c.v) AS seen FROM keyed a JOIN copied b USING (k) JOIN seen c USING (k);
SELECT count(*) FILTER (WHERE a.v = b.v) AS converted FROM copied a JOIN as_heap b USING (k);
CREATE TABLE parts (id int, v text) PARTITION BY RANGE (id);
CREATE TABLE part1 PARTITION OF parts FOR VALUES FROM (0) TO (10) USING fusion;
CREATE TABLE part2 PARTITION OF parts FOR VALUES FROM (10) TO (20) USING fusion;
INSERT INTO parts VALUES (1, noise('part', 1000)), (11, noise('part', 900));
UPDATE parts SET id = id + 10 WHERE id = 1;
VACUUM parts;
SELECT tableoid::regclass, id, v = noise('part', length(v) / 32) AS v FROM parts ORDER BY length(v);
ANALYZE long;
SELECT attname, n_distinct, avg_width > 0 AS width FROM pg_stats WHERE tablename = 'long' ORDER BY attname;
CREATE TABLE composite (r keyed) USING fusion;
INSERT INTO composite SELECT keyed FROM keyed;
SELECT count(*) FROM composite c JOIN keyed k ON (c.r).k = k.k AND (c.r).v = k.v;
TRUNCATE again;
SELECT * FROM system.fusion_check();
DROP TABLE long, again, sizes, kinds, copied, as_select, as_heap, parts, composite;
DROP TABLE keyed CASCADE;
DROP FUNCTION noise, tell;
