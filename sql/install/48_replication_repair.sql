-- Multi-master: a row becomes at every site what it is at one of them, by an ordinary write.

CREATE FUNCTION pgquorum_internal.ask_site_number(site integer, statement text) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
DECLARE
  answer text;
BEGIN
  IF site = (SELECT site_id FROM pgquorum_internal.replication_group) THEN
    EXECUTE statement INTO answer;
    RETURN answer;
  END IF;
  RETURN pgquorum_internal.ask_site((SELECT conninfo FROM pgquorum_internal.replication_site WHERE site_id = site), statement);
END
$$;

-- The row with that key, given as an object of its columns' values.
CREATE FUNCTION pgquorum_internal.key_condition(target regclass, key jsonb) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
  SELECT string_agg(format('%I = %L', k.name, key ->> k.name), ' AND ') FROM pgquorum_internal.key_columns(target) k
$$;

CREATE FUNCTION pgquorum_internal.write_row_again(group_name text, schema_name text, table_name text, key jsonb, asker integer)
RETURNS text LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog SET pgquorum.overrule_conflicts = on AS $$
DECLARE
  target regclass := pgquorum_internal.find_table(schema_name, table_name);
BEGIN
  PERFORM pgquorum_internal.asked_by(group_name, asker);
  RETURN CASE pgquorum_internal.touch_rows(target, pgquorum_internal.key_condition(target, key)) WHEN 0 THEN 'none' ELSE 'written' END;
END
$$;

CREATE FUNCTION pgquorum_internal.delete_row(group_name text, schema_name text, table_name text, key jsonb, asker integer)
RETURNS text LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog SET pgquorum.overrule_conflicts = on AS $$
DECLARE
  target regclass := pgquorum_internal.find_table(schema_name, table_name);
  rows bigint;
BEGIN
  PERFORM pgquorum_internal.asked_by(group_name, asker);
  EXECUTE format('DELETE FROM %s WHERE %s', target, pgquorum_internal.key_condition(target, key));
  GET DIAGNOSTICS rows = ROW_COUNT;
  RETURN CASE rows WHEN 0 THEN 'none' ELSE 'deleted' END;
END
$$;

CREATE FUNCTION system.repair_row(group_name text, table_name regclass, key jsonb, source_site_id integer)
RETURNS text LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog AS $$
DECLARE
  g pgquorum_internal.replication_group := pgquorum_internal.own_group(group_name);
  sites integer[] := pgquorum_internal.all_sites();
  relation text[];
  missing text;
  call text;
  answers text[];
BEGIN
  SELECT ARRAY[n.nspname, c.relname] INTO relation
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       JOIN pgquorum_internal.replicated_table r ON r.relation = c.oid WHERE c.oid = table_name;
  IF relation IS NULL THEN
    RAISE EXCEPTION 'table "%" is not replicated', coalesce(table_name::text, 'NULL') USING ERRCODE = '42704';
  END IF;
  IF source_site_id IS NULL OR source_site_id <> ALL (sites) THEN
    RAISE EXCEPTION 'there is no site %', coalesce(source_site_id::text, 'NULL') USING ERRCODE = '42704';
  END IF;
  SELECT k.name INTO missing FROM pgquorum_internal.key_columns(table_name) k WHERE key ->> k.name IS NULL;
  IF missing IS NOT NULL OR key IS NULL THEN
    RAISE EXCEPTION 'the key has no value for column "%"', missing USING ERRCODE = '22023',
      HINT = 'For example: ''{"id": 1}''.';
  END IF;
  call := format('(%L, %L, %L, %L, %s)', group_name, relation[1], relation[2], key, g.site_id);
  answers := ARRAY[pgquorum_internal.ask_site_number(source_site_id, 'SELECT pgquorum_internal.write_row_again' || call)];
  IF answers = ARRAY['written'] THEN
    RETURN 'written again';
  END IF;
  -- It is not there: it shall be nowhere. Whoever has it deletes it.
  FOR i IN 1 .. cardinality(sites) LOOP
    CONTINUE WHEN sites[i] = source_site_id;
    answers := answers || pgquorum_internal.ask_site_number(sites[i], 'SELECT pgquorum_internal.delete_row' || call);
  END LOOP;
  IF 'deleted' = ANY (answers) THEN
    RETURN 'deleted';
  END IF;
  RETURN 'there is no such row';
END
$$;
COMMENT ON FUNCTION system.repair_row(text, regclass, jsonb, integer) IS
  'makes a row at every site what it is at one of them, by a write that is newer than all others; a row that is not there is deleted';

REVOKE ALL ON FUNCTION system.repair_row(text, regclass, jsonb, integer) FROM PUBLIC;
REVOKE ALL ON FUNCTION pgquorum_internal.ask_site_number(integer, text), pgquorum_internal.key_condition(regclass, jsonb),
  pgquorum_internal.write_row_again(text, text, text, jsonb, integer), pgquorum_internal.delete_row(text, text, text, jsonb, integer) FROM PUBLIC;
