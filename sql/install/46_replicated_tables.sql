-- Multi-master: tables of a group.

-- A table and, if it is partitioned, its partitions at all levels.
CREATE FUNCTION pgquorum_internal.parts_of(relation regclass) RETURNS SETOF regclass
LANGUAGE sql STABLE SET search_path = pg_catalog
AS $$ SELECT relation UNION SELECT relid FROM pg_partition_tree(relation) $$;

-- What stands in the way of replicating a table, or one of its partitions.
CREATE FUNCTION pgquorum_internal.check_part(relation regclass, OUT problem text, OUT advice text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
DECLARE
  c pg_class;
  pkey pg_index;
BEGIN
  SELECT * INTO c FROM pg_class WHERE oid = relation;
  SELECT * INTO pkey FROM pg_index WHERE indrelid = relation AND indisprimary AND indisvalid;
  IF c.relkind NOT IN ('r', 'p') OR c.relpersistence <> 'p'
     OR EXISTS (SELECT FROM pg_inherits JOIN pg_class h ON h.oid = inhrelid
                WHERE relation IN (inhrelid, inhparent) AND NOT h.relispartition) THEN
    problem := 'Only ordinary and partitioned tables can be replicated: no view, no parent or child, not temporary, not unlogged.';
  ELSIF c.relnamespace::regnamespace::text IN ('pg_catalog', 'information_schema', 'system', 'pgquorum_internal') THEN
    problem := 'It belongs to the system.';
  ELSIF pkey IS NULL THEN
    problem := 'It has no primary key, so that its rows cannot be told apart at other sites.';
    advice := format('ALTER TABLE %s ADD PRIMARY KEY (…);', relation);
  ELSIF NOT pkey.indimmediate THEN
    problem := 'Its primary key is deferrable.';
  ELSIF EXISTS (SELECT FROM pg_index WHERE indrelid = relation AND (indisexclusion OR indisunique AND NOT indimmediate)) THEN
    problem := 'It has an exclusion constraint or a deferrable unique one.';
    advice := 'Use a unique constraint that is not deferrable.';
  ELSIF c.relispartition AND EXISTS (SELECT FROM pg_constraint WHERE contype = 'f' AND conrelid = relation AND conparentid = 0) THEN
    problem := 'It is a partition with a foreign key of its own.';
    advice := 'Declare the foreign key for the partitioned table.';
  ELSIF EXISTS (SELECT FROM pg_attribute WHERE attrelid = relation AND attgenerated <> '' AND attnum = ANY (pkey.indkey::smallint[])) THEN
    problem := 'A column of its primary key is generated.';
  ELSIF EXISTS (SELECT FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
                JOIN pg_type b ON b.oid = pgquorum_internal.base_type(t.oid)
                WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND b.oid <> t.oid
                  AND b.typnamespace::regnamespace::text = 'crdt') THEN
    problem := 'It has a column of a domain over a replicated type; what a merge makes might not satisfy the domain.';
    advice := 'Use the type itself, and a CHECK of the table if need be.';
  ELSIF EXISTS (SELECT FROM unnest(pkey.indclass::oid[], pkey.indcollation::oid[]) AS k(class, coll)
                JOIN pg_opclass o ON o.oid = k.class
                LEFT JOIN pg_amproc p ON p.amprocfamily = o.opcfamily AND p.amproclefttype = o.opcintype
                  AND p.amprocrighttype = o.opcintype AND p.amprocnum = 4
                LEFT JOIN pg_collation l ON l.oid = k.coll
                WHERE p.oid IS NULL OR NOT coalesce(l.collisdeterministic, true)) THEN
    problem := 'Equal values of its key can be written differently (numeric, floating point, case-insensitive text).';
    advice := 'Use a key of integers, text, uuid, dates or times.';
  ELSE
    problem := pgquorum_internal.sequence_problem(relation);
  END IF;
END
$$;

-- What makes a table fit, or why it does not; the answer is what must be the same at every site. How it is partitioned need not be.
CREATE FUNCTION pgquorum_internal.table_signature(relation regclass) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
DECLARE
  part regclass;
  problem text;
  advice text;
BEGIN
  IF (SELECT relispartition FROM pg_class WHERE oid = relation) THEN
    RAISE EXCEPTION 'table "%" cannot be replicated', relation
      USING ERRCODE = '55000', DETAIL = 'It is a partition.', HINT = 'Add the partitioned table; its partitions come with it.';
  END IF;
  FOR part IN SELECT p FROM pgquorum_internal.parts_of(relation) p ORDER BY p <> relation, p LOOP
    SELECT * INTO problem, advice FROM pgquorum_internal.check_part(part);
    IF problem IS NOT NULL THEN
      RAISE EXCEPTION 'table "%" cannot be replicated', part
        USING ERRCODE = '55000', DETAIL = problem, HINT = coalesce(advice, 'docs/multi-master.md says which tables can be.');
    END IF;
  END LOOP;
  RETURN (SELECT string_agg(format('%I %s%s%s%s', attname, format_type(atttypid, atttypmod),
                                   CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END,
                                   CASE WHEN attnum = ANY (i.indkey::smallint[]) THEN ' KEY' ELSE '' END,
                                   CASE WHEN attgenerated <> '' THEN ' GENERATED ' || pg_get_expr(d.adbin, d.adrelid) ELSE '' END), ', ' ORDER BY attname)
          FROM pg_attribute JOIN pg_index i ON i.indrelid = attrelid AND i.indisprimary
               LEFT JOIN pg_attrdef d ON d.adrelid = attrelid AND d.adnum = attnum
          WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped);
END
$$;

-- ---- the guard -------------------------------------------------------------------------------------------

-- Of a table or partition: what rows need to be told apart in the log, and the trigger that partitions do not inherit.
CREATE FUNCTION pgquorum_internal.prepare_part(part regclass) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
BEGIN
  -- In this order: the second fires adopt_partitions(), which must find nothing to do.
  EXECUTE format('CREATE TRIGGER zz_pgquorum_guard_truncate BEFORE TRUNCATE ON %s'
                 ' EXECUTE FUNCTION pgquorum_internal.replication_guard()', part);
  EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', part);
END
$$;

CREATE FUNCTION pgquorum_internal.put_guard(target regclass, arguments text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
BEGIN
  PERFORM pgquorum_internal.prepare_part(p) FROM pgquorum_internal.parts_of(target) p;
  EXECUTE format('CREATE TRIGGER zz_pgquorum_guard BEFORE INSERT OR UPDATE OR DELETE ON %s'
                 ' FOR EACH ROW EXECUTE FUNCTION pgquorum_internal.replication_guard(%s)', target, arguments);
END
$$;

-- A partition that is made or attached later. Rows that it brings along would be at this site only.
CREATE FUNCTION pgquorum_internal.adopt_partitions() RETURNS event_trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
  part regclass;
  rows boolean;
BEGIN
  FOR part IN SELECT p FROM pgquorum_internal.replicated_table r JOIN pg_class c ON c.oid = r.relation AND c.relkind = 'p',
                            LATERAL pgquorum_internal.parts_of(r.relation) p
              WHERE NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = p AND tgname = 'zz_pgquorum_guard_truncate') LOOP
    EXECUTE format('SELECT EXISTS (SELECT FROM %s)', part) INTO rows;
    IF rows THEN
      RAISE EXCEPTION 'table "%" has rows and cannot become a partition of a replicated table', part USING ERRCODE = '55000',
        DETAIL = 'The other sites would not be sent them.', HINT = 'Attach it empty, and insert the rows.';
    END IF;
    PERFORM pgquorum_internal.prepare_part(part);
  END LOOP;
END
$$;
CREATE EVENT TRIGGER pgquorum_partitions ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE')
  EXECUTE FUNCTION pgquorum_internal.adopt_partitions();

-- Writes rows once more as they are. No column may be named that only defaults can be assigned to; a table may have no other.
CREATE FUNCTION pgquorum_internal.touch_rows(target regclass, condition text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
DECLARE
  touched record;
  rows bigint;
BEGIN
  SELECT a.attname AS name, a.attidentity = 'a' AS always INTO touched
  FROM pg_attribute a LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY (i.indkey::smallint[])
  WHERE a.attrelid = target AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
  ORDER BY a.attidentity = 'a', i.indrelid IS NULL, a.attnum LIMIT 1;
  IF touched.always THEN
    EXECUTE format('ALTER TABLE %s ALTER %I SET GENERATED BY DEFAULT', target, touched.name);
  END IF;
  EXECUTE format('UPDATE %s SET %I = %2$I WHERE %s', target, touched.name, condition);
  GET DIAGNOSTICS rows = ROW_COUNT;
  IF touched.always THEN
    EXECUTE format('ALTER TABLE %s ALTER %I SET GENERATED ALWAYS', target, touched.name);
  END IF;
  RETURN rows;
END
$$;

-- A change that is made before the slot of a peer exists would never reach it.
CREATE FUNCTION pgquorum_internal.await_peers() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
DECLARE
  until timestamptz := clock_timestamp() + interval '30 seconds';
  missing integer;
  own oid := (SELECT oid FROM pg_database WHERE datname = current_database());
BEGIN
  LOOP
    SELECT min(site_id) INTO missing FROM pgquorum_internal.replication_site s
    WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = format('pgquorum_%s_%s', own, s.site_id)
                      AND confirmed_flush_lsn IS NOT NULL);
    EXIT WHEN missing IS NULL;
    IF clock_timestamp() > until THEN
      RAISE EXCEPTION 'site % is not connected to site %', missing,
        (SELECT g.site_id FROM pgquorum_internal.replication_group g)
        USING ERRCODE = '08006', HINT = 'system.replication_peers of that site says why.';
    END IF;
    PERFORM pg_sleep(0.05);
  END LOOP;
END
$$;

CREATE FUNCTION pgquorum_internal.find_table(schema_name text, table_name text) RETURNS regclass
LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
DECLARE
  found regclass := to_regclass(format('%I.%I', schema_name, table_name));
BEGIN
  IF found IS NULL THEN
    RAISE EXCEPTION 'table "%.%" does not exist at site %', schema_name, table_name,
      (SELECT g.site_id FROM pgquorum_internal.replication_group g)
      USING ERRCODE = '42P01', HINT = 'Create it at every site, with the same columns.';
  END IF;
  RETURN found;
END
$$;

-- At a peer, before anything is done.
CREATE FUNCTION pgquorum_internal.check_table(group_name text, schema_name text, table_name text, signature text)
RETURNS text LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
DECLARE
  g pgquorum_internal.replication_group := pgquorum_internal.own_group(group_name);
  relation regclass := pgquorum_internal.find_table(schema_name, table_name);
  mine text := pgquorum_internal.table_signature(relation);
BEGIN
  IF mine <> signature THEN
    RAISE EXCEPTION 'table "%" is defined differently at site %', relation, g.site_id
      USING ERRCODE = '42P16', DETAIL = format('There: %s. Here: %s.', mine, signature);
  END IF;
  PERFORM pgquorum_internal.await_peers();
  RETURN 'fits';
END
$$;

CREATE FUNCTION pgquorum_internal.register_table(schema_name text, table_name text, strategy text, must_be_empty boolean,
  primary_site integer DEFAULT NULL, column_level boolean DEFAULT false, floors jsonb DEFAULT '{}')
RETURNS text LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
DECLARE
  target regclass := pgquorum_internal.find_table(schema_name, table_name);
  own pgquorum_internal.replication_group;
  arguments text;
  rows boolean;
BEGIN
  IF EXISTS (SELECT FROM pgquorum_internal.replicated_table r WHERE r.relation = target) THEN
    RETURN 'registered before';
  END IF;
  SELECT * INTO own FROM pgquorum_internal.replication_group;
  EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', target);
  EXECUTE format('SELECT EXISTS (SELECT FROM %s)', target) INTO rows;
  IF must_be_empty AND rows THEN
    RAISE EXCEPTION 'table "%" is not empty at site %', target,
      (SELECT g.site_id FROM pgquorum_internal.replication_group g)
      USING ERRCODE = '55000', HINT = 'Only the site at which the table is added may have rows; they are sent to the others.';
  END IF;
  arguments := pgquorum_internal.guard_arguments(target, coalesce(strategy, own.conflict_strategy),
                                                 coalesce(primary_site, own.primary_site), column_level);
  PERFORM pgquorum_internal.check_references(target, arguments), pgquorum_internal.put_guard(target, arguments);
  IF pgquorum_internal.has_merging_columns(target) THEN
    EXECUTE format('CREATE TRIGGER zz_pgquorum_assign BEFORE UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION crdt.assign()', target);
  END IF;
  PERFORM pgquorum_internal.spread_sequences(target, floors);
  INSERT INTO pgquorum_internal.replicated_table (relation, conflict_strategy, primary_site, column_level)
  VALUES (target, strategy, primary_site, column_level);
  RETURN 'registered';
END
$$;

CREATE FUNCTION system.add_replicated_table(group_name text, table_name regclass, conflict_strategy text DEFAULT NULL,
  column_level boolean DEFAULT false, primary_site integer DEFAULT NULL)
RETURNS void LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog AS $$
DECLARE
  g pgquorum_internal.replication_group;
  schema_name text;
  name text;
  signature text;
  other record;
  floors jsonb;
BEGIN
  g := pgquorum_internal.own_group(group_name);
  PERFORM pgquorum_internal.check_replication_server();
  column_level := coalesce(column_level, false);
  PERFORM pgquorum_internal.check_strategy(coalesce(conflict_strategy, g.conflict_strategy),
    CASE WHEN conflict_strategy IS NULL THEN coalesce(primary_site, g.primary_site) ELSE primary_site END, column_level,
    pgquorum_internal.has_merging_columns(table_name));
  SELECT n.nspname, c.relname INTO schema_name, name
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = table_name;
  signature := pgquorum_internal.table_signature(table_name);
  PERFORM pgquorum_internal.check_references(table_name, pgquorum_internal.guard_arguments(table_name,
    coalesce(conflict_strategy, g.conflict_strategy), coalesce(primary_site, g.primary_site), column_level));
  IF EXISTS (SELECT FROM pgquorum_internal.replicated_table WHERE relation = table_name) THEN
    RAISE EXCEPTION 'table "%" is already replicated', table_name USING ERRCODE = '42710';
  END IF;
  -- Before this transaction has an id: the slots of peers wait for transactions that have one.
  PERFORM pgquorum_internal.await_peers();
  FOR other IN SELECT conninfo FROM pgquorum_internal.replication_site ORDER BY site_id LOOP
    PERFORM pgquorum_internal.ask_site(other.conninfo,
      format('SELECT pgquorum_internal.check_table(%L, %L, %L, %L)', group_name, schema_name, name, signature));
  END LOOP;
  -- From here on nobody takes a value of them until this ends: the others start above what has been given.
  PERFORM pgquorum_internal.spread_sequences(table_name, '{}');
  floors := pgquorum_internal.sequence_floors(table_name);
  FOR other IN SELECT conninfo FROM pgquorum_internal.replication_site ORDER BY site_id LOOP
    PERFORM pgquorum_internal.ask_site(other.conninfo,
      format('SELECT pgquorum_internal.register_table(%L, %L, %L, true, %L, %L, %L)', schema_name, name, conflict_strategy,
             primary_site, column_level, floors));
  END LOOP;
  PERFORM pgquorum_internal.register_table(schema_name, name, conflict_strategy, false, primary_site, column_level);
  -- Rows that are here already become changes, and reach the others as such.
  PERFORM pgquorum_internal.touch_rows(table_name, 'true');
END
$$;
COMMENT ON FUNCTION system.add_replicated_table(text, regclass, text, boolean, integer) IS
  'makes a table of the same definition replicated at every site; rows that this site has are sent to the others, where it must be empty';

-- ---- what can be seen ------------------------------------------------------------------------------------

CREATE VIEW system.replication_groups AS
SELECT g.name, g.site_id, g.conflict_strategy, g.primary_site,
       (SELECT count(*) + 1 FROM pgquorum_internal.replication_site) AS sites,
       (SELECT count(*) FROM pgquorum_internal.replicated_table) AS tables,
       g.created_at, g.deletions_forgotten_before, g.write_quorum
FROM pgquorum_internal.replication_group g;
COMMENT ON VIEW system.replication_groups IS 'the multi-master group that this database is a site of';
COMMENT ON COLUMN system.replication_groups.site_id IS 'this site';
COMMENT ON COLUMN system.replication_groups.primary_site IS 'strategy primary: the site whose writes win';
COMMENT ON COLUMN system.replication_groups.sites IS 'this one included';
COMMENT ON COLUMN system.replication_groups.write_quorum IS
  'sites that must have applied a transaction when its commit returns; pgquorum.write_quorum may ask for another number';
COMMENT ON COLUMN system.replication_groups.deletions_forgotten_before IS
  'deletions that are older are remembered no more: all sites have passed them';

CREATE VIEW system.replicated_tables AS
SELECT t.relation::regclass::text AS table_name, coalesce(t.conflict_strategy, g.conflict_strategy) AS conflict_strategy,
       t.column_level, coalesce(t.primary_site, CASE WHEN t.conflict_strategy IS NULL THEN g.primary_site END) AS primary_site,
       EXISTS (SELECT FROM pg_catalog.pg_trigger tr WHERE tr.tgrelid = t.relation AND tr.tgname = 'zz_pgquorum_guard'
               AND tr.tgenabled <> 'D') AS captured,
       (SELECT count(*) FROM pgquorum_internal.tombstone d WHERE d.relation = t.relation)
       + (SELECT count(*) FROM pgquorum_internal.row_state s WHERE s.relation = t.relation AND s.writer = '0') AS tombstones,
       t.added_at
FROM pgquorum_internal.replicated_table t CROSS JOIN pgquorum_internal.replication_group g;
COMMENT ON VIEW system.replicated_tables IS 'tables that this site exchanges with the others';
COMMENT ON COLUMN system.replicated_tables.column_level IS 'columns that were changed at different sites are merged into one row';
COMMENT ON COLUMN system.replicated_tables.primary_site IS 'strategy primary: the site whose writes win';
COMMENT ON COLUMN system.replicated_tables.captured IS 'false when somebody has removed or disabled the trigger: writes at this site then stay here';
COMMENT ON COLUMN system.replicated_tables.tombstones IS 'deleted keys that are remembered';

CREATE VIEW system.replication_peers AS
SELECT s.site_id, coalesce(a.state, 'starting') AS state, a.last_error, a.transactions, a.row_changes, a.conflicts,
       (SELECT count(*) FROM pgquorum_internal.dead_letter d WHERE d.remote_site_id = s.site_id) AS dead_letters,
       o.remote_lsn AS applied_lsn, a.reported_at,
       coalesce(sl.active, false) AS sending, sl.confirmed_flush_lsn AS acknowledged_lsn,
       CASE WHEN NOT pg_catalog.pg_is_in_recovery()
            THEN pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), sl.confirmed_flush_lsn)::bigint END AS unacknowledged_bytes,
       CASE WHEN NOT pg_catalog.pg_is_in_recovery()
            THEN pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), sl.restart_lsn)::bigint END AS retained_wal_bytes,
       round(extract(epoch FROM r.replay_lag) * 1000, 3) AS send_lag_ms
