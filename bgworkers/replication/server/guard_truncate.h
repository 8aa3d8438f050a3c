// TRUNCATE of a replicated table by a user: what the other sites are told.
#pragma once

#include "extension/pg/pg.h"

extern "C" {
#include "utils/rel.h"
}

namespace pgquorum::replication::server {

// Before the table is emptied. Raises.
void GuardTruncate(Relation relation);

}  // namespace pgquorum::replication::server
