// Dispatcher of get_relation_info_hook.
//
// A query that reads a fusion table gets no parallel plan: a parallel worker knows neither the
// transaction's words nor its snapshot's pages yet. And the planner learns the sizes of its
// indexes.
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
    root->glob->parallelModeOK = false;
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
