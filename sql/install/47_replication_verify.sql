-- Multi-master: whether the sites have the same rows, and making a row equal again.
--
-- The asking site walks through each table in ranges of its key. All sites add up the hashes of a range's rows at the
-- same time; a range that differs is cut into parts until few rows are left, which are compared one by one. What still
-- differs is looked at again once everything that was committed before the first look has been applied everywhere: a row
-- that has changed meanwhile is asked about once more, one that has not is different.

CREATE TABLE pgquorum_internal.replication_verification (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  started_at timestamptz NOT NULL, finished_at timestamptz NOT NULL,
  tables integer NOT NULL, row_count bigint NOT NULL, differing_rows bigint NOT NULL, complete boolean NOT NULL
);
-- What one site has of a row that is not the same everywhere.
CREATE TYPE pgquorum_internal.row_difference AS (
  table_name text, key jsonb, site_id integer, row_hash bigint, written_at timestamptz, settled boolean
);
CREATE TABLE pgquorum_internal.replication_difference (
  verification bigint NOT NULL REFERENCES pgquorum_internal.replication_verification ON DELETE CASCADE,
  difference pgquorum_internal.row_difference NOT NULL
);
CREATE INDEX ON pgquorum_internal.replication_difference (verification);

CREATE FUNCTION pgquorum_internal.send_to_sites(conninfo text[], statement text[]) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS '$libdir/pgquorum_replication', 'pgquorum_send_to_sites';
COMMENT ON FUNCTION pgquorum_internal.send_to_sites(text[], text[]) IS
  'starts a statement at each of several sites; the links stay open until the transaction ends';
CREATE FUNCTION pgquorum_internal.answers_of_sites() RETURNS text[]
LANGUAGE c VOLATILE PARALLEL UNSAFE AS '$libdir/pgquorum_replication', 'pgquorum_answers_of_sites';
COMMENT ON FUNCTION pgquorum_internal.answers_of_sites() IS 'first values of the statements that were sent';
CREATE FUNCTION pgquorum_internal.wal_barrier() RETURNS pg_lsn
LANGUAGE c VOLATILE PARALLEL UNSAFE AS '$libdir/pgquorum_replication', 'pgquorum_wal_barrier';
COMMENT ON FUNCTION pgquorum_internal.wal_barrier() IS 'a position behind every write that can be seen, on disk';
CREATE FUNCTION pgquorum_internal.report_verification(relation oid, tables bigint, tables_done bigint, row_count bigint,
  rows_done bigint, differing bigint) RETURNS void
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS '$libdir/pgquorum_replication', 'pgquorum_report_verification';
CREATE FUNCTION pgquorum_internal.verifications_under_way(OUT pid integer, OUT relation oid, OUT tables bigint,
  OUT tables_done bigint, OUT row_count bigint, OUT rows_done bigint, OUT differing bigint) RETURNS SETOF record
LANGUAGE c VOLATILE PARALLEL RESTRICTED AS '$libdir/pgquorum_replication', 'pgquorum_verifications_under_way';

-- ---- all sites at once -----------------------------------------------------------------------------------

-- This site first, then the others by number.
CREATE FUNCTION pgquorum_internal.all_sites() RETURNS integer[]
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
  SELECT (SELECT site_id FROM pgquorum_internal.replication_group)
         || (SELECT coalesce(array_agg(site_id ORDER BY site_id), '{}') FROM pgquorum_internal.replication_site)
$$;

-- The first value of a statement at every site, in that order. They work at the same time.
CREATE FUNCTION pgquorum_internal.ask_all_sites(statement text) RETURNS text[]
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog SET timezone = 'UTC' SET datestyle = 'ISO'
SET intervalstyle = 'postgres' SET extra_float_digits = 3 SET bytea_output = 'hex' AS $$
DECLARE
  own text;
BEGIN
  PERFORM pgquorum_internal.send_to_sites(coalesce(array_agg(conninfo ORDER BY site_id), '{}'),
                                          coalesce(array_agg(statement), '{}'))
  FROM pgquorum_internal.replication_site;
  EXECUTE statement INTO own;
  RETURN own || pgquorum_internal.answers_of_sites();
END
$$;

