-- Multi-master: foreign keys of what is applied. The server's own triggers for them do not fire there.
--
-- A row is checked once its whole transaction is there. One that refers to a row which this site does not have, and a deletion
-- of one that is referred to here, are dead letters (23503), tried again by themselves until the reason has gone.

-- The values of some columns as conditions, or NULL when one of them is null: such a row refers to nothing.
CREATE FUNCTION pgquorum_internal.reference_condition(target oid, columns smallint[], source oid, source_columns smallint[], r json)
RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
  SELECT CASE WHEN bool_or(r ->> s.attname IS NULL) THEN NULL
              ELSE string_agg(format('t.%I = %L', a.attname, r ->> s.attname), ' AND ') END
  FROM unnest(columns, source_columns) AS c(a, s)
       JOIN pg_attribute a ON a.attrelid = target AND a.attnum = c.a
       JOIN pg_attribute s ON s.attrelid = source AND s.attnum = c.s
$$;

-- Raises 23503 when the row, which is there now, refers to one that is not.
CREATE FUNCTION pgquorum_internal.check_parents(child oid, r json) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
DECLARE
  c pg_constraint;
  condition text;
  found_there boolean;
BEGIN
  FOR c IN SELECT * FROM pg_constraint WHERE conrelid = child AND contype = 'f' AND conparentid = 0 LOOP
    condition := pgquorum_internal.reference_condition(c.confrelid, c.confkey, child, c.conkey, r);
    CONTINUE WHEN condition IS NULL;
    EXECUTE format('SELECT true FROM %s t WHERE %s FOR KEY SHARE', c.confrelid::regclass, condition) INTO found_there;
    IF found_there IS NULL THEN
      RAISE EXCEPTION 'a row of table "%" violates foreign key constraint "%" at this site', child::regclass, c.conname
        USING ERRCODE = '23503', DETAIL = format('Table %s has no row with %s.', c.confrelid::regclass, replace(condition, 't.', ''));
    END IF;
  END LOOP;
END
$$;

-- Raises 23503 when rows refer to values of a row that has gone.
CREATE FUNCTION pgquorum_internal.check_children(parent oid, r json) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
DECLARE
  c pg_constraint;
  here text;
  there text;
  found_there boolean;
BEGIN
  FOR c IN SELECT * FROM pg_constraint WHERE confrelid = parent AND contype = 'f' AND conparentid = 0 LOOP
    here := pgquorum_internal.reference_condition(parent, c.confkey, parent, c.confkey, r);
    there := pgquorum_internal.reference_condition(c.conrelid, c.conkey, parent, c.confkey, r);
    CONTINUE WHEN here IS NULL;
    -- Most updates leave the values: the table that refers to them may have no index to look them up.
    EXECUTE format('SELECT true FROM %s t WHERE %s', parent::regclass, here) INTO found_there;
    CONTINUE WHEN found_there;
    EXECUTE format('SELECT true FROM %s t WHERE %s LIMIT 1', c.conrelid::regclass, there) INTO found_there;
    IF found_there THEN
      RAISE EXCEPTION 'a deletion or update of table "%" violates foreign key constraint "%" at this site', parent::regclass, c.conname
        USING ERRCODE = '23503', DETAIL = format('Table %s has rows with %s.', c.conrelid::regclass, replace(there, 't.', ''));
    END IF;
  END LOOP;
END
$$;

-- Dead letters that go by themselves when their reason does, of tables whose letters can be retried (no arguments of the guard).
CREATE FUNCTION pgquorum_internal.waits_for_others(sqlstate text, target oid) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
  SELECT sqlstate IN ('23503', '23505')
         AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = target AND tgname = 'zz_pgquorum_guard' AND tgnargs > 0)
$$;

-- What a table with constraints between rows must be like, when it is added.
CREATE FUNCTION pgquorum_internal.check_references(target regclass, arguments text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
DECLARE
  parent regclass := (SELECT c.confrelid FROM pg_constraint c
                      WHERE c.conrelid = target AND c.contype = 'f' AND c.conparentid = 0 AND c.confrelid <> target
                        AND NOT EXISTS (SELECT FROM pgquorum_internal.replicated_table r WHERE r.relation = c.confrelid) LIMIT 1);
BEGIN
  IF parent IS NOT NULL THEN
    RAISE EXCEPTION 'table "%" refers to table "%", which is not replicated', target, parent USING ERRCODE = '55000',
      DETAIL = 'Rows that other sites insert would refer to nothing here.', HINT = format('Add table %s first.', parent);
  END IF;
  IF arguments <> '' AND (EXISTS (SELECT FROM pg_constraint WHERE contype = 'f' AND target IN (conrelid, confrelid))
                          OR EXISTS (SELECT FROM pg_index WHERE indrelid = target AND indisunique AND NOT indisprimary)) THEN
    RAISE EXCEPTION 'table "%" cannot be replicated in this way', target USING ERRCODE = '0A000',
      DETAIL = 'Unique keys beside the primary key and foreign keys go with last_writer_wins of whole rows and columns of ordinary types only.',
      HINT = 'Drop the constraint, or choose that strategy.';
  END IF;
END
$$;

REVOKE ALL ON FUNCTION pgquorum_internal.reference_condition(oid, smallint[], oid, smallint[], json),
  pgquorum_internal.check_parents(oid, json), pgquorum_internal.check_children(oid, json),
  pgquorum_internal.waits_for_others(text, oid), pgquorum_internal.check_references(regclass, text) FROM PUBLIC;