FROM pgquorum_internal.replication_site s
     CROSS JOIN LATERAL (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) db
     LEFT JOIN pgquorum_internal.replication_activity a USING (site_id)
     LEFT JOIN pg_catalog.pg_replication_origin_status o ON o.external_id = pg_catalog.format('pgquorum_%s_%s', db.oid, s.site_id)
     LEFT JOIN pg_catalog.pg_replication_slots sl ON sl.slot_name = pg_catalog.format('pgquorum_%s_%s', db.oid, s.site_id)
     LEFT JOIN pg_catalog.pg_stat_replication r ON r.pid = sl.active_pid;
COMMENT ON VIEW system.replication_peers IS 'one row for each other site: what comes from it, and what it has of ours';
COMMENT ON COLUMN system.replication_peers.state IS
  'starting, connecting, streaming, copying (this site is joining and takes its rows), parked (its clock is ahead of ours), retrying (a transaction failed) or slot lost';
COMMENT ON COLUMN system.replication_peers.last_error IS 'why it is not streaming';
COMMENT ON COLUMN system.replication_peers.transactions IS 'applied here since the worker started';
COMMENT ON COLUMN system.replication_peers.row_changes IS 'in these transactions';
COMMENT ON COLUMN system.replication_peers.conflicts IS 'met since the worker started; system.replication_conflicts has all';
COMMENT ON COLUMN system.replication_peers.dead_letters IS 'of that site, not discarded';
COMMENT ON COLUMN system.replication_peers.applied_lsn IS 'position of that site up to which its changes are applied here';
COMMENT ON COLUMN system.replication_peers.reported_at IS 'when the worker last said so; it does when something changes';
COMMENT ON COLUMN system.replication_peers.sending IS 'that site is connected and receives';
COMMENT ON COLUMN system.replication_peers.acknowledged_lsn IS 'position here up to which that site has applied durably';
COMMENT ON COLUMN system.replication_peers.unacknowledged_bytes IS 'WAL written here since';
COMMENT ON COLUMN system.replication_peers.retained_wal_bytes IS 'WAL that is kept here for that site';
COMMENT ON COLUMN system.replication_peers.send_lag_ms IS 'from a commit here to its acknowledgement there; NULL when idle';

