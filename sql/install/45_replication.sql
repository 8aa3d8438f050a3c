-- Multi-master: catalogue of a site. One group in a database; its tables, its peers, what is kept beside rows.

CREATE TABLE pgquorum_internal.replication_group (
  name text PRIMARY KEY,
  conflict_strategy text NOT NULL,
  primary_site integer,
  write_quorum integer NOT NULL DEFAULT 1,
  site_id integer NOT NULL CHECK (site_id BETWEEN 1 AND 65535),
  created_at timestamptz NOT NULL DEFAULT now(),
  deletions_forgotten_before timestamptz,
  only_one boolean NOT NULL DEFAULT true UNIQUE CHECK (only_one)
);
CREATE TABLE pgquorum_internal.replication_site (
  site_id integer PRIMARY KEY CHECK (site_id BETWEEN 1 AND 65535),
  conninfo text NOT NULL,
  has_slot boolean NOT NULL DEFAULT false,
  copy_pending boolean NOT NULL DEFAULT false,
  joined_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN pgquorum_internal.replication_site.has_slot IS 'this site has made its replication slot there';
COMMENT ON COLUMN pgquorum_internal.replication_site.copy_pending IS 'this site has joined through that one and lacks what was there before';
CREATE TABLE pgquorum_internal.replicated_table (
  relation oid PRIMARY KEY,
  conflict_strategy text,
  primary_site integer,
  column_level boolean NOT NULL DEFAULT false,
  added_at timestamptz NOT NULL DEFAULT now()
);
-- The stamp of a tombstone is the commit timestamp of the transaction that wrote it.
CREATE TABLE pgquorum_internal.tombstone (
  relation oid,
  key bytea,
  PRIMARY KEY (relation, key)
);
CREATE TABLE pgquorum_internal.replication_conflict (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  detected_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  table_name text NOT NULL, kind text NOT NULL, outcome text NOT NULL, operation text NOT NULL,
  local_site_id integer, local_time timestamptz, remote_site_id integer NOT NULL, remote_time timestamptz NOT NULL,
  local_row json, remote_row json, strategy text NOT NULL
);
CREATE TABLE pgquorum_internal.dead_letter (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  failed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  table_name text NOT NULL, operation text NOT NULL,
  remote_site_id integer NOT NULL, remote_time timestamptz NOT NULL, remote_row json,
  base_site_id integer, base_time timestamptz, -- what the writer had overwritten
  retry_requested boolean NOT NULL DEFAULT false, attempts integer NOT NULL DEFAULT 1,
  sqlstate text NOT NULL, message text NOT NULL, detail text
);
-- What the workers say of themselves, once a second; worth nothing after a crash.
CREATE UNLOGGED TABLE pgquorum_internal.replication_activity (
  site_id integer PRIMARY KEY,
  state text NOT NULL, last_error text,
  transactions bigint NOT NULL, row_changes bigint NOT NULL, conflicts bigint NOT NULL,
  pid integer NOT NULL, reported_at timestamptz NOT NULL
);

CREATE FUNCTION pgquorum_internal.ask_site(conninfo text, statement text) RETURNS text
LANGUAGE c VOLATILE STRICT PARALLEL UNSAFE AS '$libdir/pgquorum_replication', 'pgquorum_ask_site';
COMMENT ON FUNCTION pgquorum_internal.ask_site(text, text) IS 'first value of a statement that another site runs';

CREATE FUNCTION pgquorum_internal.replication_guard() RETURNS trigger
LANGUAGE c AS '$libdir/pgquorum_replication', 'pgquorum_replication_guard';
COMMENT ON FUNCTION pgquorum_internal.replication_guard() IS 'trigger of replicated tables: tombstones, keys, order of time';

-- ---- a site ----------------------------------------------------------------------------------------------

CREATE FUNCTION pgquorum_internal.check_replication_server() RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
DECLARE
  databases text := current_setting('pgquorum.replication_databases');
BEGIN
  IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
    RAISE EXCEPTION 'only a superuser may set up replication between sites' USING ERRCODE = '42501';
  END IF;
  IF pg_is_in_recovery() THEN
    RAISE EXCEPTION 'this server is a standby' USING ERRCODE = '25006', HINT = 'Ask the site''s primary.';
  END IF;
  IF current_setting('wal_level') <> 'logical' THEN
    RAISE EXCEPTION 'wal_level is not logical' USING ERRCODE = '55000',
      HINT = 'Set wal_level = logical and restart the server.';
  END IF;
  IF current_setting('track_commit_timestamp') <> 'on' THEN
    RAISE EXCEPTION 'track_commit_timestamp is off' USING ERRCODE = '55000',
      DETAIL = 'Conflicts are decided by the times at which rows were committed.',
      HINT = 'Set track_commit_timestamp = on and restart the server.';
  END IF;
  IF current_database() NOT IN (SELECT btrim(d) FROM string_to_table(databases, ',') d) THEN
    RAISE EXCEPTION 'no replication worker runs for database "%"', current_database() USING ERRCODE = '55000',
      DETAIL = format('pgquorum.replication_databases is "%s".', databases),
      HINT = 'Name the database in pgquorum.replication_databases and restart the server.';
  END IF;
END
$$;

CREATE FUNCTION pgquorum_internal.own_group(group_name text) RETURNS pgquorum_internal.replication_group
LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
DECLARE
  g pgquorum_internal.replication_group;
BEGIN
  SELECT * INTO g FROM pgquorum_internal.replication_group WHERE name = group_name;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'this database is in no replication group "%"', coalesce(group_name, 'NULL')
      USING ERRCODE = '42704', HINT = 'system.replication_groups shows the group that it is in.';
  END IF;
  RETURN g;
END
$$;

-- A name that says which database of which server this is.
CREATE FUNCTION pgquorum_internal.database_identity() RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog
AS $$
  SELECT system_identifier || '/' || (SELECT oid FROM pg_database WHERE datname = current_database())
  FROM pg_control_system()
$$;

CREATE FUNCTION pgquorum_internal.check_group_free() RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
DECLARE
  existing text := (SELECT name FROM pgquorum_internal.replication_group);
  prefix text := (SELECT format('^pgquorum_%s_', oid) FROM pg_database WHERE datname = current_database());
BEGIN
  -- An origin's old position would make a new group skip changes.
  IF existing IS NULL AND (EXISTS (SELECT FROM pg_replication_origin WHERE roname ~ prefix)
                           OR EXISTS (SELECT FROM pg_replication_slots WHERE slot_name ~ prefix)) THEN
    RAISE EXCEPTION 'what is left of this database''s former group is still being taken away' USING ERRCODE = '55000',
      HINT = 'Try again in a second.';
  END IF;
  IF existing IS NOT NULL THEN
    RAISE EXCEPTION 'this database is already in replication group "%"', existing
      USING ERRCODE = '42710', DETAIL = 'A database is in one group at most.';
  END IF;
END
$$;

CREATE FUNCTION system.create_replication_group(name text, conflict_strategy text DEFAULT 'last_writer_wins',
  primary_site integer DEFAULT NULL, write_quorum integer DEFAULT 1, read_quorum integer DEFAULT 1)
RETURNS integer LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog AS $$
BEGIN
  PERFORM pgquorum_internal.check_strategy(conflict_strategy, primary_site, false, false);
  PERFORM pgquorum_internal.check_write_quorum(write_quorum);
  IF read_quorum IS DISTINCT FROM 1 THEN
    RAISE EXCEPTION 'read_quorum % is not available', coalesce(read_quorum::text, 'NULL') USING ERRCODE = '0A000',
      DETAIL = 'Reads are those of one site.',
      HINT = 'Leave it out, and call system.await_all_sites() or system.await_token() before a read that must have seen other sites.';
  END IF;
  PERFORM pgquorum_internal.check_replication_server();
  IF name IS NULL OR name !~ '^[a-z][a-z0-9_]{0,31}$' THEN
    RAISE EXCEPTION 'invalid name of a replication group: "%"', coalesce(name, 'NULL')
      USING ERRCODE = '22023', HINT = 'Use up to 32 lower-case letters, digits and underscores, a letter first.';
  END IF;
  PERFORM pgquorum_internal.check_group_free();
  INSERT INTO pgquorum_internal.replication_group (name, conflict_strategy, primary_site, write_quorum, site_id)
  VALUES ($1, $2, $3, $4, 1);
  PERFORM pgquorum_internal.take_site_id(1);
  RETURN 1;
END
$$;
COMMENT ON FUNCTION system.create_replication_group(text, text, integer, integer, integer) IS
  'makes this database the first site of a group of writable sites; returns its site id. primary_site: for strategy primary';

-- ---- joining ---------------------------------------------------------------------------------------------

CREATE FUNCTION pgquorum_internal.add_site(group_name text, id integer, site_conninfo text) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
BEGIN
  PERFORM pgquorum_internal.own_group(group_name);
  INSERT INTO pgquorum_internal.replication_site (site_id, conninfo) VALUES (id, site_conninfo);
  RETURN 'added';
END
$$;

-- Taken back when a join fails half-way: only a site that nothing was exchanged with.
CREATE FUNCTION pgquorum_internal.forget_site(id integer) RETURNS text
LANGUAGE sql VOLATILE SET search_path = pg_catalog
AS $$ DELETE FROM pgquorum_internal.replication_site WHERE site_id = id AND NOT has_slot; SELECT 'forgotten'; $$;

-- Runs at the member that a new site joins through. Tells it what it needs to know.
CREATE FUNCTION pgquorum_internal.admit_site(group_name text, encoding text, identity text, site_conninfo text)
RETURNS json LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
DECLARE
  g pgquorum_internal.replication_group := pgquorum_internal.own_group(group_name);
  id integer;
  tables json;
BEGIN
  LOCK TABLE pgquorum_internal.replication_site IN SHARE ROW EXCLUSIVE MODE;
  tables := pgquorum_internal.tables_for_joiner();
  IF encoding <> getdatabaseencoding() THEN
    RAISE EXCEPTION 'the databases have different encodings' USING ERRCODE = '22023',
      DETAIL = format('%s there, %s here.', encoding, getdatabaseencoding());
  END IF;
  IF pgquorum_internal.ask_site(site_conninfo, 'SELECT pgquorum_internal.database_identity()') <> identity THEN
    RAISE EXCEPTION 'the new site is not at the address under which the others would look for it'
      USING ERRCODE = '22023', HINT = 'Give system.join_replication_group() own_conninfo: how others reach the new site.';
  END IF;
  id := pgquorum_internal.next_site_id();
  INSERT INTO pgquorum_internal.replication_site (site_id, conninfo) VALUES (id, site_conninfo);
  RETURN json_build_object('site_id', id, 'conflict_strategy', g.conflict_strategy, 'primary_site', g.primary_site,
    'write_quorum', g.write_quorum, 'through', g.site_id, 'tables', tables,
    'departed', (SELECT coalesce(json_agg(d.site_id), '[]'::json) FROM pgquorum_internal.departed_site d), 'sites',
    (SELECT coalesce(json_agg(json_build_object('site_id', s.site_id, 'conninfo', s.conninfo)), '[]'::json)
     FROM pgquorum_internal.replication_site s WHERE s.site_id <> id));
END
$$;

-- The same credentials, another place. What stands last in a connection string counts.
CREATE FUNCTION pgquorum_internal.own_conninfo(conninfo text) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
DECLARE
  address text := pgquorum_internal.ask_site(conninfo, 'SELECT pg_catalog.host(pg_catalog.inet_client_addr())');
BEGIN
  IF address IS NULL THEN  -- through a socket of this machine
    address := split_part(current_setting('unix_socket_directories'), ',', 1);
    address := coalesce(nullif(address, ''), 'localhost');
  END IF;
  RETURN conninfo || format(' hostaddr='''' host=%s port=%s dbname=''%s''', address, current_setting('port'),
                            replace(replace(current_database(), '\', '\\'), '''', '\'''));
END
$$;

CREATE FUNCTION system.join_replication_group(name text, conninfo text, own_conninfo text DEFAULT NULL)
RETURNS integer LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog AS $$
DECLARE
  member text := conninfo;
  own text := own_conninfo;
  answer json;
  other record;
  told text[] := '{}';
  place text;
BEGIN
  PERFORM pgquorum_internal.check_replication_server();
  PERFORM pgquorum_internal.check_group_free();
  IF member IS NULL OR member ~ '^postgres(ql)?://' OR coalesce(own, '') ~ '^postgres(ql)?://' THEN
    RAISE EXCEPTION 'the connection string must consist of keywords and values' USING ERRCODE = '22023',
      HINT = 'For example: host=site2 port=5432 user=postgres dbname=app';
  END IF;
  member := format('dbname=''%s'' ', replace(replace(current_database(), '\', '\\'), '''', '\''')) || member;
  own := coalesce(own, pgquorum_internal.own_conninfo(member));
  IF pgquorum_internal.ask_site(member, 'SELECT pgquorum_internal.database_identity()')
     = pgquorum_internal.database_identity() THEN
    RAISE EXCEPTION 'the connection string leads to this database itself' USING ERRCODE = '22023';
  END IF;
  answer := pgquorum_internal.ask_site(member, format('SELECT pgquorum_internal.admit_site(%L, %L, %L, %L)',
    name, getdatabaseencoding(), pgquorum_internal.database_identity(), own))::json;
  told := ARRAY[member];
  BEGIN
    FOR other IN SELECT * FROM json_to_recordset(answer -> 'sites') AS s(site_id integer, conninfo text) LOOP
      PERFORM pgquorum_internal.ask_site(other.conninfo,
        format('SELECT pgquorum_internal.add_site(%L, %s, %L)', name, answer ->> 'site_id', own));
      told := told || other.conninfo;
      INSERT INTO pgquorum_internal.replication_site (site_id, conninfo) VALUES (other.site_id, other.conninfo);
    END LOOP;
    INSERT INTO pgquorum_internal.replication_site (site_id, conninfo, copy_pending)
    VALUES ((answer ->> 'through')::integer, member, json_array_length(answer -> 'tables') > 0);
    INSERT INTO pgquorum_internal.departed_site (site_id) SELECT d::integer FROM json_array_elements_text(answer -> 'departed') d;
    INSERT INTO pgquorum_internal.replication_group (name, conflict_strategy, primary_site, write_quorum, site_id)
    VALUES ($1, answer ->> 'conflict_strategy', (answer ->> 'primary_site')::integer, (answer ->> 'write_quorum')::integer,
            (answer ->> 'site_id')::integer);
    PERFORM pgquorum_internal.take_site_id((answer ->> 'site_id')::integer);
    PERFORM pgquorum_internal.register_joining(t.schema, t.name, t.strategy, t.signature, t.floors)
    FROM json_to_recordset(answer -> 'tables') AS t(schema text, name text, strategy text, signature text, floors jsonb);
  EXCEPTION WHEN OTHERS THEN
    FOREACH place IN ARRAY told LOOP
      PERFORM pgquorum_internal.ask_site(place, format('SELECT pgquorum_internal.forget_site(%s)', answer ->> 'site_id'));
    END LOOP;
    RAISE;
  END;
  RETURN (answer ->> 'site_id')::integer;
END
$$;
COMMENT ON FUNCTION system.join_replication_group(text, text, text) IS
  'makes this database a site of the group that another one is in, and tells all sites; returns its site id';
