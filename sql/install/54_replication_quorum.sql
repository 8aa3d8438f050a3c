-- Multi-master: commits that other sites have applied, reads that have seen other sites' commits.

CREATE FUNCTION pgquorum_internal.check_write_quorum(write_quorum integer) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
BEGIN
  IF write_quorum IS NULL OR write_quorum NOT BETWEEN 1 AND pgquorum_internal.sequence_step() THEN
    RAISE EXCEPTION 'write_quorum must be between 1 and %', pgquorum_internal.sequence_step() USING ERRCODE = '22023',
      DETAIL = 'It is the number of sites that have applied a transaction when its commit returns, this one included.';
  END IF;
END
$$;

CREATE FUNCTION pgquorum_internal.take_write_quorum(group_name text, asker integer, write_quorum integer) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
BEGIN
  PERFORM pgquorum_internal.asked_by(group_name, asker);
  UPDATE pgquorum_internal.replication_group g SET write_quorum = take_write_quorum.write_quorum;
  RETURN 'taken';
END
$$;

CREATE FUNCTION system.set_write_quorum(group_name text, write_quorum integer) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog AS $$
DECLARE
  g pgquorum_internal.replication_group;
  call text;
BEGIN
  PERFORM pgquorum_internal.require_superuser();
  g := pgquorum_internal.own_group(group_name);
  PERFORM pgquorum_internal.check_write_quorum(write_quorum);
  IF write_quorum > cardinality(pgquorum_internal.all_sites()) THEN
    RAISE EXCEPTION 'the group has % sites', cardinality(pgquorum_internal.all_sites()) USING ERRCODE = '22023',
      DETAIL = 'No commit could reach a larger write_quorum.';
  END IF;
  call := format('SELECT pgquorum_internal.take_write_quorum(%L, %s, %s)', group_name, g.site_id, write_quorum);
  PERFORM pgquorum_internal.ask_others(format('SELECT pgquorum_internal.asked_by(%L, %s)', group_name, g.site_id));
  PERFORM pgquorum_internal.ask_others(call);
  EXECUTE call;
END
$$;
COMMENT ON FUNCTION system.set_write_quorum(text, integer) IS
  'sites that must have applied a transaction when its commit returns, the committing one included; at every site, all reachable';

-- ---- reads ---------------------------------------------------------------------------------------------------

CREATE FUNCTION pgquorum_internal.last_replicated_commit() RETURNS pg_lsn
LANGUAGE c VOLATILE PARALLEL RESTRICTED AS '$libdir/pgquorum_replication', 'pgquorum_last_replicated_commit';
COMMENT ON FUNCTION pgquorum_internal.last_replicated_commit() IS 'where this session''s newest commit of replicated rows ends';

CREATE FUNCTION pgquorum_internal.refuse_old_snapshot() RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'other sites can be awaited at isolation level read committed only' USING ERRCODE = '25001',
      DETAIL = 'What arrives is not seen by a transaction that has its snapshot.', HINT = 'Wait before the transaction begins.';
  END IF;
END
$$;

CREATE FUNCTION system.consistency_token() RETURNS text
LANGUAGE sql VOLATILE PARALLEL RESTRICTED SECURITY DEFINER SET search_path = pg_catalog AS $$
  SELECT site_id || ':' || pgquorum_internal.last_replicated_commit() FROM pgquorum_internal.replication_group
$$;
COMMENT ON FUNCTION system.consistency_token() IS
  'names this session''s newest commit of replicated rows, for system.await_token() at another site; NULL: there was none';

CREATE FUNCTION system.await_token(token text, patience interval DEFAULT '10 seconds') RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
  until timestamptz := clock_timestamp() + patience;
  parts text[] := regexp_match(token, '^([0-9]{1,5}):([0-9A-F]{1,8}/[0-9A-F]{1,8})$');
  own integer := (SELECT g.site_id FROM pgquorum_internal.replication_group g);
  site integer := parts[1]::integer;
BEGIN
  PERFORM pgquorum_internal.refuse_old_snapshot();
  IF token IS NULL THEN
    RETURN;  -- of a session that has written nothing
  END IF;
  IF site IS NULL THEN
    RAISE EXCEPTION 'invalid consistency token: "%"', token USING ERRCODE = '22023', HINT = 'system.consistency_token() makes them.';
  END IF;
  IF site IS DISTINCT FROM own AND NOT EXISTS (SELECT FROM pgquorum_internal.replication_site s WHERE s.site_id = site) THEN
    RAISE EXCEPTION 'there is no site %', site USING ERRCODE = '42704';
  END IF;
  WHILE site <> own AND coalesce(pg_replication_origin_progress(pgquorum_internal.slot_name(site), false) < parts[2]::pg_lsn, true) LOOP
    IF clock_timestamp() > until THEN
      RAISE EXCEPTION 'this site has not applied in time what the token names' USING ERRCODE = '55000',
        HINT = 'system.replication_peers shows what keeps it. Wait longer, or read at the site that wrote.';
    END IF;
    PERFORM pg_sleep(0.002);
  END LOOP;
END
$$;
COMMENT ON FUNCTION system.await_token(text, interval) IS
  'returns when this site has applied what the token names: what follows reads it';

CREATE FUNCTION system.await_all_sites(patience interval DEFAULT '10 seconds') RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
  g pgquorum_internal.replication_group;
BEGIN
  PERFORM pgquorum_internal.refuse_old_snapshot();
  SELECT * INTO g FROM pgquorum_internal.replication_group;
  PERFORM pgquorum_internal.send_to_sites(coalesce(array_agg(conninfo ORDER BY site_id), '{}'),
    coalesce(array_agg(format('SELECT pgquorum_internal.others_have_applied(%L, %s)', patience, g.site_id)), '{}'))
  FROM pgquorum_internal.replication_site;
  IF 'f' = ANY (pgquorum_internal.answers_of_sites()) THEN
    RAISE EXCEPTION 'this site has not applied in time what the others had committed' USING ERRCODE = '55000',
      HINT = 'system.replication_peers shows what keeps it.';
  END IF;
END
$$;
COMMENT ON FUNCTION system.await_all_sites(interval) IS
  'returns when this site has applied everything that was committed at any site when it was called; all have to be reachable';

REVOKE ALL ON FUNCTION system.set_write_quorum(text, integer), pgquorum_internal.check_write_quorum(integer),
  pgquorum_internal.take_write_quorum(text, integer, integer), pgquorum_internal.last_replicated_commit(),
  pgquorum_internal.refuse_old_snapshot(), system.consistency_token(), system.await_token(text, interval),
  system.await_all_sites(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION system.consistency_token(), system.await_token(text, interval), system.await_all_sites(interval)
  TO pgquorum_monitor;
