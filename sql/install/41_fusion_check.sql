CREATE FUNCTION system.fusion_check(remove_leaked boolean DEFAULT false, OUT relation text, OUT problem text)
RETURNS SETOF record LANGUAGE c VOLATILE STRICT AS 'MODULE_PATHNAME', 'pgquorum_fusion_check';
COMMENT ON FUNCTION system.fusion_check(boolean) IS 'what is wrong with the fusion tables of this database: pages and large values of tables, pages of indexes, indexes against their tables, segments of no relation; waits for writers, table by table';
REVOKE ALL ON FUNCTION system.fusion_check(boolean) FROM PUBLIC;