CREATE VIEW system.replication_conflicts AS
SELECT id, detected_at, table_name, kind, operation, outcome, local_site_id, local_time, remote_site_id, remote_time,
       CASE WHEN strategy IN ('error', 'skip') THEN NULL WHEN outcome = 'applied' THEN remote_site_id
            WHEN outcome = 'skipped' THEN local_site_id END AS winner_site_id,
       CASE WHEN outcome = 'merged' THEN 'each column shows the write that wins it'
            WHEN strategy IN ('error', 'skip') THEN 'strategy ' || strategy || ': the row stays'
            WHEN strategy = 'primary' THEN 'the primary site''s write wins, without one the later'
            WHEN local_time = remote_time THEN
              CASE strategy WHEN 'first_write_wins' THEN 'written at the same time: the lower site wins'
                            ELSE 'written at the same time: the higher site wins' END
            WHEN strategy = 'first_write_wins' THEN 'the earlier write wins'
            ELSE 'the later write wins' END AS reason,
       CASE WHEN pg_catalog.pg_has_role('pgquorum_admin', 'USAGE') THEN local_row END AS local_row,
       CASE WHEN pg_catalog.pg_has_role('pgquorum_admin', 'USAGE') THEN remote_row END AS remote_row
FROM pgquorum_internal.replication_conflict;
COMMENT ON VIEW system.replication_conflicts IS
  'changes of other sites that met a write which their writers had not seen; each site logs those that it met';
