// Dispatchers of ExecutorStart_hook, ExecutorRun_hook and ExecutorFinish_hook.
//
// Order at the start: admission, fence, the snapshot's fusion commit number, the hook that was
// there before, bitmap scans of and ON CONFLICT on fusion tables. Before the finish, which runs
// AFTER triggers: whether rows of fusion tables and others may meet in a transaction.
#include "extension/fusion/index_am.h"
#include "extension/fusion/memory.h"
#include "extension/fusion/mixed.h"
#include "extension/fusion/table_am.h"
#include "extension/fusion/transaction.h"
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
ExecutorFinish_hook_type g_next_finish = nullptr;
ExecutorRun_hook_type g_next_run = nullptr;

bool Writes(const QueryDesc* query) {
  return query->operation != CMD_SELECT || query->plannedstmt->hasModifyingCTE ||
         query->plannedstmt->rowMarks != NIL;
}

bool Inserts(const QueryDesc* query) {
  return query->operation == CMD_INSERT || query->plannedstmt->hasModifyingCTE;
}

void OnStart(QueryDesc* query, int flags) {
  admission::CheckStatement();
  if ((flags & EXEC_FLAG_EXPLAIN_ONLY) == 0 && Writes(query)) {
    commit_gate::RefuseWrites();
  }
  if ((flags & EXEC_FLAG_EXPLAIN_ONLY) == 0) {
    fusion::server::NoteSnapshot(query->snapshot);
  }
  if (g_next != nullptr) {
    g_next(query, flags);
  } else {
    standard_ExecutorStart(query, flags);
  }
  if ((flags & EXEC_FLAG_EXPLAIN_ONLY) == 0 && fusion::server::Memory() != nullptr) {
    fusion::server::StopReadingAhead(query->planstate, nullptr);
    if (Inserts(query)) {
      fusion::server::PrepareConflictChecks(query);
    }
  }
}

void OnFinish(QueryDesc* query) {
  fusion::server::NoteWrittenRows(query);
  if (g_next_finish != nullptr) {
    g_next_finish(query);
  } else {
    standard_ExecutorFinish(query);
  }
}

// A parallel worker does not know which changes are this transaction's own. A query that is
// executed again is run without workers: which of the two says so depends on the minor version.
void OnRun(QueryDesc* query, ScanDirection direction, uint64 count, bool once) {
  if (query->plannedstmt->parallelModeNeeded && fusion::server::HasChanges()) {
    once = false;
    query->already_executed = true;
  }
  if (g_next_run != nullptr) {
    g_next_run(query, direction, count, once);
  } else {
    standard_ExecutorRun(query, direction, count, once);
  }
}

}  // namespace

void InstallExecutor() {
  g_next_finish = ExecutorFinish_hook;
  ExecutorFinish_hook = OnFinish;
  g_next = ExecutorStart_hook;
  ExecutorStart_hook = OnStart;
  g_next_run = ExecutorRun_hook;
  ExecutorRun_hook = OnRun;
}

}  // namespace pgquorum::hooks
