// INSERT … ON CONFLICT on fusion tables.
//
// PostgreSQL's executor prepares the unique indexes of such a statement when the first row comes,
// and knows btree only. Here they are opened before that, and prepared the same way.
#include "extension/fusion/index_am.h"
#include "extension/fusion/statements.h"
#include "extension/fusion/table_am.h"

extern "C" {
#include "access/genam.h"
#include "access/nbtree.h"
#include "catalog/pg_inherits.h"
#include "executor/executor.h"
#include "nodes/plannodes.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
}

namespace pgquorum::fusion::server {
namespace {

template <typename T>
T* NewArray(int count) {
  return static_cast<T*>(palloc(static_cast<Size>(count) * sizeof(T)));
}

void PrepareIndex(Relation index, IndexInfo* info) {
  int count = info->ii_NumIndexKeyAttrs;
  info->ii_UniqueOps = NewArray<Oid>(count);
  info->ii_UniqueProcs = NewArray<Oid>(count);
  info->ii_UniqueStrats = NewArray<uint16>(count);
  for (int i = 0; i < count; ++i) {
    Oid type = index->rd_opcintype[i];
    info->ii_UniqueStrats[i] = BTEqualStrategyNumber;
    info->ii_UniqueOps[i] =
        get_opfamily_member(index->rd_opfamily[i], type, type, BTEqualStrategyNumber);
    if (!OidIsValid(info->ii_UniqueOps[i])) {
      elog(ERROR, "missing operator %d(%u,%u) for column %d of index \"%s\"", BTEqualStrategyNumber,
           type, type, i + 1, RelationGetRelationName(index));
    }
    info->ii_UniqueProcs[i] = get_opcode(info->ii_UniqueOps[i]);
  }
}

void PrepareTable(ResultRelInfo* target) {
  if (!target->ri_RelationDesc->rd_rel->relhasindex || target->ri_IndexRelationDescs != nullptr) {
    return;
  }
  ExecOpenIndices(target, false);
  for (int i = 0; i < target->ri_NumIndices; ++i) {
    IndexInfo* info = target->ri_IndexRelationInfo[i];
    if (info->ii_Unique) {
      PrepareIndex(target->ri_IndexRelationDescs[i], info);
    }
  }
}

// The executor opens the indexes of a partition by itself, when it meets the first row for it, and
// prepares them if they look like btrees. What this statement locks already, nobody makes the
// executor read anew then.
void PreparePartitions(Relation parent) {
  ListCell* cell;
  foreach (cell, find_all_inheritors(RelationGetRelid(parent), RowExclusiveLock, nullptr)) {
    Relation rel = RelationIdGetRelation(lfirst_oid(cell));
    List* indexes = RelationIsValid(rel) && IsFusionTable(rel) ? RelationGetIndexList(rel) : NIL;
    if (RelationIsValid(rel)) {
      RelationClose(rel);
    }
    ListCell* index;
    foreach (index, indexes) {
      LockRelationOid(lfirst_oid(index), RowExclusiveLock);
      ShowIndexAsBtree(lfirst_oid(index));
    }
  }
}

void PrepareStatement(ModifyTableState* state) {
  if (castNode(ModifyTable, state->ps.plan)->onConflictAction == ONCONFLICT_NONE) {
    return;
  }
  for (int i = 0; i < state->mt_nrels; ++i) {
    ResultRelInfo* target = &state->resultRelInfo[i];
    Relation rel = target->ri_RelationDesc;
    if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE) {
      PreparePartitions(rel);
    } else if (IsFusionTable(rel)) {
      PrepareTable(target);
    }
  }
}

}  // namespace

void PrepareConflictChecks(QueryDesc* query) {
  MemoryContext before = MemoryContextSwitchTo(query->estate->es_query_cxt);
  if (query->planstate != nullptr && IsA(query->planstate, ModifyTableState)) {
    PrepareStatement(castNode(ModifyTableState, query->planstate));
  }
  ListCell* cell;
  foreach (cell, query->estate->es_auxmodifytables) {
    PrepareStatement(lfirst_node(ModifyTableState, cell));
  }
  MemoryContextSwitchTo(before);
}

}  // namespace pgquorum::fusion::server
