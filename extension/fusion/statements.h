// Utility statements on fusion tables: what PostgreSQL must see differently to carry them out.
//
// Include after extension/fusion/engine.h.
#pragma once

#include "extension/pg/pg.h"

extern "C" {
#include "access/htup.h"
#include "nodes/plannodes.h"
}

namespace pgquorum::fusion::server {

// The statement with an access method of its own where the default would make a temporary table a
// fusion table; itself when there is nothing to change.
PlannedStmt* TemporaryAsHeap(PlannedStmt* statement);

// Before the statement. PostgreSQL asks in some places whether an index is a btree, by the number
// of its access method in the relation cache: constraints that take an index, indexes that are
// attached to a partitioned one. For these statements our entries say yes,
// until the next invalidation.
void ShowIndexesAsBtree(Node* statement);
void ShowIndexAsBtree(Oid index);
void ShowPartitionsAsBtree(Oid table);

// ALTER COLUMN TYPE makes indexes anew from their texts, and there is no operator class of
// fusion_btree: while it runs, this process's copy of that access method's row bears btree's name.
bool RebuildsIndexes(Node* statement);
HeapTuple NameBtree();
void NameFusionBtree(HeapTuple method);

}  // namespace pgquorum::fusion::server
