-- Multi-master: what is kept beside rows whose state is more than two stamps (bgworkers/replication/core/conflict/kept.h),
-- and the rules of a table as its guard trigger carries them.

CREATE TABLE pgquorum_internal.row_state (
  relation oid,
  key bytea,
  writer xid NOT NULL,
  state bytea NOT NULL,
  PRIMARY KEY (relation, key)
);
COMMENT ON COLUMN pgquorum_internal.row_state.writer IS 'transaction that wrote the row that this is about; 0: there was none';

-- The type that values of a column have: a domain is looked through.
CREATE FUNCTION pgquorum_internal.base_type(type oid) RETURNS oid
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog AS $$
  WITH RECURSIVE t AS (
    SELECT oid, typbasetype FROM pg_type WHERE oid = type
    UNION ALL SELECT b.oid, b.typbasetype FROM t JOIN pg_type b ON b.oid = t.typbasetype)
  SELECT oid FROM t WHERE typbasetype = 0
$$;

CREATE FUNCTION pgquorum_internal.has_merging_columns(relation regclass) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
  SELECT EXISTS (SELECT FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
                 WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
                   AND t.typnamespace::regnamespace::text = 'crdt')
$$;

-- What fits together. `merging`: the table has columns of replicated types.
CREATE FUNCTION pgquorum_internal.check_strategy(strategy text, primary_site integer, column_level boolean, merging boolean)
RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
BEGIN
  IF strategy IN ('custom', 'multi_value') THEN
    RAISE EXCEPTION 'conflict strategy "%" is not available yet', strategy
      USING ERRCODE = '0A000', HINT = 'docs/multi-master.md names those that are.';
  ELSIF strategy IS NULL OR strategy NOT IN ('last_writer_wins', 'first_write_wins', 'primary', 'vector_clock', 'error', 'skip') THEN
    RAISE EXCEPTION 'unknown conflict strategy "%"', coalesce(strategy, 'NULL')
      USING ERRCODE = '22023', HINT = 'docs/multi-master.md names those that are.';
  ELSIF strategy = 'primary' AND primary_site IS NULL THEN
    RAISE EXCEPTION 'strategy primary needs a site' USING ERRCODE = '22023', HINT = 'Give primary_site: the number of the site whose writes win.';
  ELSIF strategy <> 'primary' AND primary_site IS NOT NULL THEN
    RAISE EXCEPTION 'strategy % has no primary site', strategy USING ERRCODE = '22023';
  ELSIF primary_site NOT BETWEEN 1 AND 65535 THEN
    RAISE EXCEPTION 'there is no site %', primary_site USING ERRCODE = '22023';
  ELSIF strategy IN ('error', 'skip') AND (column_level OR merging) THEN
    RAISE EXCEPTION 'strategy % decides about whole rows, and leaves sites different', strategy
      USING ERRCODE = '22023', HINT = 'Use another strategy for tables with column-level merging or columns of replicated types.';
  END IF;
END
$$;

-- What the guard of a table is told, as arguments of its trigger. Without any: last_writer_wins of plain columns.
CREATE FUNCTION pgquorum_internal.guard_arguments(relation regclass, strategy text, primary_site integer, column_level boolean)
RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
DECLARE
  merging boolean := pgquorum_internal.has_merging_columns(relation);
BEGIN
  IF strategy = 'last_writer_wins' AND NOT column_level AND NOT merging THEN
    RETURN '';
  END IF;
  RETURN (SELECT string_agg(quote_literal(a), ', ') FROM unnest(ARRAY[
    'site=' || (SELECT g.site_id FROM pgquorum_internal.replication_group g),
    'strategy=' || strategy,
    CASE WHEN strategy = 'primary' THEN 'primary=' || primary_site END,
    CASE WHEN column_level THEN 'column_level' END]) a WHERE a IS NOT NULL);
END
$$;

-- Sessions that begin from now on write replicated values under this site's number.
CREATE FUNCTION pgquorum_internal.take_site_id(id integer) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
BEGIN
  EXECUTE format('ALTER DATABASE %I SET pgquorum.crdt_site_id = %s', current_database(), id);
  PERFORM set_config('pgquorum.crdt_site_id', id::text, false);
END
$$;

REVOKE ALL ON FUNCTION pgquorum_internal.base_type(oid), pgquorum_internal.has_merging_columns(regclass),
  pgquorum_internal.guard_arguments(regclass, text, integer, boolean), pgquorum_internal.take_site_id(integer),
  pgquorum_internal.check_strategy(text, integer, boolean, boolean) FROM PUBLIC;
