-- Multi-master: a table that is no longer replicated, a site that leaves, a site that is lost.
--
-- Slots and origins are taken away by the manager of the database (manager_release.cpp) once the catalogue no longer names
-- their site: whatever ends half-way here leaves no slot that keeps WAL for ever.

-- Numbers are never given again: rows and origins that bear them stay.
CREATE TABLE pgquorum_internal.departed_site (
  site_id integer PRIMARY KEY,
  departed_at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION pgquorum_internal.require_superuser() RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
BEGIN
  IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
    RAISE EXCEPTION 'only a superuser may change a replication group' USING ERRCODE = '42501';
  END IF;
END
$$;

-- A site that was removed and does not know it yet asks for nothing.
CREATE FUNCTION pgquorum_internal.asked_by(group_name text, site integer) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
DECLARE
  g pgquorum_internal.replication_group := pgquorum_internal.own_group(group_name);
BEGIN
  IF site IS DISTINCT FROM g.site_id AND NOT EXISTS (SELECT FROM pgquorum_internal.replication_site s WHERE s.site_id = site) THEN
    RAISE EXCEPTION 'site % is not in replication group "%" any more', site, group_name USING ERRCODE = '55000',
      HINT = 'Run system.leave_replication_group() with force => true there.';
  END IF;
END
$$;

-- ---- a table -------------------------------------------------------------------------------------------------

CREATE FUNCTION pgquorum_internal.drop_guard(target regclass) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
DECLARE
  part regclass;
  name text;
BEGIN
  FOR part IN SELECT p FROM pgquorum_internal.parts_of(target) p LOOP
    FOR name IN SELECT tgname FROM pg_trigger WHERE tgrelid = part AND tgname ~ '^zz_pgquorum_' AND tgparentid = 0 LOOP
      EXECUTE format('DROP TRIGGER %I ON %s', name, part);
    END LOOP;
    EXECUTE format('ALTER TABLE %s REPLICA IDENTITY DEFAULT', part);
  END LOOP;
END
$$;

-- From here on this site's writes stay here; what others have sent is still taken.
CREATE FUNCTION pgquorum_internal.stop_capture(group_name text, asker integer, schema_name text, table_name text) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog SET client_min_messages = 'warning' AS $$
BEGIN
  PERFORM pgquorum_internal.asked_by(group_name, asker);
  EXECUTE format('ALTER TABLE %s DISABLE TRIGGER zz_pgquorum_guard', pgquorum_internal.find_table(schema_name, table_name));
  RETURN 'stopped';
END
$$;

CREATE FUNCTION pgquorum_internal.forget_table(group_name text, asker integer, schema_name text, table_name text) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
DECLARE
  target oid := pgquorum_internal.find_table(schema_name, table_name);
BEGIN
  PERFORM pgquorum_internal.asked_by(group_name, asker);
  DELETE FROM pgquorum_internal.replicated_table WHERE relation = target;
  PERFORM pgquorum_internal.drop_guard(target), pgquorum_internal.restore_sequences(target);
  DELETE FROM pgquorum_internal.tombstone WHERE relation = target;
  DELETE FROM pgquorum_internal.row_state WHERE relation = target;
  RETURN 'forgotten';
END
$$;

CREATE FUNCTION pgquorum_internal.ask_others(statement text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
DECLARE
  other record;
BEGIN
  FOR other IN SELECT conninfo FROM pgquorum_internal.replication_site ORDER BY site_id LOOP
    PERFORM pgquorum_internal.ask_site(other.conninfo, statement);
  END LOOP;
END
$$;

CREATE FUNCTION pgquorum_internal.await_others(what text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
BEGIN
  IF NOT pgquorum_internal.others_have_applied('30 seconds') THEN
    RAISE EXCEPTION 'not all sites have applied what was written at site %',
      (SELECT site_id FROM pgquorum_internal.replication_group)
      USING ERRCODE = '55000', DETAIL = what, HINT = 'system.replication_peers says which one does not acknowledge.';
  END IF;
END
$$;

CREATE FUNCTION system.remove_replicated_table(group_name text, table_name regclass) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog SET client_min_messages = 'warning' AS $$
DECLARE
  relation text;
  g pgquorum_internal.replication_group;
BEGIN
  PERFORM pgquorum_internal.require_superuser();
  g := pgquorum_internal.own_group(group_name);
  SELECT format('(%L, %s, %L, %L)', group_name, g.site_id, n.nspname, c.relname) INTO relation
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       JOIN pgquorum_internal.replicated_table r ON r.relation = c.oid WHERE c.oid = table_name;
  IF relation IS NULL THEN
    RAISE EXCEPTION 'table "%" is not replicated', coalesce(table_name::text, 'NULL') USING ERRCODE = '42704';
  END IF;
  PERFORM pgquorum_internal.ask_others(format('SELECT pgquorum_internal.asked_by(%L, %s)', group_name, g.site_id));
  IF NOT pgquorum_internal.all_have_applied('30 seconds') THEN
    RAISE EXCEPTION 'not all sites have applied what was written to the table' USING ERRCODE = '55000',
      DETAIL = 'Nothing was changed.', HINT = 'Ask again when system.replication_peers shows that all sites stream.';
  END IF;
  -- The others stop, what they had sent arrives here; then this site stops, and what it had sent arrives there.
  PERFORM pgquorum_internal.ask_others('SELECT pgquorum_internal.stop_capture' || relation);
  IF NOT pgquorum_internal.all_have_applied('30 seconds') THEN
    RAISE EXCEPTION 'not all sites have applied what was written to the table' USING ERRCODE = '55000',
      DETAIL = 'The others capture no changes of it any more.',
      HINT = 'Ask again when system.replication_peers shows that all sites stream.';
  END IF;
  EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', table_name);
  PERFORM pgquorum_internal.await_others('The others capture no changes of the table any more; ask again.');
  PERFORM pgquorum_internal.ask_others('SELECT pgquorum_internal.forget_table' || relation);
  EXECUTE 'SELECT pgquorum_internal.forget_table' || relation;
END
$$;
COMMENT ON FUNCTION system.remove_replicated_table(text, regclass) IS
  'makes a table each site''s own again, at every site, with the same rows; every site has to be reachable';

-- ---- a site --------------------------------------------------------------------------------------------------

CREATE FUNCTION pgquorum_internal.site_has_left(group_name text, asker integer, id integer) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
BEGIN
  PERFORM pgquorum_internal.asked_by(group_name, asker);
  INSERT INTO pgquorum_internal.departed_site (site_id) VALUES (id) ON CONFLICT DO NOTHING;
  DELETE FROM pgquorum_internal.replication_site WHERE site_id = id;
  DELETE FROM pgquorum_internal.replication_activity WHERE site_id = id;
  RETURN 'noted';
END
$$;

CREATE FUNCTION system.leave_replication_group(group_name text, force boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog SET client_min_messages = 'warning' AS $$
DECLARE
  g pgquorum_internal.replication_group;
  target regclass;
BEGIN
  PERFORM pgquorum_internal.require_superuser();
  g := pgquorum_internal.own_group(group_name);
  FOR target IN SELECT relation FROM pgquorum_internal.replicated_table ORDER BY 1 LOOP
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', target);
  END LOOP;
  IF NOT coalesce(force, false) THEN
    PERFORM pgquorum_internal.await_others('Nothing was changed. With force => true this site leaves, and they may miss it.');
    PERFORM pgquorum_internal.ask_others(format('SELECT pgquorum_internal.asked_by(%L, %s)', group_name, g.site_id));
    PERFORM pgquorum_internal.ask_others(format('SELECT pgquorum_internal.site_has_left(%L, %s, %s)', group_name, g.site_id, g.site_id));
  END IF;
  FOR target IN DELETE FROM pgquorum_internal.replicated_table RETURNING relation LOOP
    PERFORM pgquorum_internal.drop_guard(target), pgquorum_internal.restore_sequences(target);
  END LOOP;
  DELETE FROM pgquorum_internal.tombstone;
  DELETE FROM pgquorum_internal.row_state;
  DELETE FROM pgquorum_internal.replication_activity;
  DELETE FROM pgquorum_internal.replication_site;
  DELETE FROM pgquorum_internal.departed_site;
  DELETE FROM pgquorum_internal.replication_group;
END
$$;
COMMENT ON FUNCTION system.leave_replication_group(text, boolean) IS
  'takes this site out of its group once the others have its writes; its tables stay as they are. Forced: without asking the others';

CREATE FUNCTION system.remove_replication_site(group_name text, site_id integer, force boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog AS $$
#variable_conflict use_column
DECLARE
  lost pgquorum_internal.replication_site;
  other record;
  g pgquorum_internal.replication_group;
  answers boolean := true;
BEGIN
  PERFORM pgquorum_internal.require_superuser();
  g := pgquorum_internal.own_group(group_name);
  SELECT * INTO lost FROM pgquorum_internal.replication_site s WHERE s.site_id = remove_replication_site.site_id;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no other site %', coalesce(remove_replication_site.site_id::text, 'NULL') USING ERRCODE = '42704',
      HINT = 'system.replication_peers shows them. A site leaves by itself with system.leave_replication_group().';
  END IF;
  IF NOT coalesce(force, false) THEN
    BEGIN
      PERFORM pgquorum_internal.ask_site(lost.conninfo, 'SELECT 1');
    EXCEPTION WHEN connection_failure THEN
      answers := false;
    END;
    IF answers THEN
      RAISE EXCEPTION 'site % is not lost: it answers', lost.site_id USING ERRCODE = '55000',
        HINT = 'Run system.leave_replication_group() there. With force => true it is removed all the same.';
    END IF;
  END IF;
  FOREACH answers IN ARRAY ARRAY[false, true] LOOP  -- all can be asked, then all are told
    FOR other IN SELECT s.conninfo FROM pgquorum_internal.replication_site s WHERE s.site_id <> lost.site_id LOOP
      PERFORM pgquorum_internal.ask_site(other.conninfo, CASE WHEN answers
        THEN format('SELECT pgquorum_internal.site_has_left(%L, %s, %s)', group_name, g.site_id, lost.site_id)
        ELSE format('SELECT pgquorum_internal.asked_by(%L, %s)', group_name, g.site_id) END);
    END LOOP;
  END LOOP;
  PERFORM pgquorum_internal.site_has_left(group_name, g.site_id, lost.site_id);
END
$$;
COMMENT ON FUNCTION system.remove_replication_site(text, integer, boolean) IS
  'takes a site that is lost out of the group, at all others; refused while it answers, unless forced';

REVOKE ALL ON FUNCTION system.remove_replicated_table(text, regclass), system.leave_replication_group(text, boolean),
  system.remove_replication_site(text, integer, boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION pgquorum_internal.require_superuser(), pgquorum_internal.drop_guard(regclass),
  pgquorum_internal.stop_capture(text, integer, text, text), pgquorum_internal.forget_table(text, integer, text, text),
  pgquorum_internal.ask_others(text), pgquorum_internal.await_others(text),
  pgquorum_internal.site_has_left(text, integer, integer),
  pgquorum_internal.asked_by(text, integer) FROM PUBLIC;
