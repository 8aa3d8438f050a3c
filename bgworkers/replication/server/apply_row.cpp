#include "bgworkers/replication/server/apply_row.h"

#include "bgworkers/replication/core/conflict/by_stamp.h"
#include "bgworkers/replication/core/errors.h"

extern "C" {
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "commands/trigger.h"
#include "executor/execPartition.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "nodes/makefuncs.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
}

#include "bgworkers/replication/server/apply_kept.h"
#include "bgworkers/replication/server/apply_log.h"
#include "bgworkers/replication/server/execution.h"
#include "bgworkers/replication/server/row_facts.h"
#include "bgworkers/replication/server/table_rules.h"
#include "extension/pg/boundary.h"

namespace pgquorum::replication::server {

namespace {

// Partitions are addressed through the table that they are parts of, whatever they are elsewhere.
// The key holds what decides, and never changes.
Relation PartitionFor(const RelationRecord& remote, const RowRecord& row, Relation root) {
  PushActiveSnapshot(GetTransactionSnapshot());
  Execution run = BeginExecution(root);
  FillSlot(remote, row, root, run.remote);
  auto* work = makeNode(ModifyTableState);
  work->ps.state = run.state;
  work->operation = CMD_INSERT;
  work->resultRelInfo = run.target;
  PartitionTupleRouting* routing = ExecSetupPartitionTupleRouting(run.state, root);
  ResultRelInfo* leaf = ExecFindPartition(work, run.target, routing, run.remote, run.state);
  Oid id = RelationGetRelid(leaf->ri_RelationDesc);
  ExecCleanupTupleRouting(work, routing);
  EndExecution(run);
  PopActiveSnapshot();
  table_close(root, NoLock);
  return table_open(id, RowExclusiveLock);
}

Relation OpenTarget(const RelationRecord& remote, const RowRecord& row) {
  RangeVar* name = makeRangeVar(pstrdup(remote.schema.c_str()), pstrdup(remote.name.c_str()), -1);
  Relation relation = table_openrv(name, RowExclusiveLock);
  if (RulesOf(relation) == nullptr ||
      (!IsReplicated(relation) && !IsRegistered(RelationGetRelid(relation)))) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("table \"%s.%s\" is not replicated at this site yet",
                           remote.schema.c_str(), remote.name.c_str()),
                    errhint("Run system.add_replicated_table() for it again.")));
  }
  return relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE
             ? PartitionFor(remote, row, relation)
             : relation;
}

TableAction ActionInOwnTransaction(Operation operation, bool live) {
  if (operation == Operation::kDelete) {
    return live ? TableAction::kDelete : TableAction::kNone;
  }
  return live ? TableAction::kUpdate : TableAction::kInsert;
}

}  // namespace

RowOutcome ApplyRow(const ApplyContext& context, const RelationRecord& remote,
                    const RowRecord& row) {
  Relation relation = OpenTarget(remote, row);
  Key key = KeyOf(relation);
  const TableRules* rules = RulesOf(relation);
  Strategy strategy = rules->strategy;
  if (rules->keeps_state) {
    RowOutcome outcome = ApplyKeptRow(context, *rules, key, relation, remote, row);
    table_close(relation, NoLock);
    CommandCounterIncrement();
    return outcome;
  }
  PushActiveSnapshot(GetTransactionSnapshot());
  Execution run = BeginExecution(relation);
  FillSlot(remote, row, relation, run.remote);
  bytea* bytes = KeyBytes(relation, key, run.remote->tts_values);

  bool live =
      RelationFindReplTupleByIndex(relation, key.index, LockTupleExclusive, run.remote, run.local);
  RowStamp written = {};
  RowStamp deleted = {};
  if (live) {
    bool is_null = false;
    written = StampOf(DatumGetTransactionId(
        slot_getsysattr(run.local, MinTransactionIdAttributeNumber, &is_null)));
  }
  bool tombstone = FindTombstone(rules->root, bytes, &deleted);
  StampedRow local;
  local.live = live;
  local.written = StampHere(written, context.own_site, context.stamp);
  local.deleted = tombstone ? StampHere(deleted, context.own_site, context.stamp) : Stamp();

  StampVerdict verdict;
  if (live ? written.own_transaction : tombstone && deleted.own_transaction) {
    // The transaction has won this row before: what it writes now replaces that.
    verdict.action = ActionInOwnTransaction(row.operation, live);
    verdict.keep_tombstone = row.operation == Operation::kDelete;
    verdict.outcome = Outcome::kApplied;
  } else {
    StampedChange change{row.operation, context.stamp, row.known.base};
    verdict = pg::Boundary([&] { return DecideByStamp(local, change, strategy); });
  }
  if (verdict.conflict != ConflictKind::kNone && !context.copied) {
    LogConflict(context, remote, row, local, verdict, strategy, live ? run.local : nullptr);
  }
  if (verdict.outcome == Outcome::kDeadLetter) {
    LogDeadLetter(context, remote, row,
                  {kErrConflict.data(), "the change met a write that it had not seen",
                   "The strategy of the table is error: the row stays as it is here."});
  }
  if (verdict.keep_tombstone) {
    PutTombstone(rules->root, bytes);
  }
  bool writes = verdict.action == TableAction::kInsert || verdict.action == TableAction::kUpdate;
  bool takes = verdict.action == TableAction::kDelete || verdict.action == TableAction::kUpdate;
  ReferenceChecks checks =
      ChecksOf(relation, rules->root, takes ? run.local : nullptr, writes ? run.remote : nullptr);
  Execute(verdict.action, run);
  EndExecution(run);
  PopActiveSnapshot();
  table_close(relation, NoLock);
  CommandCounterIncrement();
  return {verdict.conflict != ConflictKind::kNone, checks};
}

}  // namespace pgquorum::replication::server