COMMENT ON COLUMN system.replication_conflicts.kind IS
  'insert_insert, update_update, update_deleted (a change meets a deletion) or delete_updated (a deletion meets a change)';
COMMENT ON COLUMN system.replication_conflicts.operation IS 'what the other site did: insert, update or delete';
COMMENT ON COLUMN system.replication_conflicts.outcome IS
  'applied: the other site''s write stands; skipped: the one that was here; merged: the row is made of both; dead_letter: the one that was here, and the other is kept aside';
COMMENT ON COLUMN system.replication_conflicts.winner_site_id IS 'NULL when the row is made of both, and when sites are left different';
COMMENT ON COLUMN system.replication_conflicts.local_site_id IS 'who had written what was here';
COMMENT ON COLUMN system.replication_conflicts.local_row IS 'the row as it was here; NULL when it was deleted, and for who is not in pgquorum_admin';
COMMENT ON COLUMN system.replication_conflicts.remote_row IS 'the row as it came; of a deletion its key. For pgquorum_admin';

CREATE VIEW system.replication_dead_letters AS
SELECT id, failed_at, table_name, operation, remote_site_id, remote_time,
       CASE WHEN pg_catalog.pg_has_role('pgquorum_admin', 'USAGE') THEN remote_row END AS remote_row,
       sqlstate, message, CASE WHEN pg_catalog.pg_has_role('pgquorum_admin', 'USAGE') THEN detail END AS detail,
       attempts, retry_requested
