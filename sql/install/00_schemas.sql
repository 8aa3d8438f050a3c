-- The extension's own tables are ordinary ones, whatever the user's default is.
SET LOCAL default_table_access_method = heap;

CREATE SCHEMA system;
CREATE SCHEMA pgquorum_internal;
COMMENT ON SCHEMA system IS 'pgquorum: documented views and administration functions';
COMMENT ON SCHEMA pgquorum_internal IS 'pgquorum: plumbing without promises';
REVOKE ALL ON SCHEMA pgquorum_internal FROM PUBLIC;

-- Roles are the server's, not the database's: another database may have created them already.
DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'pgquorum_monitor') THEN
    CREATE ROLE pgquorum_monitor NOLOGIN;
  END IF;
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'pgquorum_admin') THEN
    CREATE ROLE pgquorum_admin NOLOGIN IN ROLE pgquorum_monitor;
  END IF;
END
$$;
GRANT USAGE ON SCHEMA system TO PUBLIC;
