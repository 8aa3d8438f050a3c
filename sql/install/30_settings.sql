-- Settings of the cluster: ALTER SYSTEM SET changes them on every node at once, on whichever member it runs.

CREATE FUNCTION pgquorum_internal.settings(
  OUT name text, OUT value text, OUT unit text, OUT default_value text, OUT allowed text)
RETURNS SETOF record LANGUAGE c VOLATILE STRICT PARALLEL RESTRICTED AS 'MODULE_PATHNAME', 'pgquorum_settings';
COMMENT ON FUNCTION pgquorum_internal.settings() IS 'settings of the cluster as this node has applied them';

CREATE VIEW system.cluster_settings AS
SELECT name, value, unit, default_value, value <> default_value AS changed, allowed
FROM pgquorum_internal.settings();
COMMENT ON VIEW system.cluster_settings IS 'settings of the cluster, the same on every node; empty on a standalone server';
COMMENT ON COLUMN system.cluster_settings.value IS 'in the unit of the next column';
COMMENT ON COLUMN system.cluster_settings.unit IS 'ms or B (bytes); NULL for numbers and words';
COMMENT ON COLUMN system.cluster_settings.allowed IS 'range, or the words that may be set';

REVOKE ALL ON FUNCTION pgquorum_internal.settings() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgquorum_internal.settings() TO pgquorum_monitor;
REVOKE ALL ON system.cluster_settings FROM PUBLIC;
GRANT SELECT ON system.cluster_settings TO pgquorum_monitor;
