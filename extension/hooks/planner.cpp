// Dispatcher of get_relation_info_hook.
//
// A query of a transaction that has changed fusion tables gets no parallel plan: a worker does not
// know the transaction's words (executor.cpp sees to plans that were made before). And the planner
// learns the sizes of fusion indexes.
#include "extension/fusion/index_am.h"
#include "extension/fusion/table_am.h"
#include "extension/pg/pg.h"

extern "C" {
#include "nodes/pathnodes.h"
#include "optimizer/plancat.h"
#include "utils/relcache.h"
}

#include "extension/hooks/hooks.h"

namespace pgquorum::hooks {

namespace {

get_relation_info_hook_type g_next = nullptr;

void OnRelation(PlannerInfo* root, Oid relation, bool inherits, RelOptInfo* info) {
  if (g_next != nullptr) {
    g_next(root, relation, inherits, info);
  }
  Relation rel = RelationIdGetRelation(relation);
  if (!RelationIsValid(rel)) {
    return;
  }
  if (fusion::server::IsFusionTable(rel)) {
    if (fusion::server::HasChanges()) {
      root->glob->parallelModeOK = false;
    }
    fusion::server::DescribeIndexes(info);
  }
  RelationClose(rel);
}

}  // namespace

void InstallPlanner() {
  g_next = get_relation_info_hook;
  get_relation_info_hook = OnRelation;
}

}  // namespace pgquorum::hooks
