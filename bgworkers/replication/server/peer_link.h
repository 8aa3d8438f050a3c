// A libpq connection from a server process to another site. PostgreSQL's rules: functions raise
// errors, waits can be interrupted, and whoever opened a link closes it.
#pragma once

#include "extension/pg/pg.h"

struct pg_conn;
struct pg_result;

namespace pgquorum::replication::server {

// `replication`: for the streaming protocol, with the output settings that change records need.
// Raises 08006 with libpq's words. `*link` is set as soon as there is something to close.
void OpenLink(pg_conn** link, const char* conninfo, const char* application_name, bool replication);
void CloseLink(pg_conn** link);

// Waits for one statement. `wanted` is a status of libpq's; anything else raises the other site's
// error with its SQLSTATE, detail and hint. PQclear() the result.
pg_result* Ask(pg_conn* link, const char* statement, int wanted);

// The first column of the first row, in the caller's memory; null for SQL null and for no row.
char* AskForText(pg_conn* link, const char* statement);
// The same of a statement that was sent with PQsendQuery().
char* TextOfAnswer(pg_conn* link);

}  // namespace pgquorum::replication::server
