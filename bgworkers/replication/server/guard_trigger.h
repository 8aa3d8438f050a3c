// The trigger of replicated tables, for the parts of it that are in other files.
#pragma once

#include "extension/pg/pg.h"

extern "C" {
#include "commands/trigger.h"
}

namespace pgquorum::replication::server {

// One row of a user's statement, before it is written. Raises.
HeapTuple GuardRow(TriggerData* data);

}  // namespace pgquorum::replication::server
