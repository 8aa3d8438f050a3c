// Changing rows: insert, update, delete. The engine says kWait or kAsk, and waiting is done here
// (row_locks.h), between two of its calls.
#include "extension/fusion/table_am.h"

#include "extension/fusion/mixed.h"
#include "extension/fusion/row_locks.h"

extern "C" {
#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/datum.h"
}

#include "extension/pg/boundary.h"

namespace pgquorum::fusion::server {
namespace {

void Insert(Relation rel, TupleTableSlot* slot, CommandId command, int, BulkInsertStateData*) {
  bool owned = false;
  HeapTuple tuple = ExecFetchSlotHeapTuple(slot, true, &owned);
  NoteFusionRows(rel);
  Writer writer = CurrentWriter(command);
  RowBytes row = BytesOf(rel, tuple, writer.word, nullptr);
  Engine& engine = Use();
  uint64_t segment = SegmentOf(rel);
  auto at = pg::Boundary([&]() -> Result<RowAddress> {
    Result<TableStore*> table = engine.Table(segment);
    return table.ok() ? table.value()->Insert(AsNewRow(row), writer) : table.status();
  });
  Release(rel, row, true);
  if (owned) {
    pfree(tuple);
  }
  SetTid(&slot->tts_tid, at);
  slot->tts_tableOid = RelationGetRelid(rel);
  pgstat_count_heap_insert(rel, 1);
}

void MultiInsert(Relation rel, TupleTableSlot** slots, int count, CommandId command, int options,
                 BulkInsertStateData* state) {
  for (int i = 0; i < count; ++i) {
    CHECK_FOR_INTERRUPTS();
    Insert(rel, slots[i], command, options, state);
  }
}

// ON CONFLICT: the entries of the unique indexes are made afterwards, and when one of them finds
// another row, this one is taken back. Nobody needs the token: who meets the row waits for its
// transaction, or finds it taken back.
void InsertSpeculative(Relation rel, TupleTableSlot* slot, CommandId command, int options,
                       BulkInsertStateData* state, uint32) {
  Insert(rel, slot, command, options, state);
}

void CompleteSpeculative(Relation rel, TupleTableSlot* slot, uint32, bool succeeded) {
  if (succeeded) {
    return;
  }
  Writer writer = CurrentWriter(GetCurrentCommandId(true));
  Engine& engine = Use();
  uint64_t segment = SegmentOf(rel);
  RowAddress at = AddressOf(&slot->tts_tid);
  pg::Boundary([&]() -> Status {
    Result<TableStore*> table = engine.Table(segment);
    return table.ok() ? table.value()->TakeBack(at, writer) : table.status();
  });
}

// A version of another snapshot's than the statement's is not to be changed: foreign keys of
// REPEATABLE READ transactions ask for it.
bool PassesCrosscheck(Engine& engine, Relation rel, RowAddress at, SnapshotData* crosscheck) {
  if (crosscheck == nullptr) {
    return true;
  }
  View view = ViewOf(crosscheck);
  return !ReadScratch(engine, rel, at) ||
         pg::Boundary([&] { return Shows(engine, view, HeaderOfVersion(engine.scratch)); });
}

struct Change {
  Relation rel;
  RowAddress at;
  RowLock lock;
  bool removal;
  bool moved;
  RowBytes row;
};

// What a change came to; `at`: of the new version.
Replaced Carry(Engine& engine, const Change& change, const Writer& writer) {
  uint64_t segment = SegmentOf(change.rel);
  return pg::Boundary([&]() -> Result<Replaced> {
    Result<TableStore*> table = engine.Table(segment);
    if (!table.ok()) {
      return table.status();
    }
    if (!change.removal) {
      return table.value()->Replace(change.at, AsNewRow(change.row), change.lock, writer,
                                    engine.visibility);
    }
    Result<Touch> touch = table.value()->Remove(change.at, writer, engine.visibility, change.moved);
    return touch.ok() ? Result<Replaced>(Replaced{touch.value(), change.at}) : touch.status();
  });
}

TM_Result Apply(Change& change, CommandId command, SnapshotData* crosscheck, bool wait,
                TM_FailureData* failure, RowAddress& made) {
  NoteFusionRows(change.rel);
  Writer writer = CurrentWriter(command);
  Engine& engine = Use();
  if (!PassesCrosscheck(engine, change.rel, change.at, crosscheck)) {
    return FailAs(engine, change.rel, change.at, Touch{TouchResult::kReplaced, TxWord(), Scn(), 0},
                  failure);
  }
  // For every lock, also one that would not conflict: the next version does not carry it.
  RowWait waiting(change.rel, change.at, RowLock::kUpdate);
  for (;;) {
    Replaced done = Carry(engine, change, writer);
    if (done.touch.result == TouchResult::kOk) {
      made = done.at;
      return TM_Ok;
    }
    if (!waiting.NeedsWait(done.touch)) {
      return FailAs(engine, change.rel, change.at, done.touch, failure);
    }
    if (!wait) {
      return TM_BeingModified;
    }
    waiting.Wait(engine, done.touch, writer, Patience::kWait);
  }
}

TM_Result Delete(Relation rel, ItemPointer tid, CommandId command, SnapshotData*,
                 SnapshotData* crosscheck, bool wait, TM_FailureData* failure, bool moves) {
  Change change{rel, AddressOf(tid), RowLock::kUpdate, true, moves, {}};
  RowAddress made;
  TM_Result result = Apply(change, command, crosscheck, wait, failure, made);
  if (result == TM_Ok) {
    pgstat_count_heap_delete(rel);
  }
  return result;
}

// Whether a column that a unique index could be referenced by has another value.
bool KeyChanges(Engine& engine, Relation rel, RowAddress at, HeapTuple fresh) {
  Bitmapset* key = RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_KEY);
  if (key == nullptr || !ReadScratch(engine, rel, at)) {
    return false;
  }
  std::size_t length = engine.scratch.size();
  auto* copy = static_cast<char*>(palloc(length));
  memcpy(copy, engine.scratch.data(), length);
  HeapTupleData old;
  MakeTuple(rel, copy, length, at, &old);
  bool changes = false;
  int column = -1;
  while (!changes && (column = bms_next_member(key, column)) >= 0) {
    auto number = static_cast<AttrNumber>(column + FirstLowInvalidHeapAttributeNumber);
    if (number <= 0) {
      changes = true;  // a whole row or a system column
      break;
    }
    bool null_before;
    bool null_now;
    Datum before = heap_getattr(&old, number, RelationGetDescr(rel), &null_before);
    Datum now = heap_getattr(fresh, number, RelationGetDescr(rel), &null_now);
    Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(rel), number - 1);
    changes = null_before != null_now ||
              (!null_before && !datumIsEqual(before, now, attribute->attbyval, attribute->attlen));
  }
  pfree(copy);
  bms_free(key);
  return changes;
}

