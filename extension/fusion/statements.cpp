#include "extension/fusion/index_am.h"
#include "extension/fusion/table_am.h"

#include "extension/fusion/statements.h"

extern "C" {
#include "access/htup_details.h"
#include "access/nbtree.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "commands/defrem.h"
#include "storage/sinval.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/relcache.h"
#include "utils/syscache.h"
}

namespace pgquorum::fusion::server {
namespace {

constexpr char kTableAmName[] = "fusion";
constexpr char kHeap[] = "heap";

// Whether a table of this name would be temporary.
bool IsTemporary(const RangeVar* name) {
  if (name->relpersistence == RELPERSISTENCE_TEMP) {
    return true;
  }
  if (name->relpersistence != RELPERSISTENCE_PERMANENT) {
    return false;
  }
  if (name->schemaname != nullptr) {
    return strcmp(name->schemaname, "pg_temp") == 0 ||
           isTempNamespace(get_namespace_oid(name->schemaname, true));
  }
  List* path = fetch_search_path(false);
  bool temporary = path != NIL && isTempNamespace(linitial_oid(path));
  list_free(path);
  return temporary;
}

// Where the statement that makes a temporary table has its access method, or null.
char** MethodOfTemporary(Node* node) {
  if (IsA(node, CreateStmt)) {
    auto* stmt = castNode(CreateStmt, node);
    bool stored = stmt->partspec == nullptr;  // partitioned tables have no access method
    return stored && IsTemporary(stmt->relation) ? &stmt->accessMethod : nullptr;
  }
  if (IsA(node, CreateTableAsStmt)) {
    auto* stmt = castNode(CreateTableAsStmt, node);
    return IsTemporary(stmt->into->rel) ? &stmt->into->accessMethod : nullptr;
  }
  if (IsA(node, ExplainStmt)) {
    auto* query = castNode(Query, castNode(ExplainStmt, node)->query);
    return query->utilityStmt != nullptr ? MethodOfTemporary(query->utilityStmt) : nullptr;
  }
  return nullptr;
}

Oid NumberOf(const RangeVar* name) {
  return RangeVarGetRelid(name, NoLock, true);
}

void ShowTableAsBtree(Oid table) {
  Relation rel = RelationIdGetRelation(table);
  if (!RelationIsValid(rel)) {
    return;
  }
  List* indexes = IsFusionTable(rel) ? RelationGetIndexList(rel) : NIL;
  RelationClose(rel);
  ListCell* cell;
  foreach (cell, indexes) {
    ShowIndexAsBtree(lfirst_oid(cell));
  }
  list_free(indexes);
}

void ShowForAlterTable(const AlterTableStmt* stmt) {
  ListCell* cell;
  foreach (cell, stmt->cmds) {
    auto* command = lfirst_node(AlterTableCmd, cell);
    if (command->subtype == AT_AttachPartition) {
      Oid part = NumberOf(castNode(PartitionCmd, command->def)->name);
      if (stmt->objtype == OBJECT_INDEX) {
        ShowIndexAsBtree(part);
      } else {
        ShowPartitionsAsBtree(part);
      }
    } else if (command->subtype == AT_AddConstraint || command->subtype == AT_AddColumn) {
      ShowPartitionsAsBtree(NumberOf(stmt->relation));
    }
  }
}

}  // namespace

PlannedStmt* TemporaryAsHeap(PlannedStmt* statement) {
  if (Memory() == nullptr || strcmp(default_table_access_method, kTableAmName) != 0) {
    return statement;
  }
  char** method = MethodOfTemporary(statement->utilityStmt);
  if (method == nullptr || *method != nullptr) {
    return statement;
  }
  // A statement may be kept by a plan cache.
  auto* copy = static_cast<PlannedStmt*>(copyObjectImpl(statement));
  *MethodOfTemporary(copy->utilityStmt) = pstrdup(kHeap);
  return copy;
}

void ShowIndexAsBtree(Oid index) {
  Relation rel = OidIsValid(index) ? RelationIdGetRelation(index) : nullptr;
  if (!RelationIsValid(rel)) {
    return;
  }
  if (IsFusionIndex(rel) && rel->rd_rel->relam != BTREE_AM_OID) {
    rel->rd_rel->relam = BTREE_AM_OID;
    // The planner asks a btree for its height, which is here before it is read from a file. Both go
    // with the next invalidation. What else the planner would do with a btree: DescribeIndexes.
    auto* meta = static_cast<BTMetaPageData*>(
        MemoryContextAllocZero(rel->rd_indexcxt, sizeof(BTMetaPageData)));
    meta->btm_magic = BTREE_MAGIC;
    meta->btm_version = BTREE_VERSION;
    meta->btm_root = BTREE_METAPAGE + 1;
    meta->btm_fastroot = BTREE_METAPAGE + 1;
    rel->rd_amcache = meta;
  }
  RelationClose(rel);
}

void ShowPartitionsAsBtree(Oid table) {
  if (!OidIsValid(table)) {
    return;
  }
  ListCell* cell;
  foreach (cell, find_all_inheritors(table, NoLock, nullptr)) {
    ShowTableAsBtree(lfirst_oid(cell));
  }
}

void ShowIndexesAsBtree(Node* statement) {
  if (Memory() == nullptr || !IsTransactionState()) {
    return;
  }
  if (IsA(statement, AlterTableStmt)) {
    AcceptInvalidationMessages();
    ShowForAlterTable(castNode(AlterTableStmt, statement));
  } else if (IsA(statement, IndexStmt)) {
    Oid table = NumberOf(castNode(IndexStmt, statement)->relation);
    if (OidIsValid(table) && get_rel_relkind(table) == RELKIND_PARTITIONED_TABLE) {
      ShowPartitionsAsBtree(table);
    }
  }
}

bool RebuildsIndexes(Node* statement) {
  if (Memory() == nullptr || !IsA(statement, AlterTableStmt)) {
    return false;
  }
  ListCell* cell;
  foreach (cell, castNode(AlterTableStmt, statement)->cmds) {
    if (lfirst_node(AlterTableCmd, cell)->subtype == AT_AlterColumnType) {
      return true;
    }
  }
  return false;
}

HeapTuple NameBtree() {
  Oid method = get_index_am_oid(kIndexAmName, true);
  HeapTuple row = OidIsValid(method) ? SearchSysCache1(AMOID, ObjectIdGetDatum(method)) : nullptr;
  if (HeapTupleIsValid(row)) {
    namestrcpy(&reinterpret_cast<Form_pg_am>(GETSTRUCT(row))->amname, "btree");
  }
  return row;
}

void NameFusionBtree(HeapTuple method) {
  if (HeapTupleIsValid(method)) {
    namestrcpy(&reinterpret_cast<Form_pg_am>(GETSTRUCT(method))->amname, kIndexAmName);
  }
}

}  // namespace pgquorum::fusion::server
