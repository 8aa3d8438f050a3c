// What the worker leaves for the administrator: conflicts, dead letters, what it is doing.
#pragma once

#include "bgworkers/replication/core/change/record.h"
#include "bgworkers/replication/core/conflict/by_stamp.h"

#include "bgworkers/replication/server/apply_row.h"
#include "extension/pg/pg.h"

extern "C" {
#include "executor/tuptable.h"
}

namespace pgquorum::replication::server {

// `local`: the row as it is here, null when it is not.
void LogConflict(const ApplyContext& context, const RelationRecord& remote, const RowRecord& row,
                 const StampedRow& known, const StampVerdict& verdict, Strategy strategy,
                 TupleTableSlot* local);

struct Failure {
  const char* sqlstate;
  const char* message;
  const char* detail;
};
void LogDeadLetter(const ApplyContext& context, const RelationRecord& remote, const RowRecord& row,
                   const Failure& failure);

struct Activity {
  uint16_t site;
  const char* state;
  const char* last_error;  // null: none
  int64_t transactions;    // these three since the worker started
  int64_t rows;
  int64_t conflicts;
};
// In a transaction of its own. False: the site has left the group.
bool ReportActivity(const Activity& activity);

}  // namespace pgquorum::replication::server
