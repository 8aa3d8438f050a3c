// How the workers of a database begin.
#pragma once

namespace pgquorum::replication::server {

// Signals, and a connection to the database that the manager wrote into bgw_extra, as an
// administrator.
void BeginDatabaseWorker();

}  // namespace pgquorum::replication::server
