// Transactions that change rows of fusion tables and of ordinary ones.
//
// Such a transaction is atomic (transaction.cpp prepares its fusion part), but needs three flushes
// for its commit, and another transaction's statement may see one half of it for a moment. So it is
// refused unless pgquorum.fusion_mixed_transactions is on. What is no mixing: catalogs, sequences,
// temporary and unlogged tables, row locks, and rows of a table whose content is this transaction's
// own (made, truncated or rewritten by it), which appear with the catalogs.
//
// Include after extension/fusion/engine.h.
#pragma once

#include "extension/pg/pg.h"

extern "C" {
#include "executor/execdesc.h"
#include "nodes/parsenodes.h"
#include "utils/rel.h"
}

namespace pgquorum::fusion::server {

// Before a row of a fusion table is changed. Raises.
void NoteFusionRows(Relation rel);
// After the run of a statement, before its AFTER triggers. Raises.
void NoteWrittenRows(QueryDesc* query);
// After COPY FROM; `rows` is how many it brought. Raises.
void NoteCopiedRows(const CopyStmt* statement, uint64_t rows);

void EndMixed();  // of the transaction
void EndMixedOfSubtransaction(int level, bool committed);

}  // namespace pgquorum::fusion::server
