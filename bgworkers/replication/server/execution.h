// One row of another site on its way into a table: values, the executor, and the write itself.
#pragma once

#include "bgworkers/replication/core/change/record.h"

#include "extension/pg/pg.h"

extern "C" {
#include "executor/executor.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"
}

namespace pgquorum::replication::server {

// What execution of one row needs; the memory is the executor's.
struct Execution {
  EState* state;
  ResultRelInfo* target;
  TupleTableSlot* remote;  // what is to be written
  TupleTableSlot* local;   // what is there
};

Execution BeginExecution(Relation relation);
void EndExecution(Execution& run);

// This site's column of that name; raises when there is none.
AttrNumber LocalColumn(const RelationRecord& remote, std::size_t i, Relation relation);
Datum FromText(Relation relation, AttrNumber number, const char* text);
// The row as it came, by the names of its columns.
void FillSlot(const RelationRecord& remote, const RowRecord& row, Relation relation,
              TupleTableSlot* slot);

// Whether the row satisfies the table's CHECK constraints.
bool SatisfiesChecks(Execution& run, TupleTableSlot* row);

// Writes `run.remote`, or deletes `run.local`.
void Execute(TableAction action, Execution& run);

}  // namespace pgquorum::replication::server
