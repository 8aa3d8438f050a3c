#pragma once

#include "extension/pg/pg.h"

namespace pgquorum::replication::server {

// Whether this site has joined through the worker's peer and lacks the rows that were there before.
bool CopyIsPending();

// Takes them from the peer: every row and every tombstone with its stamp, as if its own transaction
// came late. What streams in from others meanwhile meets them as it would meet a late transaction:
// the order does not matter, and an interrupted copy is begun again from its start.
void CopyTables();

}  // namespace pgquorum::replication::server