FROM pgquorum_internal.dead_letter;
COMMENT ON VIEW system.replication_dead_letters IS
  'rows of other sites that could not be applied here; the rest of their transactions was. Until they are mended this site differs';
COMMENT ON COLUMN system.replication_dead_letters.attempts IS 'how often it has failed; message and failed_at are of the last time';
COMMENT ON COLUMN system.replication_dead_letters.retry_requested IS 'it will be tried again in a moment';
COMMENT ON COLUMN system.replication_dead_letters.remote_row IS 'the row as it came; of a deletion its key. For pgquorum_admin';

CREATE FUNCTION system.discard_dead_letter(id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog AS $$
BEGIN
  DELETE FROM pgquorum_internal.dead_letter d WHERE d.id = discard_dead_letter.id;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no dead letter %', coalesce(id::text, 'NULL') USING ERRCODE = '42704';
  END IF;
END
$$;
COMMENT ON FUNCTION system.discard_dead_letter(bigint) IS 'removes a dead letter, once its row has been mended by hand or given up';

REVOKE ALL ON FUNCTION system.create_replication_group(text, text, integer, integer, integer), system.join_replication_group(text, text, text),
  system.add_replicated_table(text, regclass, text, boolean, integer), system.discard_dead_letter(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION system.discard_dead_letter(bigint) TO pgquorum_admin;
REVOKE ALL ON system.replication_groups, system.replicated_tables, system.replication_peers,
  system.replication_conflicts, system.replication_dead_letters FROM PUBLIC;
GRANT SELECT ON system.replication_groups, system.replicated_tables, system.replication_peers,
  system.replication_conflicts, system.replication_dead_letters TO pgquorum_monitor;
REVOKE ALL ON FUNCTION pgquorum_internal.ask_site(text, text), pgquorum_internal.replication_guard(),
  pgquorum_internal.check_replication_server(), pgquorum_internal.own_group(text),
  pgquorum_internal.database_identity(), pgquorum_internal.check_group_free(),
  pgquorum_internal.add_site(text, integer, text), pgquorum_internal.forget_site(integer),
  pgquorum_internal.admit_site(text, text, text, text), pgquorum_internal.own_conninfo(text),
  pgquorum_internal.table_signature(regclass), pgquorum_internal.await_peers(), pgquorum_internal.parts_of(regclass),
  pgquorum_internal.check_part(regclass), pgquorum_internal.prepare_part(regclass), pgquorum_internal.put_guard(regclass, text),
  pgquorum_internal.adopt_partitions(), pgquorum_internal.touch_rows(regclass, text),
  pgquorum_internal.find_table(text, text), pgquorum_internal.check_table(text, text, text, text),
  pgquorum_internal.register_table(text, text, text, boolean, integer, boolean, jsonb) FROM PUBLIC;
