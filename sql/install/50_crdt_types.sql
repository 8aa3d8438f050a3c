-- Replicated data types: the types, their casts, and what all of them have.
-- The operators are in pg_catalog, so that they are found whatever the search path is.
CREATE SCHEMA crdt;
COMMENT ON SCHEMA crdt IS 'pgquorum: replicated data types';
GRANT USAGE ON SCHEMA crdt TO PUBLIC;

DO $$
DECLARE
  t text;
  op text;
  name text;
BEGIN
  FOREACH t IN ARRAY ARRAY['lww_register', 'g_counter', 'pn_counter', 'g_set', 'two_p_set', 'or_set', 'mv_register'] LOOP
    EXECUTE format('CREATE TYPE crdt.%I', t);
    EXECUTE format($f$CREATE FUNCTION crdt.%1$s_in(cstring) RETURNS crdt.%1$I
      LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_%1$s_in'$f$, t);
    EXECUTE format($f$CREATE FUNCTION crdt.%1$s_out(crdt.%1$I) RETURNS cstring
      LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_crdt_out'$f$, t);
    EXECUTE format($f$CREATE FUNCTION crdt.%1$s_recv(internal) RETURNS crdt.%1$I
      LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_%1$s_recv'$f$, t);
    EXECUTE format($f$CREATE FUNCTION crdt.%1$s_send(crdt.%1$I) RETURNS bytea
      LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_crdt_send'$f$, t);
    EXECUTE format('CREATE TYPE crdt.%1$I (INPUT = crdt.%1$s_in, OUTPUT = crdt.%1$s_out, RECEIVE = crdt.%1$s_recv, '
      'SEND = crdt.%1$s_send, INTERNALLENGTH = VARIABLE, ALIGNMENT = int4, STORAGE = extended)', t);

    EXECUTE format($f$CREATE FUNCTION crdt.merge(crdt.%1$I, crdt.%1$I) RETURNS crdt.%1$I
      LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_crdt_merge'$f$, t);
    EXECUTE format('COMMENT ON FUNCTION crdt.merge(crdt.%1$I, crdt.%1$I) IS %2$L', t,
      'what a site holds that has seen both');
    EXECUTE format('CREATE AGGREGATE crdt.merge(crdt.%1$I) (SFUNC = crdt.merge, STYPE = crdt.%1$I, '
      'COMBINEFUNC = crdt.merge, PARALLEL = SAFE)', t);
    EXECUTE format('COMMENT ON AGGREGATE crdt.merge(crdt.%1$I) IS %2$L', t, 'what a site holds that has seen all');
    EXECUTE format($f$CREATE FUNCTION crdt.assign(crdt.%1$I, crdt.%1$I) RETURNS crdt.%1$I
      LANGUAGE c VOLATILE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_crdt_assign'$f$, t);
    EXECUTE format('COMMENT ON FUNCTION crdt.assign(crdt.%1$I, crdt.%1$I) IS %2$L', t,
      'the first value, changed so that it shows what the second shows; the second if it is a later state of the first');

    EXECUTE format($f$CREATE FUNCTION crdt.shown(crdt.%1$I) RETURNS json
      LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_crdt_json'$f$, t);
    EXECUTE format('COMMENT ON FUNCTION crdt.shown(crdt.%1$I) IS %2$L', t, 'what the value shows, as json');
    EXECUTE format('CREATE CAST (crdt.%1$I AS json) WITH FUNCTION crdt.shown(crdt.%1$I)', t);
    EXECUTE format('CREATE FUNCTION crdt.state(crdt.%1$I) RETURNS jsonb LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE '
      'RETURN crdt.%1$s_out($1)::text::jsonb', t);
    EXECUTE format('COMMENT ON FUNCTION crdt.state(crdt.%1$I) IS %2$L', t, 'the whole state of the value, as jsonb');

    -- Order and equality are those of what is shown.
    FOR op, name IN VALUES ('=', 'eq'), ('<>', 'ne'), ('<', 'lt'), ('<=', 'le'), ('>', 'gt'), ('>=', 'ge') LOOP
      EXECUTE format($f$CREATE FUNCTION crdt.%2$s(crdt.%1$I, crdt.%1$I) RETURNS boolean
        LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_crdt_%2$s'$f$, t, name);
    END LOOP;
    EXECUTE format('CREATE OPERATOR pg_catalog.= (FUNCTION = crdt.eq, LEFTARG = crdt.%1$I, RIGHTARG = crdt.%1$I, '
      'COMMUTATOR = OPERATOR(pg_catalog.=), NEGATOR = OPERATOR(pg_catalog.<>), RESTRICT = eqsel, JOIN = eqjoinsel, '
      'HASHES, MERGES)', t);
    EXECUTE format('CREATE OPERATOR pg_catalog.<> (FUNCTION = crdt.ne, LEFTARG = crdt.%1$I, RIGHTARG = crdt.%1$I, '
      'COMMUTATOR = OPERATOR(pg_catalog.<>), NEGATOR = OPERATOR(pg_catalog.=), RESTRICT = neqsel, JOIN = neqjoinsel)', t);
    EXECUTE format('CREATE OPERATOR pg_catalog.< (FUNCTION = crdt.lt, LEFTARG = crdt.%1$I, RIGHTARG = crdt.%1$I, '
      'COMMUTATOR = OPERATOR(pg_catalog.>), NEGATOR = OPERATOR(pg_catalog.>=), RESTRICT = scalarltsel, JOIN = scalarltjoinsel)', t);
    EXECUTE format('CREATE OPERATOR pg_catalog.<= (FUNCTION = crdt.le, LEFTARG = crdt.%1$I, RIGHTARG = crdt.%1$I, '
      'COMMUTATOR = OPERATOR(pg_catalog.>=), NEGATOR = OPERATOR(pg_catalog.>), RESTRICT = scalarlesel, JOIN = scalarlejoinsel)', t);
    EXECUTE format('CREATE OPERATOR pg_catalog.> (FUNCTION = crdt.gt, LEFTARG = crdt.%1$I, RIGHTARG = crdt.%1$I, '
      'COMMUTATOR = OPERATOR(pg_catalog.<), NEGATOR = OPERATOR(pg_catalog.<=), RESTRICT = scalargtsel, JOIN = scalargtjoinsel)', t);
    EXECUTE format('CREATE OPERATOR pg_catalog.>= (FUNCTION = crdt.ge, LEFTARG = crdt.%1$I, RIGHTARG = crdt.%1$I, '
      'COMMUTATOR = OPERATOR(pg_catalog.<=), NEGATOR = OPERATOR(pg_catalog.<), RESTRICT = scalargesel, JOIN = scalargejoinsel)', t);
    EXECUTE format($f$CREATE FUNCTION crdt.compare(crdt.%1$I, crdt.%1$I) RETURNS integer
      LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_crdt_cmp'$f$, t);
    EXECUTE format($f$CREATE FUNCTION crdt.hash(crdt.%1$I) RETURNS integer
      LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_crdt_hash'$f$, t);
    EXECUTE format($f$CREATE FUNCTION crdt.hash(crdt.%1$I, bigint) RETURNS bigint
      LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_crdt_hash_extended'$f$, t);
    EXECUTE format('CREATE OPERATOR CLASS crdt.%1$s_ops DEFAULT FOR TYPE crdt.%1$I USING btree AS '
      'OPERATOR 1 pg_catalog.<, OPERATOR 2 pg_catalog.<=, OPERATOR 3 pg_catalog.=, OPERATOR 4 pg_catalog.>=, '
      'OPERATOR 5 pg_catalog.>, FUNCTION 1 crdt.compare(crdt.%1$I, crdt.%1$I)', t);
    EXECUTE format('CREATE OPERATOR CLASS crdt.%1$s_ops DEFAULT FOR TYPE crdt.%1$I USING hash AS '
      'OPERATOR 1 pg_catalog.=, FUNCTION 1 crdt.hash(crdt.%1$I), FUNCTION 2 crdt.hash(crdt.%1$I, bigint)', t);
  END LOOP;
END
$$;

CREATE FUNCTION crdt.assign() RETURNS trigger LANGUAGE c AS 'MODULE_PATHNAME', 'pgquorum_crdt_assign_trigger';
COMMENT ON FUNCTION crdt.assign() IS
  'trigger BEFORE UPDATE FOR EACH ROW: a plain value that is assigned to a replicated column becomes a change of it';

CREATE FUNCTION crdt.origin() RETURNS text LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'pgquorum_crdt_origin';
COMMENT ON FUNCTION crdt.origin() IS 'site and incarnation under which this session writes replicated values';
