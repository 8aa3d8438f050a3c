-- Multi-master: joining a group that has tables with rows, while everybody writes.
--
-- A joining site registers the group's tables, empty and closed to its own users, and its workers make their slots and take
-- what is written from now on. The worker of the site through which it joined then takes what was there before, each row and
-- each deletion with its stamp (bgworkers/replication/server/apply_copy.cpp), and opens the tables.

CREATE FUNCTION pgquorum_internal.refuse_while_joining() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
  RAISE EXCEPTION 'replicated table "%" is not complete at this site yet', TG_RELID::regclass USING ERRCODE = '55000',
    DETAIL = 'The site is joining the group and copies existing rows.', HINT = 'Wait until system.replication_peers shows no state "copying".';
END
$$;

-- At the member that a new site joins through: the tables that it will be given.
CREATE FUNCTION pgquorum_internal.tables_for_joiner() RETURNS json
LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
DECLARE
  other regclass := (SELECT tgrelid FROM pg_trigger WHERE tgname = 'zz_pgquorum_guard' AND tgnargs > 0 LIMIT 1);
BEGIN
  IF EXISTS (SELECT FROM pgquorum_internal.replication_site WHERE copy_pending) THEN
    RAISE EXCEPTION 'site % is still joining itself', (SELECT site_id FROM pgquorum_internal.replication_group)
      USING ERRCODE = '55000', HINT = 'Join through another site, or wait.';
  END IF;
  IF EXISTS (SELECT FROM pgquorum_internal.dead_letter WHERE pgquorum_internal.waits_for_others(sqlstate, to_regclass(table_name))) THEN
    RAISE EXCEPTION 'site % has rows aside that wait for others', (SELECT site_id FROM pgquorum_internal.replication_group)
      USING ERRCODE = '55000', DETAIL = 'A joining site would not be given them.',
      HINT = 'system.replication_dead_letters shows them. Join through a site that has none.';
  END IF;
  IF other IS NOT NULL THEN
    RAISE EXCEPTION 'the group has a table whose rows cannot be copied to a joining site yet' USING ERRCODE = '0A000',
      DETAIL = format('Table %s has more than the times of its rows.', other),
      HINT = 'Let all sites join before such tables are added.';
  END IF;
  RETURN (SELECT coalesce(json_agg(json_build_object('schema', n.nspname, 'name', c.relname, 'strategy', r.conflict_strategy,
                                                     'signature', pgquorum_internal.table_signature(c.oid),
                                                     'floors', pgquorum_internal.sequence_floors(c.oid))), '[]'::json)
          FROM pgquorum_internal.replicated_table r JOIN pg_class c ON c.oid = r.relation
               JOIN pg_namespace n ON n.oid = c.relnamespace);
END
$$;

-- At the new site.
CREATE FUNCTION pgquorum_internal.register_joining(schema_name text, table_name text, strategy text, signature text, floors jsonb)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
DECLARE
  target regclass := pgquorum_internal.find_table(schema_name, table_name);
  mine text := pgquorum_internal.table_signature(target);
  rows boolean;
  part regclass;
BEGIN
  IF mine <> signature THEN
    RAISE EXCEPTION 'table "%" is defined differently at this site', target
      USING ERRCODE = '42P16', DETAIL = format('There: %s. Here: %s.', signature, mine);
  END IF;
  EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', target);
  EXECUTE format('SELECT EXISTS (SELECT FROM %s)', target) INTO rows;
  IF rows THEN
    RAISE EXCEPTION 'table "%" is not empty at the joining site', target
      USING ERRCODE = '55000', HINT = 'It is given the rows of the others.';
  END IF;
  PERFORM pgquorum_internal.put_guard(target, '');
  EXECUTE format('ALTER TABLE %s DISABLE TRIGGER zz_pgquorum_guard', target);
  FOR part IN SELECT p FROM pgquorum_internal.parts_of(target) p LOOP
    EXECUTE format('CREATE TRIGGER zz_pgquorum_joining BEFORE INSERT OR UPDATE OR DELETE ON %s'
                   ' FOR EACH STATEMENT EXECUTE FUNCTION pgquorum_internal.refuse_while_joining()', part);
  END LOOP;
  PERFORM pgquorum_internal.spread_sequences(target, floors);
  INSERT INTO pgquorum_internal.replicated_table (relation, conflict_strategy) VALUES (target, strategy);
END
$$;

-- All rows are here: the tables become like those of the others.
CREATE FUNCTION pgquorum_internal.finish_join() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
DECLARE
  target regclass;
BEGIN
  FOR target IN SELECT tgrelid FROM pg_trigger WHERE tgname = 'zz_pgquorum_joining' LOOP
    EXECUTE format('ALTER TABLE %s ENABLE TRIGGER zz_pgquorum_guard', target);
    EXECUTE format('DROP TRIGGER zz_pgquorum_joining ON %s', target);
  END LOOP;
  UPDATE pgquorum_internal.replication_site SET copy_pending = false WHERE copy_pending;
END
$$;

REVOKE ALL ON FUNCTION pgquorum_internal.refuse_while_joining(), pgquorum_internal.tables_for_joiner(),
  pgquorum_internal.register_joining(text, text, text, text, jsonb), pgquorum_internal.finish_join() FROM PUBLIC;
