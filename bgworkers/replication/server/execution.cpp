#include "bgworkers/replication/server/execution.h"

extern "C" {
#include "access/tableam.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/nodeModifyTable.h"
#include "nodes/makefuncs.h"
#include "nodes/readfuncs.h"
#include "utils/lsyscache.h"
}

namespace pgquorum::replication::server {

Execution BeginExecution(Relation relation) {
  Execution run = {};
  run.state = CreateExecutorState();
  auto* entry = makeNode(RangeTblEntry);
  entry->rtekind = RTE_RELATION;
  entry->relid = RelationGetRelid(relation);
  entry->relkind = relation->rd_rel->relkind;
  entry->rellockmode = AccessShareLock;
  ExecInitRangeTable(run.state, list_make1(entry));
  run.target = makeNode(ResultRelInfo);
  InitResultRelInfo(run.target, relation, 1, nullptr, 0);
  run.state->es_output_cid = GetCurrentCommandId(true);
  AfterTriggerBeginQuery();
  run.remote = ExecInitExtraTupleSlot(run.state, RelationGetDescr(relation), &TTSOpsVirtual);
  run.local = table_slot_create(relation, &run.state->es_tupleTable);
  return run;
}

void EndExecution(Execution& run) {
  AfterTriggerEndQuery(run.state);
  ExecResetTupleTable(run.state->es_tupleTable, false);
  FreeExecutorState(run.state);
}

AttrNumber LocalColumn(const RelationRecord& remote, std::size_t i, Relation relation) {
  const char* name = remote.columns[i].name.c_str();
  AttrNumber number = get_attnum(RelationGetRelid(relation), name);
  if (number == InvalidAttrNumber) {
    ereport(ERROR,
            (errcode(ERRCODE_UNDEFINED_COLUMN),
             errmsg("replicated table \"%s\" has no column \"%s\" at this site",
                    RelationGetRelationName(relation), name),
             errhint("Definitions of replicated tables are changed at every site by hand.")));
  }
  return number;
}

Datum FromText(Relation relation, AttrNumber number, const char* text) {
  Form_pg_attribute column = TupleDescAttr(RelationGetDescr(relation), number - 1);
  Oid input = InvalidOid;
  Oid parameter = InvalidOid;
  getTypeInputInfo(column->atttypid, &input, &parameter);
  return OidInputFunctionCall(input, pstrdup(text), parameter, column->atttypmod);
}

namespace {

void FillColumn(const RelationRecord& remote, const RowRecord& row, std::size_t i,
                Relation relation, TupleTableSlot* slot) {
  AttrNumber number = LocalColumn(remote, i, relation);
  const Value& value = row.image[i];
  slot->tts_isnull[number - 1] = value.kind != Value::Kind::kData;
  if (value.kind == Value::Kind::kUnchanged) {
    ereport(ERROR,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
             errmsg("a value of column \"%s\" did not come along", remote.columns[i].name.c_str()),
             errhint("REPLICA IDENTITY FULL must stay in force on replicated tables.")));
  }
  if (value.kind == Value::Kind::kData) {
    slot->tts_values[number - 1] = FromText(relation, number, value.data.c_str());
  }
}

}  // namespace

void FillSlot(const RelationRecord& remote, const RowRecord& row, Relation relation,
              TupleTableSlot* slot) {
  if (row.image.size() != remote.columns.size()) {
    ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
                    errmsg("a row of \"%s\" has another number of values than its table",
                           remote.name.c_str())));
  }
  for (int i = 0; i < slot->tts_tupleDescriptor->natts; ++i) {
    slot->tts_isnull[i] = true;
    slot->tts_values[i] = 0;
  }
  for (std::size_t i = 0; i < row.image.size(); ++i) {
    FillColumn(remote, row, i, relation, slot);
  }
  ExecStoreVirtualTuple(slot);
}

bool SatisfiesChecks(Execution& run, TupleTableSlot* row) {
  Relation relation = run.target->ri_RelationDesc;
  const TupleConstr* constraints = RelationGetDescr(relation)->constr;
  if (constraints != nullptr && constraints->has_generated_stored) {
    ExecComputeStoredGenerated(run.target, run.state, row, CMD_INSERT);
  }
  ExprContext* context = GetPerTupleExprContext(run.state);
  context->ecxt_scantuple = row;
  for (int i = 0; constraints != nullptr && i < constraints->num_check; ++i) {
    auto* expression = static_cast<Expr*>(stringToNode(constraints->check[i].ccbin));
    if (!ExecCheck(ExecPrepareExpr(expression, run.state), context)) {
      return false;
    }
  }
  return true;
}

void Execute(TableAction action, Execution& run) {
  if (action == TableAction::kNone) {
    return;
  }
  EPQState check;
  EvalPlanQualInit(&check, run.state, nullptr, NIL, -1);
  ExecOpenIndices(run.target, false);
  switch (action) {
    case TableAction::kInsert:
      ExecSimpleRelationInsert(run.target, run.state, run.remote);
      break;
    case TableAction::kUpdate:
      ExecSimpleRelationUpdate(run.target, run.state, &check, run.local, run.remote);
      break;
    case TableAction::kDelete:
      ExecSimpleRelationDelete(run.target, run.state, &check, run.local);
      break;
    case TableAction::kNone:
      break;
  }
  ExecCloseIndices(run.target);
  EvalPlanQualEnd(&check);
}

}  // namespace pgquorum::replication::server
