// A TRUNCATE is the deletion of the rows that this site has: each gets its tombstone and becomes a
// change, so that what others insert at that moment survives everywhere, and what they update is
// decided like any update that meets a deletion. Triggers and rules for DELETE stay out of it, as
// with any TRUNCATE; the server then takes the files away.
#include "bgworkers/replication/server/guard_truncate.h"

extern "C" {
#include "access/tableam.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
}

#include "bgworkers/replication/server/guard_trigger.h"
#include "bgworkers/replication/server/row_facts.h"
#include "bgworkers/replication/server/table_rules.h"

namespace pgquorum::replication::server {

namespace {

void DeleteRow(Relation relation, TupleTableSlot* slot, Snapshot snapshot) {
  bool is_copy = false;
  TriggerData data = {};
  data.type = T_TriggerData;
  data.tg_event = TRIGGER_EVENT_DELETE | TRIGGER_EVENT_ROW | TRIGGER_EVENT_BEFORE;
  data.tg_relation = relation;
  data.tg_trigtuple = ExecFetchSlotHeapTuple(slot, false, &is_copy);
  GuardRow(&data);
  simple_table_tuple_delete(relation, &slot->tts_tid, snapshot);
}

}  // namespace

void GuardTruncate(Relation relation) {
  if (RulesOf(relation) == nullptr || relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE) {
    return;  // a former partition; or the partitions' own triggers see to it
  }
  if (!IsReplicated(relation)) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("replicated table \"%s\" cannot be truncated now",
                           RelationGetRelationName(relation)),
                    errdetail("Changes of it are not captured at this site: it is being copied or "
                              "removed from the group, or its guard was disabled."),
                    errhint("Wait until system.replicated_tables shows it as captured.")));
  }
  // The statement's own snapshot may be older than the lock; TRUNCATE takes all that is there.
  Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  TupleTableSlot* slot = table_slot_create(relation, nullptr);
  TableScanDesc scan = table_beginscan(relation, snapshot, 0, nullptr);
  MemoryContext memory =
      AllocSetContextCreate(CurrentMemoryContext, "pgquorum truncate", ALLOCSET_DEFAULT_SIZES);
  while (table_scan_getnextslot(scan, ForwardScanDirection, slot)) {
    CHECK_FOR_INTERRUPTS();
    MemoryContext before = MemoryContextSwitchTo(memory);
    DeleteRow(relation, slot, snapshot);
    MemoryContextSwitchTo(before);
    MemoryContextReset(memory);
  }
  table_endscan(scan);
  ExecDropSingleTupleTableSlot(slot);
  UnregisterSnapshot(snapshot);
  MemoryContextDelete(memory);
  CommandCounterIncrement();
}

}  // namespace pgquorum::replication::server