CREATE FUNCTION pgquorum_internal.slot_name(site integer) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog
AS $$ SELECT format('pgquorum_%s_%s', oid, site) FROM pg_database WHERE datname = current_database() $$;

-- Whether all other sites have applied what can be seen here now, or one of them.
CREATE FUNCTION pgquorum_internal.others_have_applied(patience interval, only_site integer DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
DECLARE
  position pg_lsn := pgquorum_internal.wal_barrier();
  until timestamptz := clock_timestamp() + patience;
BEGIN
  WHILE EXISTS (SELECT FROM pgquorum_internal.replication_site s
                LEFT JOIN pg_replication_slots r ON r.slot_name = pgquorum_internal.slot_name(s.site_id)
                WHERE (only_site IS NULL OR s.site_id = only_site)
                  AND (r.confirmed_flush_lsn IS NULL OR r.confirmed_flush_lsn < position)) LOOP
    IF clock_timestamp() > until THEN
      RETURN false;
    END IF;
    PERFORM pg_sleep(0.01);
  END LOOP;
  RETURN true;
END
$$;

-- Whether what could be seen at any site when this began has been applied at every other.
CREATE FUNCTION pgquorum_internal.all_have_applied(patience interval) RETURNS boolean
LANGUAGE sql VOLATILE SET search_path = pg_catalog AS $$
  SELECT bool_and(a::boolean)
  FROM unnest(pgquorum_internal.ask_all_sites(format('SELECT pgquorum_internal.others_have_applied(%L)', patience))) a
$$;

-- ---- a table in words of SQL -----------------------------------------------------------------------------

CREATE TYPE pgquorum_internal.verified_table AS (
  name text,       -- qualified
  key text,        -- its columns, for comparison with a literal
  key_values text, -- their values as an array of text
  hash text        -- of a row, the same wherever the row is
);

-- Of the primary key, in its order.
CREATE FUNCTION pgquorum_internal.key_columns(relation regclass, OUT n bigint, OUT name name) RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
  SELECT i.n, a.attname
  FROM pg_index x, unnest(x.indkey::smallint[]) WITH ORDINALITY i(attnum, n)
       JOIN pg_attribute a ON a.attrelid = relation AND a.attnum = i.attnum
  WHERE x.indrelid = relation AND x.indisprimary AND i.n <= x.indnkeyatts
  ORDER BY i.n
$$;

-- Hashes of values are compared where they mean the same at every server: not of types whose values are numbers of
-- this server's catalogue, nor of those without one. Their text stands for them.
CREATE FUNCTION pgquorum_internal.verified_table(relation regclass) RETURNS pgquorum_internal.verified_table
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
  SELECT n.nspname || '.' || c.name, k.list, k.texts, h.expression
  FROM (SELECT quote_ident(relname) AS name, relnamespace FROM pg_class WHERE oid = relation) c
       JOIN (SELECT oid, quote_ident(nspname) AS nspname FROM pg_namespace) n ON n.oid = c.relnamespace,
       LATERAL (SELECT string_agg(quote_ident(kc.name), ', ' ORDER BY kc.n) AS list,
                       format('ARRAY[%s]', string_agg(quote_ident(kc.name) || '::text', ', ' ORDER BY kc.n)) AS texts
                FROM pgquorum_internal.key_columns(relation) kc) k,
       LATERAL (SELECT format('hash_record_extended(ROW(%s), 0)', string_agg(
                         quote_ident(a.attname) || CASE WHEN t.by_value THEN '' ELSE '::text' END, ', ' ORDER BY a.attname))
                         AS expression
                FROM pg_attribute a,
                     LATERAL (SELECT typnamespace = 'pg_catalog'::regnamespace AND typtype = 'b' AND typcategory <> 'A'
                                     AND typname !~ '^(reg|oid)' AND EXISTS (
                                       SELECT FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod
                                       WHERE m.amname = 'hash' AND o.opcdefault
                                         AND (o.opcintype = t.oid OR t.oid = 'varchar'::regtype)) AS by_value
                              FROM pg_type t WHERE t.oid = a.atttypid) t
                WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped) h
$$;

CREATE FUNCTION pgquorum_internal.key_literal(key jsonb) RETURNS text
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog
AS $$ SELECT format('(%s)', string_agg(quote_literal(v), ', ' ORDER BY n)) FROM jsonb_array_elements_text(key) WITH ORDINALITY e(v, n) $$;

-- Keys are arrays of texts; a bound that is null is none. The lower one does not belong to the range.
CREATE FUNCTION pgquorum_internal.key_range(t pgquorum_internal.verified_table, lower jsonb, upper jsonb) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS $$
  SELECT coalesce('(' || t.key || ') > ' || pgquorum_internal.key_literal(lower), 'true') || ' AND '
         || coalesce('(' || t.key || ') <= ' || pgquorum_internal.key_literal(upper), 'true')
$$;

-- ---- ranges ----------------------------------------------------------------------------------------------

-- Of each site: number of rows, sum of their hashes.
CREATE FUNCTION pgquorum_internal.hash_range(t pgquorum_internal.verified_table, lower jsonb, upper jsonb) RETURNS text[]
LANGUAGE sql VOLATILE SET search_path = pg_catalog AS $$
  SELECT pgquorum_internal.ask_all_sites(format('SELECT count(*) || '' '' || coalesce(sum(%s), 0) FROM %s WHERE %s',
    t.hash, t.name, pgquorum_internal.key_range(t, lower, upper)))
$$;

-- Rows of this site in a range that all sites add up at once: long enough that asking costs little.
CREATE FUNCTION pgquorum_internal.range_rows() RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 65536';

CREATE FUNCTION pgquorum_internal.all_equal(answers text[]) RETURNS boolean
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog
AS $$ SELECT count(DISTINCT a) = 1 FROM unnest(answers) a $$;

-- Keys whose rows are not the same everywhere, in a range that is not. At most `most` of them.
CREATE FUNCTION pgquorum_internal.differing_keys(t pgquorum_internal.verified_table, lower jsonb, upper jsonb, most bigint)
RETURNS SETOF jsonb LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
DECLARE
  pending jsonb[] := ARRAY[jsonb_build_array(lower, upper)];
  range jsonb;
  answers text[];
  most_rows bigint;
  found bigint := 0;
  cuts jsonb;
BEGIN
  WHILE cardinality(pending) > 0 AND found < most LOOP
    range := pending[cardinality(pending)];
    pending := trim_array(pending, 1);
    answers := pgquorum_internal.hash_range(t, nullif(range -> 0, 'null'), nullif(range -> 1, 'null'));
    CONTINUE WHEN pgquorum_internal.all_equal(answers);
    most_rows := (SELECT max(split_part(a, ' ', 1)::bigint) FROM unnest(answers) a);
    IF most_rows <= 128 THEN
      RETURN QUERY
        WITH rows AS (
          SELECT r -> 0 AS key, r ->> 1 AS hash
          FROM unnest(pgquorum_internal.ask_all_sites(format(
                 'SELECT coalesce(json_agg(json_build_array(%s, %s)), ''[]'') FROM %s WHERE %s', t.key_values, t.hash, t.name,
                 pgquorum_internal.key_range(t, nullif(range -> 0, 'null'), nullif(range -> 1, 'null'))))) a,
               jsonb_array_elements(a::jsonb) r)
        SELECT key FROM rows GROUP BY key HAVING count(*) < cardinality(answers) OR count(DISTINCT hash) > 1 LIMIT most - found;
      GET DIAGNOSTICS most_rows = ROW_COUNT;
      found := found + most_rows;
    ELSE
      -- Every site says where it would cut; the one that has most rows is heard.
      SELECT c::jsonb INTO cuts
      FROM unnest(answers, pgquorum_internal.ask_all_sites(format(
             'SELECT json_agg(k) FROM (SELECT %s AS k, row_number() OVER (ORDER BY %s) AS n, count(*) OVER () AS rows FROM %s'
             ' WHERE %s) r WHERE n %% (rows / 16 + 1) = 0', t.key_values, t.key, t.name,
             pgquorum_internal.key_range(t, nullif(range -> 0, 'null'), nullif(range -> 1, 'null'))))) u(a, c)
      ORDER BY split_part(a, ' ', 1)::bigint DESC LIMIT 1;
      cuts := jsonb_build_array(range -> 0) || cuts || jsonb_build_array(range -> 1);
      FOR i IN REVERSE jsonb_array_length(cuts) - 2 .. 0 LOOP
        pending := pending || jsonb_build_array(cuts -> i, cuts -> (i + 1));
      END LOOP;
    END IF;
  END LOOP;
END
$$;

-- ---- rows ------------------------------------------------------------------------------------------------

-- What each site has of some rows: [key, hash, time of the write] of those that are there.
CREATE FUNCTION pgquorum_internal.read_rows(t pgquorum_internal.verified_table, keys jsonb[]) RETURNS text[]
LANGUAGE sql VOLATILE SET search_path = pg_catalog AS $$
  SELECT pgquorum_internal.ask_all_sites(format(
    'SELECT coalesce(json_agg(json_build_array(%s, (%s)::text, pg_xact_commit_timestamp(xmin))), ''[]'') FROM %s WHERE (%s) IN (%s)',
    t.key_values, t.hash, t.name, t.key,
    (SELECT string_agg(pgquorum_internal.key_literal(k), ', ') FROM unnest(keys) k)))
$$;

CREATE FUNCTION pgquorum_internal.named_key(relation regclass, key jsonb) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
  SELECT jsonb_object_agg(k.name, key -> (k.n - 1)::integer) FROM pgquorum_internal.key_columns(relation) k
$$;

-- Those of `keys` that differ, with what each site has.
CREATE FUNCTION pgquorum_internal.settle_differences(relation regclass, t pgquorum_internal.verified_table,
  keys jsonb[], patience interval)
RETURNS SETOF pgquorum_internal.row_difference LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
DECLARE
  sites integer[] := pgquorum_internal.all_sites();
  before text[] := pgquorum_internal.read_rows(t, keys);
  after text[];
  open jsonb[] := keys;
  settled boolean;
  passed boolean;
  k jsonb;
BEGIN
  FOR attempt IN 1 .. 5 LOOP
    passed := pgquorum_internal.all_have_applied(patience);
    after := pgquorum_internal.read_rows(t, open);
    FOREACH k IN ARRAY open LOOP
      WITH latest AS (SELECT s, r FROM unnest(sites, after) u(s, a)
                   LEFT JOIN LATERAL (SELECT r FROM jsonb_array_elements(u.a::jsonb) r WHERE r -> 0 = k) e ON true),
           earlier AS (SELECT s, r FROM unnest(sites, before) u(s, a)
                    LEFT JOIN LATERAL (SELECT r FROM jsonb_array_elements(u.a::jsonb) r WHERE r -> 0 = k) e ON true)
      SELECT CASE WHEN count(DISTINCT coalesce(latest.r ->> 1, 'none')) = 1 THEN NULL
                  ELSE passed AND bool_and(latest.r IS NOT DISTINCT FROM earlier.r) END
      INTO settled FROM latest JOIN earlier USING (s);
      IF settled IS NULL THEN
        open := array_remove(open, k);
      ELSIF settled OR attempt = 5 OR NOT passed THEN
        RETURN QUERY
        SELECT relation::text, pgquorum_internal.named_key(relation, k), u.s, (r ->> 1)::bigint, (r ->> 2)::timestamptz, settled
        FROM unnest(sites, after) u(s, a)
             LEFT JOIN LATERAL (SELECT r FROM jsonb_array_elements(u.a::jsonb) r WHERE r -> 0 = k) e ON true;
        open := array_remove(open, k);
      END IF;
    END LOOP;
    EXIT WHEN cardinality(open) = 0;
    before := after;
  END LOOP;
END
$$;

-- ---- what an administrator calls -------------------------------------------------------------------------

CREATE TYPE pgquorum_internal.table_verdict AS (row_count bigint, complete boolean, found pgquorum_internal.row_difference[]);

CREATE FUNCTION pgquorum_internal.verify_table(target regclass, nth integer, tables integer, most bigint, patience interval)
RETURNS pgquorum_internal.table_verdict LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
DECLARE
  t pgquorum_internal.verified_table := pgquorum_internal.verified_table(target);
  lower jsonb;
  upper jsonb;
  keys jsonb[] := '{}';
  answers text[];
  estimate bigint := (SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = target);
  done bigint := 0;
  found pgquorum_internal.row_difference[] := '{}';
BEGIN
  LOOP
    PERFORM pgquorum_internal.report_verification(target, tables, nth - 1, greatest(estimate, done), done, cardinality(keys));
    EXECUTE format('SELECT to_jsonb(%s) FROM %s WHERE %s ORDER BY %s OFFSET %s LIMIT 1', t.key_values, t.name,
                   pgquorum_internal.key_range(t, lower, NULL), t.key, pgquorum_internal.range_rows() - 1) INTO upper;
    answers := pgquorum_internal.hash_range(t, lower, upper);
    done := done + split_part(answers[1], ' ', 1)::bigint;
    IF NOT pgquorum_internal.all_equal(answers) AND cardinality(keys) < most THEN
      keys := keys || ARRAY(SELECT pgquorum_internal.differing_keys(t, lower, upper, most - cardinality(keys)));
    END IF;
    EXIT WHEN upper IS NULL;
    lower := upper;
  END LOOP;
  FOR i IN 0 .. (cardinality(keys) + 499) / 500 - 1 LOOP
    found := found || ARRAY(SELECT d FROM pgquorum_internal.settle_differences(
                              target, t, keys[i * 500 + 1 : i * 500 + 500], patience) d);
  END LOOP;
  RETURN (done, cardinality(keys) < most, found);
END
$$;

-- Writes nothing before its end: a transaction without an id holds up no slot.
CREATE FUNCTION system.verify_convergence(group_name text, table_name regclass DEFAULT NULL,
  max_differences integer DEFAULT 1000, patience interval DEFAULT '30 seconds')
RETURNS TABLE (differing_table text, key jsonb, site_id integer, row_hash bigint, written_at timestamptz, settled boolean)
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog AS $$
#variable_conflict use_column
DECLARE
  started timestamptz := clock_timestamp();
  run bigint;
  targets regclass[];
  verdict pgquorum_internal.table_verdict;
  rows bigint := 0;
  complete boolean := true;
  found pgquorum_internal.row_difference[] := '{}';
BEGIN
  PERFORM pgquorum_internal.own_group(group_name);
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'convergence can be verified at isolation level read committed only' USING ERRCODE = '25001';
  END IF;
  IF coalesce(max_differences, 0) < 1 THEN
    RAISE EXCEPTION 'max_differences must be positive' USING ERRCODE = '22023';
  END IF;
  targets := ARRAY(SELECT relation FROM pgquorum_internal.replicated_table r
                   WHERE verify_convergence.table_name IS NULL OR r.relation = verify_convergence.table_name ORDER BY 1);
  IF verify_convergence.table_name IS NOT NULL AND targets = '{}' THEN
    RAISE EXCEPTION 'table "%" is not replicated', verify_convergence.table_name USING ERRCODE = '42704';
  END IF;
  FOR i IN 1 .. cardinality(targets) LOOP
    verdict := pgquorum_internal.verify_table(targets[i], i, cardinality(targets), max_differences, patience);
    found := found || verdict.found;
    rows := rows + verdict.row_count;
    complete := complete AND verdict.complete;
    IF NOT verdict.complete THEN
      RAISE WARNING 'table "%" may differ in more rows than are shown', targets[i]
        USING HINT = 'max_differences bounds the rows of a table that are looked at one by one.';
    END IF;
  END LOOP;
  DELETE FROM pgquorum_internal.replication_verification WHERE started_at < started - interval '30 days';
  INSERT INTO pgquorum_internal.replication_verification (started_at, finished_at, tables, row_count, differing_rows, complete)
  VALUES (started, clock_timestamp(), cardinality(targets), rows,
          (SELECT count(DISTINCT (d.table_name, d.key)) FROM unnest(found) d), complete)
  RETURNING id INTO run;
  INSERT INTO pgquorum_internal.replication_difference SELECT run, d FROM unnest(found) d;
  RETURN QUERY SELECT * FROM unnest(found) ORDER BY 1, 2, 3;
END
$$;
COMMENT ON FUNCTION system.verify_convergence(text, regclass, integer, interval) IS
  'compares the tables of all sites while they are written; a row for each site of each key that differs, none when all are equal';

-- ---- what can be seen ------------------------------------------------------------------------------------

CREATE VIEW system.replication_verifications AS
SELECT id, started_at, finished_at, tables, row_count, differing_rows, complete
FROM pgquorum_internal.replication_verification;
COMMENT ON VIEW system.replication_verifications IS 'comparisons of this site with the others in the last 30 days that ended';
COMMENT ON COLUMN system.replication_verifications.row_count IS 'rows of this site that were compared';
COMMENT ON COLUMN system.replication_verifications.complete IS 'false when there may be more rows that differ';

CREATE VIEW system.replication_differences AS
SELECT d.verification, (d.difference).table_name, (d.difference).key, (d.difference).site_id, (d.difference).row_hash,
       (d.difference).written_at, (d.difference).settled
FROM pgquorum_internal.replication_difference d
WHERE d.verification = (SELECT max(id) FROM pgquorum_internal.replication_verification);
COMMENT ON VIEW system.replication_differences IS 'what the newest comparison found: what each site has of each row that differs';
COMMENT ON COLUMN system.replication_differences.verification IS 'id in system.replication_verifications';
COMMENT ON COLUMN system.replication_differences.row_hash IS 'NULL: that site has no such row';
COMMENT ON COLUMN system.replication_differences.written_at IS 'stamp of the row there';
COMMENT ON COLUMN system.replication_differences.settled IS
  'true: all sites had applied everything, and it differs; false: it kept changing, or a site did not catch up in time';

CREATE VIEW system.replication_verification_progress AS
SELECT pid, relation::regclass::text AS table_name, tables, tables_done, row_count AS rows_expected, rows_done,
       differing AS candidates
FROM pgquorum_internal.verifications_under_way();
COMMENT ON VIEW system.replication_verification_progress IS 'comparisons that this site is making now';
COMMENT ON COLUMN system.replication_verification_progress.rows_expected IS 'of this table, by the planner''s estimate';
COMMENT ON COLUMN system.replication_verification_progress.candidates IS
  'rows of this table that were seen to differ; changes under way are sorted out at its end';

REVOKE ALL ON FUNCTION system.verify_convergence(text, regclass, integer, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION system.verify_convergence(text, regclass, integer, interval) TO pgquorum_admin;
REVOKE ALL ON system.replication_verifications, system.replication_differences, system.replication_verification_progress FROM PUBLIC;
GRANT SELECT ON system.replication_verifications, system.replication_verification_progress TO pgquorum_monitor;
GRANT SELECT ON system.replication_differences TO pgquorum_admin;
REVOKE ALL ON FUNCTION pgquorum_internal.send_to_sites(text[], text[]), pgquorum_internal.answers_of_sites(),
  pgquorum_internal.wal_barrier(), pgquorum_internal.report_verification(oid, bigint, bigint, bigint, bigint, bigint),
  pgquorum_internal.verifications_under_way(), pgquorum_internal.all_sites(), pgquorum_internal.ask_all_sites(text),
  pgquorum_internal.slot_name(integer), pgquorum_internal.others_have_applied(interval, integer),
  pgquorum_internal.all_have_applied(interval), pgquorum_internal.key_columns(regclass), pgquorum_internal.verified_table(regclass),
  pgquorum_internal.key_literal(jsonb), pgquorum_internal.key_range(pgquorum_internal.verified_table, jsonb, jsonb),
  pgquorum_internal.hash_range(pgquorum_internal.verified_table, jsonb, jsonb), pgquorum_internal.all_equal(text[]), pgquorum_internal.range_rows(),
  pgquorum_internal.differing_keys(pgquorum_internal.verified_table, jsonb, jsonb, bigint),
  pgquorum_internal.read_rows(pgquorum_internal.verified_table, jsonb[]), pgquorum_internal.named_key(regclass, jsonb),
  pgquorum_internal.settle_differences(regclass, pgquorum_internal.verified_table, jsonb[], interval),
  pgquorum_internal.verify_table(regclass, integer, integer, bigint, interval) FROM PUBLIC;
