// Dispatcher of ExecutorStart_hook.
//
// Order: admission, fence, the hook that was there before.
#include "extension/pg/pg.h"

extern "C" {
#include "executor/executor.h"
#include "nodes/plannodes.h"
}

#include "extension/hooks/admission.h"
#include "extension/hooks/commit_gate.h"
#include "extension/hooks/hooks.h"

namespace pgquorum::hooks {

namespace {

ExecutorStart_hook_type g_next = nullptr;

bool Writes(const QueryDesc* query) {
  return query->operation != CMD_SELECT || query->plannedstmt->hasModifyingCTE ||
         query->plannedstmt->rowMarks != NIL;
}

void OnStart(QueryDesc* query, int flags) {
  admission::CheckStatement();
  if ((flags & EXEC_FLAG_EXPLAIN_ONLY) == 0 && Writes(query)) {
    commit_gate::RefuseWrites();
  }
  if (g_next != nullptr) {
    g_next(query, flags);
  } else {
    standard_ExecutorStart(query, flags);
  }
}

}  // namespace

void InstallExecutor() {
  g_next = ExecutorStart_hook;
  ExecutorStart_hook = OnStart;
}

}  // namespace pgquorum::hooks
