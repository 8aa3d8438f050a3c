CREATE FUNCTION system.version() RETURNS text
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'pgquorum_version';
COMMENT ON FUNCTION system.version() IS 'version of the loaded pgquorum library';
