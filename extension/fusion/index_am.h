// The index access method `fusion_btree`: which functions PostgreSQL calls, a file for each kind.
// The tree itself is cachefusion/index.
//
// Include after extension/fusion/engine.h.
#pragma once

#include "cachefusion/index/index_tree.h"

#include "extension/fusion/engine.h"
#include "extension/fusion/index_order.h"

extern "C" {
#include "access/amapi.h"
#include "executor/execdesc.h"
#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"
#include "nodes/plannodes.h"
#include "utils/rel.h"
}

namespace pgquorum::fusion::server {

inline constexpr char kIndexAmName[] = "fusion_btree";

// In the current memory context, as PostgreSQL wants it.
IndexAmRoutine* MakeFusionIndexRoutine();
bool IsFusionIndex(Relation rel);

// What may raise of looking up an index's support functions: before an OpenIndex is made.
void FindComparisons(Relation index);
// A tree and its order, for one relation that is open.
struct OpenIndex {
  OpenIndex(Engine& engine, Relation index);
  ServerKeyOrder order;
  IndexTree tree;
};

// ---- index_insert.cpp ---------------------------------------------------------------------------
bool InsertIntoIndex(Relation index, Datum* values, bool* nulls, ItemPointer tid, Relation table,
                     IndexUniqueCheck check, bool unchanged, IndexInfo* info);
// Raises 23505: another row has the key.
[[noreturn]] void RaiseDuplicate(Relation table, Relation index, IndexTuple key, bool building);
// Equal keys of this one's kind are no conflict: it has a null.
bool NeverConflicts(Relation index, const bool* nulls);

// ---- what fills the routine ---------------------------------------------------------------------
IndexBuildResult* BuildFusionIndex(Relation table, Relation index, IndexInfo* info);
void FillIndexScans(IndexAmRoutine& routine);   // index_scan.cpp
void FillIndexUpkeep(IndexAmRoutine& routine);  // index_vacuum.cpp

// ---- hooks --------------------------------------------------------------------------------------
// An index has been made, its catalog rows not yet seen: on a fusion table a B-tree becomes ours.
void AdoptIndex(Oid index);
// The statement with `fusion_btree` said as btree, for the reason in index_ddl.cpp; itself when
// there is nothing to change. Raises for tables that are no fusion tables.
PlannedStmt* SayBtree(PlannedStmt* statement);
// The planner does not find the size of fusion indexes by itself.
void DescribeIndexes(RelOptInfo* info);
// INSERT … ON CONFLICT: PostgreSQL prepares unique indexes of the access method btree only.
void PrepareConflictChecks(QueryDesc* query);

}  // namespace pgquorum::fusion::server
