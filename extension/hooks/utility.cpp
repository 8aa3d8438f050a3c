// Dispatcher of ProcessUtility_hook.
//
// Order: admission, ALTER SYSTEM of a member, fence, the snapshot's fusion commit number, the
// access method of fusion indexes, the hook that was there before, rows that COPY brought. COMMIT
// PREPARED and ROLLBACK PREPARED have no transaction id of their own, so no transaction callback
// sees them: they are fenced here.
#include "extension/fusion/index_am.h"
#include "extension/fusion/mixed.h"
#include "extension/fusion/statements.h"
#include "extension/fusion/transaction.h"
#include "extension/pg/pg.h"

extern "C" {
#include "nodes/parsenodes.h"
#include "tcop/utility.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
}

#include "extension/hooks/admission.h"
#include "extension/hooks/commit_gate.h"
#include "extension/hooks/hooks.h"
#include "extension/hooks/managed_settings.h"
#include "extension/pg/guard.h"

namespace pgquorum::hooks {

namespace {

ProcessUtility_hook_type g_next = nullptr;

struct Call {
  PlannedStmt* statement;
  const char* query;
  bool read_only_tree;
  ProcessUtilityContext context;
  ParamListInfo params;
  QueryEnvironment* environment;
  DestReceiver* dest;
  QueryCompletion* completion;
};

void Next(const Call& c) {
  auto* next = g_next != nullptr ? g_next : standard_ProcessUtility;
  next(c.statement, c.query, c.read_only_tree, c.context, c.params, c.environment, c.dest,
       c.completion);
}

bool IsTransactionControl(const Node* node) {
  return IsA(node, TransactionStmt);
}

bool EndsPrepared(Node* node) {
  if (!IsA(node, TransactionStmt)) {
    return false;
  }
  TransactionStmtKind kind = castNode(TransactionStmt, node)->kind;
  return kind == TRANS_STMT_COMMIT_PREPARED || kind == TRANS_STMT_ROLLBACK_PREPARED;
}

bool ImportsSnapshot(Node* node) {
  if (!IsA(node, VariableSetStmt)) {
    return false;
  }
  auto* set = castNode(VariableSetStmt, node);
  return set->kind == VAR_SET_MULTI && strcmp(set->name, "TRANSACTION SNAPSHOT") == 0;
}

// ALTER SYSTEM writes no WAL, and repairs what may have closed the gate.
bool Writes(Node* node) {
  if (IsA(node, AlterSystemStmt)) {
    return false;
  }
  LogStmtLevel level = GetCommandLogLevel(node);
  return level == LOGSTMT_DDL || level == LOGSTMT_MOD;
}

void EndPrepared(const Call& c) {
  commit_gate::BeginCommit();
  PG_TRY();
  { Next(c); }
  PG_CATCH();
  {
    commit_gate::AbortCommit();
    PG_RE_THROW();
  }
  PG_END_TRY();
  commit_gate::EndCommit();
}

// The row stays in the cache until the end: who reads it anew gets another copy.
void RebuildIndexes(const Call& c) {
  HeapTuple method = fusion::server::NameBtree();
  PG_TRY();
  { Next(c); }
  PG_FINALLY();
  { fusion::server::NameFusionBtree(method); }
  PG_END_TRY();
  if (method != nullptr) {
    ReleaseSysCache(method);
  }
}

void OnUtility(PlannedStmt* statement, const char* query, bool read_only_tree,
               ProcessUtilityContext context, ParamListInfo params, QueryEnvironment* environment,
               DestReceiver* dest, QueryCompletion* completion) {
  Call call = {statement, query, read_only_tree, context, params, environment, dest, completion};
  Node* node = statement->utilityStmt;
  if (!IsTransactionControl(node)) {
    admission::CheckStatement();
    if (managed_settings::Handle(node, context == PROCESS_UTILITY_TOPLEVEL)) {
      if (completion != nullptr) {
        SetQueryCompletion(completion, CMDTAG_ALTER_SYSTEM, 0);
      }
      return;
    }
    if (Writes(node)) {
      commit_gate::RefuseWrites();
    }
    if (ImportsSnapshot(node)) {
      fusion::server::NoteImportedSnapshot();
    } else if (ActiveSnapshotSet()) {
      fusion::server::NoteSnapshot(GetActiveSnapshot());
    }
    call.statement = fusion::server::TemporaryAsHeap(fusion::server::SayBtree(statement));
    fusion::server::ShowIndexesAsBtree(node);
  }
  if (EndsPrepared(node)) {
    EndPrepared(call);
  } else if (fusion::server::RebuildsIndexes(node)) {
    RebuildIndexes(call);
  } else {
    Next(call);
  }
  if (IsA(node, CopyStmt)) {
    // Nobody counts where there is no completion.
    fusion::server::NoteCopiedRows(castNode(CopyStmt, node),
                                   completion != nullptr ? completion->nprocessed : 1);
  }
}

}  // namespace

void InstallUtility() {
  g_next = ProcessUtility_hook;
  ProcessUtility_hook = OnUtility;
}

}  // namespace pgquorum::hooks
