-- Multi-master: sequences of replicated tables give each site values of its own, with no change to the application.
--
-- A sequence counts in steps of 16, and each site starts at its own place: the remainder tells who gave a value. A site that
-- joins gets a number whose remainder no living site has, and starts above everything that its table holds.

CREATE TABLE pgquorum_internal.replicated_sequence (
  sequence oid PRIMARY KEY,
  own_increment bigint NOT NULL, -- what it had before, and will have again
  own_start bigint NOT NULL
);

CREATE FUNCTION pgquorum_internal.sequence_step() RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT 16';

-- Of identity and serial columns, and of defaults that call nextval().
CREATE FUNCTION pgquorum_internal.sequences_of(target regclass, OUT sequence regclass, OUT column_name name) RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
  SELECT DISTINCT ON (s.oid) s.oid::regclass, a.attname
  FROM pg_attribute a
       LEFT JOIN pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
       JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refclassid = 'pg_class'::regclass
                           AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum
                        OR d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid AND d.refclassid = 'pg_class'::regclass
       JOIN pg_class s ON s.relkind = 'S' AND s.oid = CASE WHEN d.classid = 'pg_class'::regclass THEN d.objid ELSE d.refobjid END
  WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped
  ORDER BY s.oid, a.attnum
$$;

-- Why a sequence cannot be spread, or NULL.
CREATE FUNCTION pgquorum_internal.sequence_problem(target regclass) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
  SELECT format('Its sequence %s %s.', s.sequence, CASE WHEN q.seqcycle THEN 'starts again when it has reached its end'
                                                        ELSE 'counts downwards' END)
  FROM pgquorum_internal.sequences_of(target) s JOIN pg_sequence q ON q.seqrelid = s.sequence
  WHERE q.seqcycle OR q.seqincrement < 0 LIMIT 1
$$;

-- By column: the lowest value that neither the sequence has given here nor a row holds.
CREATE FUNCTION pgquorum_internal.sequence_floors(target regclass) RETURNS jsonb
LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
DECLARE
  s record;
  next bigint;
  highest bigint;
  floors jsonb := '{}';
BEGIN
  FOR s IN SELECT o.*, a.atttypid IN ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype) AS counts
           FROM pgquorum_internal.sequences_of(target) o JOIN pg_attribute a ON a.attrelid = target AND a.attname = o.column_name LOOP
    EXECUTE format('SELECT last_value + is_called::integer FROM %s', s.sequence) INTO next;
    IF s.counts THEN
      EXECUTE format('SELECT max(%I) FROM %s', s.column_name, target) INTO highest;
    END IF;
    floors := floors || jsonb_build_object(s.column_name, greatest(next, highest + 1));
  END LOOP;
  RETURN floors;
END
$$;

-- The first value from `floor` on that is this site's.
CREATE FUNCTION pgquorum_internal.own_value(floor bigint) RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
  SELECT floor + mod(mod(g.site_id - floor, step) + step, step)
  FROM pgquorum_internal.replication_group g, pgquorum_internal.sequence_step() step
$$;

-- `floors`: of the site that adds the table, or through which this one joins.
CREATE FUNCTION pgquorum_internal.spread_sequences(target regclass, floors jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
DECLARE
  s record;
  own jsonb := pgquorum_internal.sequence_floors(target);
  first bigint;
BEGIN
  FOR s IN SELECT o.*, q.* FROM pgquorum_internal.sequences_of(target) o JOIN pg_sequence q ON q.seqrelid = o.sequence
           WHERE NOT EXISTS (SELECT FROM pgquorum_internal.replicated_sequence r WHERE r.sequence = o.sequence) LOOP
    first := pgquorum_internal.own_value(greatest((own ->> s.column_name)::bigint, (floors ->> s.column_name)::bigint));
    IF first > s.seqmax THEN
      RAISE EXCEPTION 'sequence % has no values left for this site', s.sequence USING ERRCODE = '55000',
        DETAIL = format('It ends at %s; each site takes every %sth value.', s.seqmax, pgquorum_internal.sequence_step());
    END IF;
    EXECUTE format('ALTER SEQUENCE %s INCREMENT BY %s START WITH %s', s.sequence, pgquorum_internal.sequence_step(),
                   pgquorum_internal.own_value(s.seqstart));
    PERFORM setval(s.sequence, first, false);
    INSERT INTO pgquorum_internal.replicated_sequence VALUES (s.sequence, s.seqincrement, s.seqstart);
  END LOOP;
END
$$;

-- Of a table that is no longer replicated; a sequence that another one uses as well stays as it is.
CREATE FUNCTION pgquorum_internal.restore_sequences(target regclass) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
DECLARE
  s record;
BEGIN
  FOR s IN DELETE FROM pgquorum_internal.replicated_sequence r USING pgquorum_internal.sequences_of(target) o
           WHERE r.sequence = o.sequence
             AND NOT EXISTS (SELECT FROM pgquorum_internal.replicated_table t, pgquorum_internal.sequences_of(t.relation) other
                             WHERE other.sequence = o.sequence AND t.relation <> target)
           RETURNING o.sequence AS name, r.own_increment, r.own_start LOOP
    EXECUTE format('ALTER SEQUENCE %s INCREMENT BY %s START WITH %s', s.name, s.own_increment, s.own_start);
  END LOOP;
END
$$;

-- For a site that joins: never given before, and no living site has its remainder.
CREATE FUNCTION pgquorum_internal.next_site_id() RETURNS integer
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
DECLARE
  living integer[] := pgquorum_internal.all_sites();
  highest integer := (SELECT max(id) FROM (SELECT unnest(living) UNION ALL SELECT site_id FROM pgquorum_internal.departed_site) s(id));
  step integer := pgquorum_internal.sequence_step();
  found integer := (SELECT min(i) FROM generate_series(highest + 1, highest + step) i
                    WHERE NOT EXISTS (SELECT FROM unnest(living) l WHERE (i - l) % step = 0));
BEGIN
  IF found IS NULL THEN
    RAISE EXCEPTION 'a replication group has % sites at most', step USING ERRCODE = '54000',
      DETAIL = 'The sequences of its tables have no place for another one.';
  END IF;
  RETURN found;
END
$$;

REVOKE ALL ON FUNCTION pgquorum_internal.sequence_step(), pgquorum_internal.sequences_of(regclass),
  pgquorum_internal.sequence_problem(regclass), pgquorum_internal.sequence_floors(regclass), pgquorum_internal.own_value(bigint),
  pgquorum_internal.spread_sequences(regclass, jsonb), pgquorum_internal.restore_sequences(regclass),
  pgquorum_internal.next_site_id() FROM PUBLIC;
