#include "extension/fusion/engine.h"

#include "extension/fusion/mixed.h"

#include "extension/fusion/settings.h"
#include "extension/fusion/table_am.h"

extern "C" {
#include "access/table.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "nodes/execnodes.h"
#include "utils/lsyscache.h"
}

#include "extension/guc.h"

namespace pgquorum::fusion::server {
namespace {

// A kind of rows that this transaction has changed: which table was the first, and the outermost
// subtransaction that did it, so that it is forgotten when that is undone.
struct Changed {
  Oid table = InvalidOid;
  int level = 0;
};
Changed g_fusion;
Changed g_ordinary;

void Note(Changed& changed, Oid table) {
  int level = GetCurrentTransactionNestLevel();
  if (!OidIsValid(changed.table) || level < changed.level) {
    changed = {table, level};
  }
}

void RefuseMixing() {
  if (!OidIsValid(g_fusion.table) || !OidIsValid(g_ordinary.table) ||
      guc::fusion_mixed_transactions) {
    return;
  }
  char* fusion = get_rel_name(g_fusion.table);
  char* ordinary = get_rel_name(g_ordinary.table);
  ereport(
      ERROR,
      (errcode(ERRCODE_INVALID_TRANSACTION_STATE),
       errmsg("cannot change rows of fusion tables and of ordinary tables in one transaction"),
       errdetail("The transaction changes fusion table \"%s\" and ordinary table \"%s\".",
                 fusion == nullptr ? "?" : fusion, ordinary == nullptr ? "?" : ordinary),
       errhint("Use a transaction for each, or set pgquorum.fusion_mixed_transactions to on.")));
}

// All that is in the table is this transaction's, so it comes and goes with the catalogs.
bool IsNew(Relation rel) {
  return rel->rd_createSubid != InvalidSubTransactionId ||
         rel->rd_firstRelfilenodeSubid != InvalidSubTransactionId;
}

bool IsOrdinary(Relation rel) {
  char kind = rel->rd_rel->relkind;
  return (kind == RELKIND_RELATION || kind == RELKIND_MATVIEW) &&
         rel->rd_rel->relpersistence == RELPERSISTENCE_PERMANENT && !IsFusionTable(rel) &&
         !IsCatalogRelation(rel) && !IsNew(rel);
}

void NoteOrdinaryRows(Relation rel) {
  if (IsOrdinary(rel)) {
    Note(g_ordinary, RelationGetRelid(rel));
    RefuseMixing();
  }
}

void NoteTargets(List* targets) {
  ListCell* cell;
  foreach (cell, targets) {
    NoteOrdinaryRows(static_cast<ResultRelInfo*>(lfirst(cell))->ri_RelationDesc);
  }
}

void NoteWithPartitions(Oid table) {
  ListCell* cell;
  foreach (cell, find_all_inheritors(table, AccessShareLock, nullptr)) {
    Relation rel = table_open(lfirst_oid(cell), NoLock);
    NoteOrdinaryRows(rel);
    table_close(rel, NoLock);
  }
}

void End(Changed& changed, int level, bool committed) {
  if (!OidIsValid(changed.table) || changed.level < level) {
    return;
  }
  if (committed) {
    changed.level = level - 1;
  } else {
    changed = {};
  }
}

}  // namespace

void NoteFusionRows(Relation rel) {
  if (!IsNew(rel)) {
    Note(g_fusion, RelationGetRelid(rel));
    RefuseMixing();
  }
}

void NoteWrittenRows(QueryDesc* query) {
  if (!Configured() || (query->operation == CMD_SELECT && !query->plannedstmt->hasModifyingCTE)) {
    return;
  }
  // Only the statement's own rows are counted; of what it does besides, it is not known whether
  // there were any.
  bool counted = query->plannedstmt->canSetTag && !query->plannedstmt->hasModifyingCTE;
  EState* state = query->estate;
  if (counted && state->es_processed == 0) {
    return;
  }
  NoteTargets(state->es_opened_result_relations);
  NoteTargets(state->es_tuple_routing_result_relations);
}

void NoteCopiedRows(const CopyStmt* statement, uint64_t rows) {
  if (!Configured() || !statement->is_from || statement->relation == nullptr || rows == 0) {
    return;
  }
  Oid table = RangeVarGetRelid(statement->relation, NoLock, true);
  if (OidIsValid(table)) {
    NoteWithPartitions(table);
  }
}

void EndMixed() {
  g_fusion = {};
  g_ordinary = {};
}

void EndMixedOfSubtransaction(int level, bool committed) {
  End(g_fusion, level, committed);
  End(g_ordinary, level, committed);
}

}  // namespace pgquorum::fusion::server
