// What is kept beside rows (core/conflict/kept.h): the table that holds it, and rows of tables in
// the form in which the cores take them.
//
// C++ values here live in static memory of their users: every function may raise an error.
#pragma once

#include <string>
#include <vector>

#include "bgworkers/replication/core/conflict/kept.h"

#include "extension/pg/pg.h"

extern "C" {
#include "executor/tuptable.h"
#include "storage/itemptr.h"
#include "utils/rel.h"
}

#include "bgworkers/replication/server/row_facts.h"
#include "bgworkers/replication/server/table_rules.h"

namespace pgquorum::replication::server {

// One row of pgquorum_internal.row_state; `state` is of the current memory context.
struct KeptRow {
  bool found;
  ItemPointerData place;
  TransactionId writer;  // of the row that it is about, zero: of none
  TransactionId author;  // who wrote it down
  bytea* state;
};

KeptRow FindKept(Oid relation, bytea* key);
// The same, locked until the end of the transaction: where there is no row that could be.
KeptRow LockKept(Oid relation, bytea* key);
void PutKept(const KeptRow& old, Oid relation, bytea* key, TransactionId writer,
             const std::string& state);

// Text output that does not depend on the session: as in the decoder's. Ends with the transaction
// when an error comes between.
int BeginPlainOutput();
void EndPlainOutput(int level);

// The parts of a row that the cores want. With `texts`, plain columns as text; without, nulls.
void TakeRow(const TableRules& rules, TupleDesc descriptor, const Datum* values, const bool* nulls,
             bool texts, TableRow& out);

}  // namespace pgquorum::replication::server
