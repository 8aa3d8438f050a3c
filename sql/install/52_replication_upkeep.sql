-- Multi-master: dead letters that are tried again, deletions that are forgotten, comparisons by the clock.

-- ---- dead letters ------------------------------------------------------------------------------------------

-- The worker of the letter's site applies it with the stamp that it came with, in a transaction that removes the letter.
CREATE FUNCTION system.retry_dead_letter(id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL UNSAFE SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
  letter pgquorum_internal.dead_letter;
BEGIN
  SELECT * INTO letter FROM pgquorum_internal.dead_letter d WHERE d.id = retry_dead_letter.id;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no dead letter %', coalesce(id::text, 'NULL') USING ERRCODE = '42704';
  END IF;
  IF NOT EXISTS (SELECT FROM pgquorum_internal.replication_site s WHERE s.site_id = letter.remote_site_id) THEN
    RAISE EXCEPTION 'site %, from which dead letter % came, has left the group', letter.remote_site_id, id USING ERRCODE = '55000',
      HINT = 'Mend the row by hand or with system.repair_row(), and discard the letter.';
  END IF;
  IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass(letter.table_name) AND tgname = 'zz_pgquorum_guard' AND tgnargs > 0) THEN
    RAISE EXCEPTION 'dead letters of table "%" cannot be retried', letter.table_name USING ERRCODE = '0A000',
      DETAIL = 'Its rows have more state than a letter keeps.',
      HINT = 'Have the row written again with system.repair_row(), and discard the letter.';
  END IF;
  UPDATE pgquorum_internal.dead_letter d SET retry_requested = true WHERE d.id = letter.id;
END
$$;
COMMENT ON FUNCTION system.retry_dead_letter(bigint) IS
  'has a row that could not be applied tried again, within about a second; the letter goes, or says why it failed once more';

-- ---- deletions ---------------------------------------------------------------------------------------------

CREATE FUNCTION pgquorum_internal.clock_and_transaction() RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
DECLARE
  clock timestamptz := clock_timestamp();
BEGIN
  -- Whoever has or takes an older stamp has an older transaction id.
  RETURN json_build_object('clock', clock, 'transaction', pg_current_xact_id()::text);
END
$$;

CREATE FUNCTION pgquorum_internal.older_transactions_ended(transaction xid8, patience interval) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
DECLARE
  until timestamptz := clock_timestamp() + patience;
BEGIN
  WHILE pg_snapshot_xmin(pg_current_snapshot()) < transaction LOOP
    IF clock_timestamp() > until THEN
      RETURN false;
    END IF;
    PERFORM pg_sleep(0.05);
  END LOOP;
  RETURN true;
END
$$;

CREATE FUNCTION pgquorum_internal.forget_tombstones(line timestamptz) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
DECLARE
  rows bigint;
BEGIN
  -- A time that the server has forgotten is older than all that it knows.
  -- A dead letter is a change that may still come.
  DELETE FROM pgquorum_internal.tombstone t WHERE coalesce(pg_xact_commit_timestamp(xmin), '-infinity') < line
    AND NOT EXISTS (SELECT FROM pgquorum_internal.dead_letter d WHERE to_regclass(d.table_name) = t.relation);
  GET DIAGNOSTICS rows = ROW_COUNT;
  UPDATE pgquorum_internal.replication_group SET deletions_forgotten_before = line;
  RETURN rows;
END
$$;

-- A tombstone is for changes that are older than it and come later. None will come to any site that is older than `line`:
-- at each site all transactions that can bear such a stamp have ended, and after that all others have applied all of them.
-- NULL: a site did not get there in time, nothing was forgotten.
CREATE FUNCTION pgquorum_internal.collect_tombstones(patience interval DEFAULT '10 seconds') RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
DECLARE
  started text[] := pgquorum_internal.ask_all_sites('SELECT pgquorum_internal.clock_and_transaction()');
  line timestamptz := (SELECT min((s::json ->> 'clock')::timestamptz) FROM unnest(started) s);
  statements text[] := ARRAY(SELECT format('SELECT pgquorum_internal.older_transactions_ended(%L, %L)', s::json ->> 'transaction', patience)
                             FROM unnest(started) WITH ORDINALITY u(s, n) ORDER BY n);
  own boolean;
BEGIN
  PERFORM pgquorum_internal.send_to_sites(ARRAY(SELECT conninfo FROM pgquorum_internal.replication_site ORDER BY site_id),
                                          statements[2:]);
  EXECUTE statements[1] INTO own;
  IF false = ANY (own || pgquorum_internal.answers_of_sites()::boolean[])
     OR NOT pgquorum_internal.all_have_applied(patience) THEN
    RETURN NULL;
  END IF;
  RETURN (SELECT sum(a::bigint)
          FROM unnest(pgquorum_internal.ask_all_sites(format('SELECT pgquorum_internal.forget_tombstones(%L)', line))) a);
END
$$;

-- ---- by the clock ------------------------------------------------------------------------------------------

-- What the housekeeper of a group runs when the setting of the same name says that it is time.
CREATE FUNCTION pgquorum_internal.keep_up(task text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $$
BEGIN
  IF task = 'tombstones' THEN
    PERFORM pgquorum_internal.collect_tombstones();
  ELSIF task = 'verify' THEN
    PERFORM system.verify_convergence((SELECT name FROM pgquorum_internal.replication_group));
  END IF;
END
$$;

REVOKE ALL ON FUNCTION system.retry_dead_letter(bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION system.retry_dead_letter(bigint) TO pgquorum_admin;
REVOKE ALL ON FUNCTION pgquorum_internal.clock_and_transaction(), pgquorum_internal.older_transactions_ended(xid8, interval),
  pgquorum_internal.forget_tombstones(timestamptz), pgquorum_internal.collect_tombstones(interval),
  pgquorum_internal.keep_up(text) FROM PUBLIC;
