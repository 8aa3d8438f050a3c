-- Replicated data types: what single ones can do.

-- ---- counters --------------------------------------------------------------------------------------------
DO $$
DECLARE
  t text;
  op text;
  name text;
BEGIN
  FOREACH t IN ARRAY ARRAY['g_counter', 'pn_counter'] LOOP
    EXECUTE format($f$CREATE FUNCTION crdt.value(crdt.%1$I) RETURNS bigint
      LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_counter_value'$f$, t);
    EXECUTE format('COMMENT ON FUNCTION crdt.value(crdt.%1$I) IS %2$L', t, 'the number that the counter shows');
    EXECUTE format('CREATE CAST (crdt.%1$I AS bigint) WITH FUNCTION crdt.value(crdt.%1$I) AS ASSIGNMENT', t);
    EXECUTE format($f$CREATE FUNCTION crdt.%1$s(bigint) RETURNS crdt.%1$I
      LANGUAGE c VOLATILE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_%1$s_of'$f$, t);
    EXECUTE format('COMMENT ON FUNCTION crdt.%1$s(bigint) IS %2$L', t, 'a new counter that shows the number');
    EXECUTE format('CREATE CAST (bigint AS crdt.%1$I) WITH FUNCTION crdt.%1$s(bigint) AS ASSIGNMENT', t);
    EXECUTE format('CREATE FUNCTION crdt.%1$s(integer) RETURNS crdt.%1$I LANGUAGE sql VOLATILE STRICT PARALLEL SAFE '
      'RETURN crdt.%1$s($1::bigint)', t);
    EXECUTE format('COMMENT ON FUNCTION crdt.%1$s(integer) IS %2$L', t, 'a new counter that shows the number');
    EXECUTE format('CREATE CAST (integer AS crdt.%1$I) WITH FUNCTION crdt.%1$s(integer) AS ASSIGNMENT', t);
    EXECUTE format($f$CREATE FUNCTION crdt.add(crdt.%1$I, bigint) RETURNS crdt.%1$I
      LANGUAGE c VOLATILE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_counter_add'$f$, t);
    EXECUTE format('CREATE OPERATOR pg_catalog.+ (FUNCTION = crdt.add, LEFTARG = crdt.%1$I, RIGHTARG = bigint)', t);
    EXECUTE format('COMMENT ON OPERATOR pg_catalog.+ (crdt.%1$I, bigint) IS %2$L', t, 'count up');
    FOR op, name IN VALUES ('=', 'eq'), ('<>', 'ne'), ('<', 'lt'), ('<=', 'le'), ('>', 'gt'), ('>=', 'ge') LOOP
      EXECUTE format($f$CREATE FUNCTION crdt.%2$s(crdt.%1$I, bigint) RETURNS boolean
        LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_counter_number_%2$s'$f$, t, name);
      EXECUTE format('CREATE OPERATOR pg_catalog.%2$s (FUNCTION = crdt.%3$s, LEFTARG = crdt.%1$I, RIGHTARG = bigint)',
        t, op, name);
    END LOOP;
    EXECUTE format($f$CREATE FUNCTION crdt.compare(crdt.%1$I, bigint) RETURNS integer
      LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_counter_number_cmp'$f$, t);
    EXECUTE format('ALTER OPERATOR FAMILY crdt.%1$s_ops USING btree ADD '
      'OPERATOR 1 pg_catalog.< (crdt.%1$I, bigint), OPERATOR 2 pg_catalog.<= (crdt.%1$I, bigint), '
      'OPERATOR 3 pg_catalog.= (crdt.%1$I, bigint), OPERATOR 4 pg_catalog.>= (crdt.%1$I, bigint), '
      'OPERATOR 5 pg_catalog.> (crdt.%1$I, bigint), FUNCTION 1 (crdt.%1$I, bigint) crdt.compare(crdt.%1$I, bigint)', t);
  END LOOP;
END
$$;

CREATE FUNCTION crdt.subtract(crdt.pn_counter, bigint) RETURNS crdt.pn_counter
LANGUAGE c VOLATILE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_counter_subtract';
CREATE OPERATOR pg_catalog.- (FUNCTION = crdt.subtract, LEFTARG = crdt.pn_counter, RIGHTARG = bigint);
COMMENT ON OPERATOR pg_catalog.- (crdt.pn_counter, bigint) IS 'count down';
CREATE FUNCTION crdt.reset(crdt.pn_counter) RETURNS crdt.pn_counter
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_counter_reset';
COMMENT ON FUNCTION crdt.reset(crdt.pn_counter) IS 'back to zero; what other sites count meanwhile is kept';

-- ---- sets ------------------------------------------------------------------------------------------------
DO $$
DECLARE
  t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['g_set', 'two_p_set', 'or_set'] LOOP
    EXECUTE format($f$CREATE FUNCTION crdt.elements(crdt.%1$I) RETURNS text[]
      LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_crdt_texts'$f$, t);
    EXECUTE format('COMMENT ON FUNCTION crdt.elements(crdt.%1$I) IS %2$L', t, 'the elements, sorted by bytes');
    EXECUTE format('CREATE CAST (crdt.%1$I AS text[]) WITH FUNCTION crdt.elements(crdt.%1$I) AS ASSIGNMENT', t);
    EXECUTE format($f$CREATE FUNCTION crdt.%1$s(text[]) RETURNS crdt.%1$I
      LANGUAGE c VOLATILE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_%1$s_of'$f$, t);
    EXECUTE format('COMMENT ON FUNCTION crdt.%1$s(text[]) IS %2$L', t, 'a new set of these elements');
    EXECUTE format('CREATE CAST (text[] AS crdt.%1$I) WITH FUNCTION crdt.%1$s(text[]) AS ASSIGNMENT', t);
    EXECUTE format($f$CREATE FUNCTION crdt.count(crdt.%1$I) RETURNS bigint
      LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_crdt_count'$f$, t);
    EXECUTE format('COMMENT ON FUNCTION crdt.count(crdt.%1$I) IS %2$L', t, 'how many elements the set has');
    EXECUTE format($f$CREATE FUNCTION crdt.add(crdt.%1$I, text) RETURNS crdt.%1$I
      LANGUAGE c VOLATILE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_set_add'$f$, t);
    EXECUTE format($f$CREATE FUNCTION crdt.add(crdt.%1$I, text[]) RETURNS crdt.%1$I
      LANGUAGE c VOLATILE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_set_add_all'$f$, t);
    EXECUTE format('CREATE OPERATOR pg_catalog.+ (FUNCTION = crdt.add, LEFTARG = crdt.%1$I, RIGHTARG = text)', t);
    EXECUTE format('CREATE OPERATOR pg_catalog.+ (FUNCTION = crdt.add, LEFTARG = crdt.%1$I, RIGHTARG = text[])', t);
    EXECUTE format('COMMENT ON OPERATOR pg_catalog.+ (crdt.%1$I, text) IS %2$L', t, 'add an element');
    EXECUTE format('COMMENT ON OPERATOR pg_catalog.+ (crdt.%1$I, text[]) IS %2$L', t, 'add elements');
    EXECUTE format($f$CREATE FUNCTION crdt.contains(crdt.%1$I, text) RETURNS boolean
      LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_set_contains'$f$, t);
    EXECUTE format($f$CREATE FUNCTION crdt.contains(crdt.%1$I, text[]) RETURNS boolean
      LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_set_contains_all'$f$, t);
    EXECUTE format($f$CREATE FUNCTION crdt.overlaps(crdt.%1$I, text[]) RETURNS boolean
      LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_set_overlaps'$f$, t);
    EXECUTE format('CREATE OPERATOR pg_catalog.@> (FUNCTION = crdt.contains, LEFTARG = crdt.%1$I, RIGHTARG = text, '
      'RESTRICT = contsel, JOIN = contjoinsel)', t);
    EXECUTE format('CREATE OPERATOR pg_catalog.@> (FUNCTION = crdt.contains, LEFTARG = crdt.%1$I, RIGHTARG = text[], '
      'RESTRICT = contsel, JOIN = contjoinsel)', t);
    EXECUTE format('CREATE OPERATOR pg_catalog.&& (FUNCTION = crdt.overlaps, LEFTARG = crdt.%1$I, RIGHTARG = text[], '
      'RESTRICT = contsel, JOIN = contjoinsel)', t);
    EXECUTE format('COMMENT ON OPERATOR pg_catalog.@> (crdt.%1$I, text) IS %2$L', t, 'contains the element');
    EXECUTE format('COMMENT ON OPERATOR pg_catalog.@> (crdt.%1$I, text[]) IS %2$L', t, 'contains all of the elements');
    EXECUTE format('COMMENT ON OPERATOR pg_catalog.&& (crdt.%1$I, text[]) IS %2$L', t, 'contains one of the elements');
    IF t <> 'g_set' THEN
      EXECUTE format($f$CREATE FUNCTION crdt.remove(crdt.%1$I, text) RETURNS crdt.%1$I
        LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_set_remove'$f$, t);
      EXECUTE format($f$CREATE FUNCTION crdt.remove(crdt.%1$I, text[]) RETURNS crdt.%1$I
        LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_set_remove_all'$f$, t);
      EXECUTE format('CREATE OPERATOR pg_catalog.- (FUNCTION = crdt.remove, LEFTARG = crdt.%1$I, RIGHTARG = text)', t);
      EXECUTE format('CREATE OPERATOR pg_catalog.- (FUNCTION = crdt.remove, LEFTARG = crdt.%1$I, RIGHTARG = text[])', t);
      EXECUTE format('COMMENT ON OPERATOR pg_catalog.- (crdt.%1$I, text) IS %2$L', t, 'remove an element');
      EXECUTE format('COMMENT ON OPERATOR pg_catalog.- (crdt.%1$I, text[]) IS %2$L', t, 'remove elements');
    END IF;
  END LOOP;
END
$$;

-- ---- registers -------------------------------------------------------------------------------------------
DO $$
DECLARE
  t text;
BEGIN
  FOREACH t IN ARRAY ARRAY['lww_register', 'mv_register'] LOOP
    EXECUTE format($f$CREATE FUNCTION crdt.%1$s(text) RETURNS crdt.%1$I
      LANGUAGE c VOLATILE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_%1$s_of'$f$, t);
    EXECUTE format('COMMENT ON FUNCTION crdt.%1$s(text) IS %2$L', t, 'a new register with this value');
    EXECUTE format('CREATE CAST (text AS crdt.%1$I) WITH FUNCTION crdt.%1$s(text) AS ASSIGNMENT', t);
    EXECUTE format($f$CREATE FUNCTION crdt.set(crdt.%1$I, text) RETURNS crdt.%1$I
      LANGUAGE c VOLATILE PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_register_set'$f$, t);
    EXECUTE format('COMMENT ON FUNCTION crdt.set(crdt.%1$I, text) IS %2$L', t,
      'the register with a new value, which may be null');
  END LOOP;
END
$$;
CREATE FUNCTION crdt.value(crdt.lww_register) RETURNS text
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_lww_register_text';
COMMENT ON FUNCTION crdt.value(crdt.lww_register) IS 'the value that was assigned last';
CREATE CAST (crdt.lww_register AS text) WITH FUNCTION crdt.value(crdt.lww_register) AS ASSIGNMENT;
CREATE FUNCTION crdt.values(crdt.mv_register) RETURNS text[]
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_crdt_texts';
COMMENT ON FUNCTION crdt.values(crdt.mv_register) IS 'the values that were assigned without knowledge of each other';
CREATE CAST (crdt.mv_register AS text[]) WITH FUNCTION crdt.values(crdt.mv_register) AS ASSIGNMENT;
CREATE FUNCTION crdt.count(crdt.mv_register) RETURNS bigint
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_crdt_count';
COMMENT ON FUNCTION crdt.count(crdt.mv_register) IS 'how many values the register has; more than one is a conflict';
