// The guard's part for tables whose rows have more state than two stamps.
#pragma once

#include "bgworkers/replication/core/change/record.h"

#include "extension/pg/pg.h"

extern "C" {
#include "commands/trigger.h"
}

#include "bgworkers/replication/server/row_facts.h"
#include "bgworkers/replication/server/table_rules.h"

namespace pgquorum::replication::server {

// Tells the decoder what the statement knows of the row, and keeps what the row will not say.
void GuardKept(const TriggerData* data, const TableRules& rules, bytea* key);

// Waits until this site's clock has passed what the statement overwrites.
void WaitForClock(TimestampTz seen);
// Before the row that it is about.
void LogNote(const RowNote& note);

}  // namespace pgquorum::replication::server
