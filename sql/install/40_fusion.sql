CREATE FUNCTION pgquorum_internal.fusion_table_handler(internal) RETURNS table_am_handler
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'pgquorum_fusion_table_handler';
COMMENT ON FUNCTION pgquorum_internal.fusion_table_handler(internal) IS 'the functions of the table access method fusion';
REVOKE ALL ON FUNCTION pgquorum_internal.fusion_table_handler(internal) FROM PUBLIC;

CREATE ACCESS METHOD fusion TYPE TABLE HANDLER pgquorum_internal.fusion_table_handler;
COMMENT ON ACCESS METHOD fusion IS 'tables in pgquorum.fusion_storage';

CREATE FUNCTION pgquorum_internal.fusion_index_handler(internal) RETURNS index_am_handler
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'pgquorum_fusion_index_handler';
COMMENT ON FUNCTION pgquorum_internal.fusion_index_handler(internal) IS 'the functions of the index access method fusion_btree';
REVOKE ALL ON FUNCTION pgquorum_internal.fusion_index_handler(internal) FROM PUBLIC;

CREATE ACCESS METHOD fusion_btree TYPE INDEX HANDLER pgquorum_internal.fusion_index_handler;
COMMENT ON ACCESS METHOD fusion_btree IS 'indexes of fusion tables';

CREATE FUNCTION system.fusion_table_size(regclass) RETURNS bigint
LANGUAGE c STRICT AS 'MODULE_PATHNAME', 'pgquorum_fusion_table_size';
COMMENT ON FUNCTION system.fusion_table_size(regclass) IS 'bytes of a fusion table; NULL for other relations. pg_relation_size knows nothing of fusion tables';
REVOKE ALL ON FUNCTION system.fusion_table_size(regclass) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION system.fusion_table_size(regclass) TO pgquorum_monitor;

CREATE FUNCTION pgquorum_internal.fusion_storage(
  OUT directory text, OUT state text, OUT reason text, OUT processes integer, OUT opened_at timestamptz,
  OUT recovery_us bigint, OUT recovery_records bigint, OUT recovery_changes bigint, OUT recovery_bytes bigint,
  OUT recovery_torn_pages integer, OUT recovery_committed bigint, OUT recovery_aborted bigint)
RETURNS SETOF record LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'pgquorum_fusion_storage';
COMMENT ON FUNCTION pgquorum_internal.fusion_storage() IS 'row of system.fusion_storage';

CREATE FUNCTION pgquorum_internal.fusion_cache(
  OUT pages bigint, OUT used bigint, OUT dirty bigint, OUT pinned bigint, OUT hits bigint, OUT misses bigint,
  OUT evictions bigint, OUT written bigint, OUT written_by_backends bigint, OUT write_batches bigint,
  OUT grants bigint, OUT grants_returned bigint, OUT grants_refused bigint)
RETURNS SETOF record LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'pgquorum_fusion_cache';
COMMENT ON FUNCTION pgquorum_internal.fusion_cache() IS 'row of system.fusion_cache';

CREATE FUNCTION pgquorum_internal.fusion_redo(
  OUT thread bigint, OUT inserted_to bigint, OUT durable_to bigint, OUT records bigint, OUT flushes bigint,
  OUT flushes_shared bigint, OUT buffer_full bigint)
RETURNS SETOF record LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'pgquorum_fusion_redo';
COMMENT ON FUNCTION pgquorum_internal.fusion_redo() IS 'row of system.fusion_redo';

CREATE FUNCTION pgquorum_internal.fusion_checkpoint(
  OUT redo_from bigint, OUT redo_bytes bigint, OUT checkpoints bigint, OUT last_at timestamptz)
RETURNS SETOF record LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'pgquorum_fusion_checkpoint';
COMMENT ON FUNCTION pgquorum_internal.fusion_checkpoint() IS 'row of system.fusion_checkpoint';

CREATE FUNCTION pgquorum_internal.fusion_transactions(
  OUT next_transaction bigint, OUT last_commit_number bigint, OUT oldest_snapshot bigint, OUT oldest_open_transaction bigint)
RETURNS SETOF record LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'pgquorum_fusion_transactions';
COMMENT ON FUNCTION pgquorum_internal.fusion_transactions() IS 'row of system.fusion_transactions';

CREATE VIEW system.fusion_storage AS SELECT * FROM pgquorum_internal.fusion_storage();
COMMENT ON VIEW system.fusion_storage IS 'the storage of fusion tables: whether it is open, why not, and what its recovery did; no row without pgquorum.fusion_storage';
CREATE VIEW system.fusion_cache AS SELECT * FROM pgquorum_internal.fusion_cache();
COMMENT ON VIEW system.fusion_cache IS 'pages of fusion tables in shared memory, counted since the storage was opened; no row while it is not open';
CREATE VIEW system.fusion_redo AS SELECT * FROM pgquorum_internal.fusion_redo();
COMMENT ON VIEW system.fusion_redo IS 'the redo of fusion tables; positions are bytes in the thread';
CREATE VIEW system.fusion_checkpoint AS SELECT * FROM pgquorum_internal.fusion_checkpoint();
COMMENT ON VIEW system.fusion_checkpoint IS 'where a recovery of the fusion storage would begin now, and how much redo it would read';
CREATE VIEW system.fusion_transactions AS SELECT * FROM pgquorum_internal.fusion_transactions();
COMMENT ON VIEW system.fusion_transactions IS 'numbers of fusion transactions; vacuum removes what commits up to oldest_snapshot have removed';

DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['storage', 'cache', 'redo', 'checkpoint', 'transactions'] LOOP
    EXECUTE format('REVOKE ALL ON FUNCTION pgquorum_internal.fusion_%s() FROM PUBLIC', name);
    EXECUTE format('GRANT EXECUTE ON FUNCTION pgquorum_internal.fusion_%s() TO pgquorum_monitor', name);
    EXECUTE format('REVOKE ALL ON system.fusion_%s FROM PUBLIC', name);
    EXECUTE format('GRANT SELECT ON system.fusion_%s TO pgquorum_monitor', name);
  END LOOP;
END $$;