TM_Result Update(Relation rel, ItemPointer tid, TupleTableSlot* slot, CommandId command,
                 SnapshotData*, SnapshotData* crosscheck, bool wait, TM_FailureData* failure,
                 LockTupleMode* mode, bool* update_indexes) {
  bool owned = false;
  HeapTuple tuple = ExecFetchSlotHeapTuple(slot, true, &owned);
  RowAddress at = AddressOf(tid);
  RowBytes row = BytesOf(rel, tuple, CurrentWriter(command).word, &at);
  Change change{rel, at, RowLock::kNoKeyUpdate, false, false, row};
  if (KeyChanges(Use(), rel, change.at, tuple)) {
    change.lock = RowLock::kUpdate;
  }
  *mode = change.lock == RowLock::kUpdate ? LockTupleExclusive : LockTupleNoKeyExclusive;
  RowAddress made;
  TM_Result result = Apply(change, command, crosscheck, wait, failure, made);
  Release(rel, change.row, result == TM_Ok);
  if (owned) {
    pfree(tuple);
  }
  *update_indexes = result == TM_Ok;  // the new version has an address of its own
  if (result == TM_Ok) {
    SetTid(&slot->tts_tid, made);
    slot->tts_tableOid = RelationGetRelid(rel);
    pgstat_count_heap_update(rel, false);
  }
  return result;
}

}  // namespace

void FillWrites(TableAmRoutine& routine) {
  routine.tuple_insert = Insert;
  routine.tuple_insert_speculative = InsertSpeculative;
  routine.tuple_complete_speculative = CompleteSpeculative;
  routine.multi_insert = MultiInsert;
  routine.tuple_delete = Delete;
  routine.tuple_update = Update;
}

}  // namespace pgquorum::fusion::server
