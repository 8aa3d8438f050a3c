-- Replicated types as PostgreSQL types: text and binary form, casts, order, indexes, arrays, domains, dump and COPY.
\set VERBOSITY default
-- The text form is the whole state.
SELECT '{"value": 299, "generation": 0, "sites": {"2.1": [0, 1, 0, 0], "1.1": [300, 0, 0, 0]}}'::crdt.pn_counter;
SELECT '{"generation": 0, "seen": {"1.1": 7}, "elements": [{"value": "a", "dots": ["1.1:7"]}]}'::crdt.or_set;
SELECT '{"value": null, "time": 300, "site": "2.1"}'::crdt.lww_register;
SELECT '42'::crdt.pn_counter;
SELECT '{"value": 7, "generation": 0, "sites": {"1.1": [300, 0, 0, 0]}}'::crdt.pn_counter;
SELECT E'{"elements": ["\\u0000"]}'::crdt.g_set;
-- Hostile bytes.
CREATE FUNCTION pg_temp.copy_in(hex text, type text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  path text := current_setting('data_directory') || '/crdt_copy';
  bytes bytea := '\x5047434f50590aff0d0a00' || decode('0000000000000000', 'hex') || decode('0001', 'hex')
    || int4send(length(decode(hex, 'hex'))) || decode(hex, 'hex') || decode('ffff', 'hex');
  file oid := lo_from_bytea(0, bytes);
  shown text;
BEGIN
  PERFORM lo_export(file, path), lo_unlink(file);
  EXECUTE format('CREATE TEMP TABLE came (v crdt.%I)', type);
  EXECUTE format('COPY came FROM %L (FORMAT binary)', path);
  SELECT v::json INTO shown FROM came;
  DROP TABLE came;
  RETURN shown;
EXCEPTION WHEN others THEN
  RETURN SQLSTATE || ': ' || SQLERRM;
END $$;
SELECT pg_temp.copy_in(encode(crdt.pn_counter_send(7::crdt.pn_counter), 'hex'), 'pn_counter');
SELECT pg_temp.copy_in('', 'pn_counter');
SELECT pg_temp.copy_in('0301', 'pn_counter');
SELECT pg_temp.copy_in('0301' || repeat('ff', 40), 'pn_counter');
SELECT pg_temp.copy_in('040101ffffffffffffffff7f', 'g_set');
SELECT pg_temp.copy_in('0401010161', 'g_set') AS good, pg_temp.copy_in('04010101ff', 'g_set') AS not_text,
  pg_temp.copy_in('0401010100', 'g_set') AS zero, pg_temp.copy_in('0401010161', 'or_set') AS other_type;
-- Casts.
SELECT 42::crdt.pn_counter::bigint, (-42)::crdt.pn_counter::bigint, 42::crdt.g_counter::bigint;
SELECT (-1)::crdt.g_counter;
SELECT ARRAY['b', 'a', 'b']::crdt.or_set::text[], '{}'::text[]::crdt.g_set::text[], ARRAY['x', NULL]::crdt.g_set;
SELECT 'note'::text::crdt.lww_register::text, 'note'::text::crdt.mv_register::text[];
SELECT crdt.set('x'::text::crdt.lww_register, NULL)::text IS NULL AS null_was_assigned;
SELECT crdt.state('{"elements": ["a"]}'::crdt.g_set) -> 'elements' AS state;
-- JSON of rows shows what users see.
CREATE TEMP TABLE stock (sku text PRIMARY KEY, on_hand crdt.pn_counter DEFAULT 0, tags crdt.or_set, note crdt.lww_register);
INSERT INTO stock VALUES ('x', 10, ARRAY['new'], 'first'::text), ('y', DEFAULT, NULL, NULL);
SELECT to_jsonb(s) FROM stock s ORDER BY sku;
SELECT row_to_json(s) FROM stock s WHERE sku = 'x';
-- Order, equality and hashes are those of what is shown.
SELECT 3::crdt.pn_counter < 20::crdt.pn_counter AS by_number, 5::crdt.pn_counter = crdt.pn_counter(8) - 3 AS same_value,
  ARRAY['a']::crdt.or_set = ARRAY['a']::crdt.or_set AS same_elements, 5::crdt.pn_counter = 5 AS with_bigint;
SELECT crdt.hash(5::crdt.pn_counter) = crdt.hash(crdt.pn_counter(8) - 3) AS same_hash;
SELECT count(DISTINCT c), array_agg(c::bigint ORDER BY c) FROM (SELECT (n % 4)::crdt.pn_counter + n / 4 * 0 AS c FROM generate_series(1, 8) n) t;
CREATE TEMP TABLE many AS SELECT n, n::crdt.pn_counter AS c, ARRAY['t' || n % 10]::crdt.or_set AS tags FROM generate_series(1, 500) n;
CREATE INDEX ON many (c);
CREATE INDEX ON many USING hash (tags);
CREATE INDEX many_tags ON many USING gin ((tags::text[]));
ANALYZE many;
SET enable_seqscan = off;
SELECT count(*) FROM many WHERE c < 5;
EXPLAIN (COSTS OFF) SELECT n FROM many WHERE c = 77;
SELECT n FROM many WHERE c = 77;
SELECT count(*) FROM many WHERE tags = ARRAY['t3']::crdt.or_set;
SELECT count(*) FROM many WHERE tags::text[] @> ARRAY['t3'];
RESET enable_seqscan;
SELECT count(*) FROM many a JOIN many b USING (c);
-- Arrays, domains, composite types.
SELECT array_agg(n::crdt.pn_counter)::text = (ARRAY[1::crdt.pn_counter, 2::crdt.pn_counter])::text AS arrays FROM generate_series(1, 2) n;
CREATE DOMAIN pg_temp.positive AS crdt.pn_counter CHECK (VALUE >= 0);
SELECT (5::crdt.pn_counter)::pg_temp.positive::bigint;
SELECT (5::crdt.pn_counter - 6)::pg_temp.positive;
-- Text and binary COPY bring the same states back.
CREATE TEMP TABLE again (LIKE stock);
CREATE FUNCTION pg_temp.round_trip(format text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  path text := current_setting('data_directory') || '/crdt_copy';
BEGIN
  EXECUTE format('COPY stock TO %L (FORMAT %s)', path, format);
  DELETE FROM again;
  EXECUTE format('COPY again FROM %L (FORMAT %s)', path, format);
  RETURN (SELECT bool_and(a::text = s::text) AND count(*) = 2 FROM stock s JOIN again a USING (sku));
END $$;
SELECT pg_temp.round_trip('text') AS text, pg_temp.round_trip('binary') AS binary;
-- A compressed and an out-of-line value.
SET pgquorum.crdt_max_bytes = '1MB';
INSERT INTO stock SELECT 'big', 1, array_agg('element number ' || n), repeat('x', 9000) FROM generate_series(1, 3000) n;
SELECT crdt.count(tags), tags @> 'element number 2999'::text, length(note::text) FROM stock WHERE sku = 'big';
-- The cap is for statements.
RESET pgquorum.crdt_max_bytes;
UPDATE stock SET tags = tags + 'more' WHERE sku = 'big';
CREATE TEMP TABLE there AS SELECT tags FROM stock WHERE sku = 'big';
SET pgquorum.crdt_site_id = 2;
SET pgquorum.crdt_max_bytes = '1MB';
UPDATE there SET tags = tags + 'more';
RESET pgquorum.crdt_site_id;
RESET pgquorum.crdt_max_bytes;
SELECT crdt.count(crdt.merge(s.tags, t.tags)) AS merged FROM stock s, there t WHERE sku = 'big';
SET pgquorum.crdt_max_bytes = '1kB';
SELECT crdt.pn_counter(1)::bigint, repeat('x', 2000)::crdt.lww_register;
RESET pgquorum.crdt_max_bytes;
SHOW pgquorum.crdt_site_id;
