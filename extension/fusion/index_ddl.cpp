// How indexes come to fusion tables.
//
// PostgreSQL's core names the access method btree in places of its own: PRIMARY KEY and UNIQUE make
// a btree, foreign keys want operator classes of btree. So every index of a fusion table is created
// as a btree, with btree's operator classes; when its catalog rows have been written and before it
// is built, this file gives it the access method fusion_btree. All B-tree operator classes work,
// those of other extensions as well.
#include "extension/fusion/index_am.h"

#include "extension/fusion/table_am.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "commands/defrem.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
}

#include "extension/pg/boundary.h"

namespace pgquorum::fusion::server {
namespace {

constexpr char kBtree[] = "btree";

bool IsNewBtree(Oid relation) {
  Relation rel = RelationIdGetRelation(relation);
  if (!RelationIsValid(rel)) {
    return false;
  }
  bool btree = rel->rd_rel->relkind == RELKIND_INDEX && rel->rd_rel->relam == BTREE_AM_OID;
  RelationClose(rel);
  return btree;
}

// Of an index whose catalog rows this very command has written.
Oid TableOf(Oid index) {
  Oid table = InvalidOid;
  Relation catalog = table_open(IndexRelationId, AccessShareLock);
  ScanKeyData key;
  ScanKeyInit(&key, Anum_pg_index_indexrelid, BTEqualStrategyNumber, F_OIDEQ,
              ObjectIdGetDatum(index));
  SysScanDesc scan = systable_beginscan(catalog, IndexRelidIndexId, true, SnapshotSelf, 1, &key);
  HeapTuple row = systable_getnext(scan);
  if (HeapTupleIsValid(row)) {
    table = reinterpret_cast<Form_pg_index>(GETSTRUCT(row))->indrelid;
  }
  systable_endscan(scan);
  table_close(catalog, AccessShareLock);
  return table;
}

bool IsFusionTableNumber(Oid table) {
  Relation rel = OidIsValid(table) ? RelationIdGetRelation(table) : nullptr;
  if (rel == nullptr) {
    return false;
  }
  bool fusion = IsFusionTable(rel);
  RelationClose(rel);
  return fusion;
}

void ChangeAccessMethod(Oid index, Oid method) {
  Relation catalog = table_open(RelationRelationId, RowExclusiveLock);
  HeapTuple row = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(index));
  if (!HeapTupleIsValid(row)) {
    elog(ERROR, "cache lookup failed for relation %u", index);
  }
  if (!heap_attisnull(row, Anum_pg_class_reloptions, nullptr)) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("fusion indexes have no storage parameters")));
  }
  reinterpret_cast<Form_pg_class>(GETSTRUCT(row))->relam = method;
  CatalogTupleUpdate(catalog, &row->t_self, row);
  heap_freetuple(row);
  table_close(catalog, RowExclusiveLock);
}

// The entry is open, so the cache reads its catalog rows again but keeps the access method's
// functions.
void ChangeRoutine(Oid index, Oid handler) {
  Relation rel = RelationIdGetRelation(index);
  IndexAmRoutine* routine = MakeFusionIndexRoutine();
  *rel->rd_indam = *routine;
  rel->rd_amhandler = handler;
  pfree(routine);
  RelationClose(rel);
}

// InvalidOid: the extension is not in this database.
Oid HandlerOf(Oid method) {
  HeapTuple row = SearchSysCache1(AMOID, ObjectIdGetDatum(method));
  if (!HeapTupleIsValid(row)) {
    return InvalidOid;
  }
  Oid handler = reinterpret_cast<Form_pg_am>(GETSTRUCT(row))->amhandler;
  ReleaseSysCache(row);
  return handler;
}

bool IsOurName(const char* method) {
  return method != nullptr && strcmp(method, kIndexAmName) == 0;
}

// The first EXCLUDE USING fusion_btree that ALTER TABLE adds, or null.
Constraint* NextExclusion(AlterTableStmt* stmt) {
  ListCell* cell;
  foreach (cell, stmt->cmds) {
    auto* command = lfirst_node(AlterTableCmd, cell);
    if (command->subtype == AT_AddConstraint && IsA(command->def, Constraint) &&
        IsOurName(castNode(Constraint, command->def)->access_method)) {
      return castNode(Constraint, command->def);
    }
  }
  return nullptr;
}

// Partitioned tables may have fusion partitions.
void RequireFusion(const RangeVar* name) {
  Oid table = RangeVarGetRelid(name, NoLock, true);
  if (!OidIsValid(table) || get_rel_relkind(table) == RELKIND_PARTITIONED_TABLE ||
      IsFusionTableNumber(table)) {
    return;
  }
  ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                  errmsg("access method \"%s\" indexes fusion tables only", kIndexAmName),
                  errdetail("\"%s\" is no fusion table.", name->relname)));
}

}  // namespace

void AdoptIndex(Oid index) {
  if (Memory() == nullptr || !IsNewBtree(index) || !IsFusionTableNumber(TableOf(index))) {
    return;
  }
  Oid method = get_index_am_oid(kIndexAmName, false);
  CommandCounterIncrement();
  ChangeAccessMethod(index, method);
  ChangeRoutine(index, HandlerOf(method));
}

PlannedStmt* SayBtree(PlannedStmt* statement) {
  Node* node = statement->utilityStmt;
  if (IsA(node, IndexStmt)) {
    auto* stmt = castNode(IndexStmt, node);
    if (!IsOurName(stmt->accessMethod)) {
      return statement;
    }
    RequireFusion(stmt->relation);
  } else if (!IsA(node, AlterTableStmt) ||
             NextExclusion(castNode(AlterTableStmt, node)) == nullptr) {
    return statement;
  }
  // A statement may be kept by a plan cache.
  auto* copy = static_cast<PlannedStmt*>(copyObjectImpl(statement));
  if (IsA(copy->utilityStmt, IndexStmt)) {
    castNode(IndexStmt, copy->utilityStmt)->accessMethod = pstrdup(kBtree);
    return copy;
  }
  auto* stmt = castNode(AlterTableStmt, copy->utilityStmt);
  while (Constraint* constraint = NextExclusion(stmt)) {
    constraint->access_method = pstrdup(kBtree);
  }
  return copy;
}

void DescribeIndexes(RelOptInfo* info) {
  ListCell* cell;
  foreach (cell, info->indexlist) {
    auto* described = lfirst_node(IndexOptInfo, cell);
    Relation index = RelationIdGetRelation(described->indexoid);
    if (RelationIsValid(index) && IsFusionIndex(index)) {
      Engine& engine = Use();
      FindComparisons(index);
      IndexShape shape = pg::Boundary(
          [&]() -> Result<IndexShape> { return OpenIndex(engine, index).tree.Shape(); });
      double known = index->rd_rel->reltuples;
      described->pages = shape.blocks;
      described->tree_height = static_cast<int>(shape.level);
      if (described->relam == BTREE_AM_OID) {  // statements.h
        described->relam = get_index_am_oid(kIndexAmName, false);
      }
      described->tuples =
          described->indpred == NIL || known < 0 || known > info->tuples ? info->tuples : known;
    }
    if (RelationIsValid(index)) {
      RelationClose(index);
    }
  }
}

}  // namespace pgquorum::fusion::server
