-- The library answers, and the SQL objects are of its version.
SELECT system.version() = extversion AS same_version FROM pg_extension WHERE extname = 'pgquorum';
-- Nothing of the plumbing is open to everybody.
SELECT has_schema_privilege('public', 'pgquorum_internal', 'USAGE') AS plumbing_is_open;
-- The prefix is reserved.
SET pgquorum.no_such_setting = 1;
