-- Whatever fails in C++ becomes an error of the statement: with its SQLSTATE, detail and hint, and without leaving
-- C++ objects behind.
CREATE FUNCTION pg_temp.wall(how text) RETURNS integer LANGUAGE c STRICT AS '$libdir/pgquorum', 'pgquorum_wall_test';
CREATE FUNCTION pg_temp.try(how text, OUT state text, OUT message text, OUT detail text, OUT hint text)
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_temp.wall(how);
EXCEPTION WHEN others THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
    hint = PG_EXCEPTION_HINT;
END $$;
SELECT how, t.* FROM unnest(ARRAY['exception', 'memory', 'other', 'status', 'ereport']) how, pg_temp.try(how) t;
SELECT pg_temp.wall('finally') AS cleaned_up;
SELECT pg_temp.wall('count') AS left_behind;
-- The session goes on, also without a subtransaction around it.
SELECT pg_temp.wall('exception');
SELECT pg_temp.wall('count') AS left_behind;
