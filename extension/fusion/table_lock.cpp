// Row locks: FOR UPDATE and its weaker forms, and the following of a row to its latest version.
#include "extension/fusion/row_locks.h"
#include "extension/fusion/table_am.h"

extern "C" {
#include "access/htup_details.h"
#include "access/transam.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/resowner.h"
}

#include "extension/pg/boundary.h"

namespace pgquorum::fusion::server {
namespace {

// The lock manager's modes conflict as the four strengths do.
LOCKMODE HeavyMode(RowLock lock) {
  constexpr LOCKMODE kModes[] = {AccessShareLock, RowShareLock, ExclusiveLock, AccessExclusiveLock};
  return kModes[static_cast<int>(lock)];
}

RowLock StrengthOf(LockTupleMode mode) {
  switch (mode) {
    case LockTupleKeyShare:
      return RowLock::kKeyShare;
    case LockTupleShare:
      return RowLock::kShare;
    case LockTupleNoKeyExclusive:
      return RowLock::kNoKeyUpdate;
    default:
      return RowLock::kUpdate;
  }
}

Touch TryLock(Engine& engine, Relation rel, RowAddress at, RowLock lock, const Writer& writer) {
  uint64_t segment = SegmentOf(rel);
  return pg::Boundary([&]() -> Result<Touch> {
    Result<TableStore*> table = engine.Table(segment);
    return table.ok() ? table.value()->Lock(at, lock, writer, engine.visibility) : table.status();
  });
}

// The version that replaced the one at `at`; false when it is not there any more.
bool Follow(Engine& engine, Relation rel, RowAddress& at) {
  if (!ReadScratch(engine, rel, at)) {
    return false;
  }
  VersionHeader version = HeaderOfVersion(engine.scratch);
  RowAddress next = version.next;
  if (next == at || !ReadScratch(engine, rel, next)) {
    return false;
  }
  at = next;
  return pg::Boundary(
      [&] { return engine.visibility.Follows(version, HeaderOfVersion(engine.scratch)); });
}

bool WasMoved(Engine& engine, Relation rel, RowAddress at) {
  return ReadScratch(engine, rel, at) && (HeaderOfVersion(engine.scratch).marks & kMarkMoved) != 0;
}

// ON CONFLICT DO UPDATE asks by the slot's xmin whether the row that it cannot lock was inserted by
// the same command, which is the user's mistake.
void ShowOwnCreation(Engine& engine, Relation rel, RowAddress at, const Touch& touch,
                     TupleTableSlot* slot) {
  if (touch.result != TouchResult::kInvisible || !ReadScratch(engine, rel, at) ||
      !engine.own.Has(CreatorOf(HeaderOfVersion(engine.scratch)))) {
    return;
  }
  TransactionId own = GetCurrentTransactionId();
  StoreScratch(engine, rel, at, slot);
  bool freed = false;
  HeapTuple tuple = ExecFetchSlotHeapTuple(slot, false, &freed);
  HeapTupleHeaderSetXmin(tuple->t_data, own);
}

TM_Result Lock(Relation rel, ItemPointer tid, SnapshotData*, TupleTableSlot* slot,
               CommandId command, LockTupleMode mode, LockWaitPolicy policy, uint8 flags,
               TM_FailureData* failure) {
  Writer writer = CurrentWriter(command);
  Engine& engine = Use();
  RowAddress at = AddressOf(tid);
  RowLock lock = StrengthOf(mode);
  RowWait waiting(rel, at, lock);
  *failure = {};
  for (;;) {
    CHECK_FOR_INTERRUPTS();
    Touch touch = TryLock(engine, rel, at, lock, writer);
    if (touch.result == TouchResult::kOk) {
      break;
    }
    if (RowWait::NeedsWait(touch)) {
      if (waiting.Wait(engine, touch, writer,
                       policy == LockWaitBlock ? Patience::kWait : Patience::kNone)) {
        continue;
      }
      if (policy == LockWaitSkip) {
        return TM_WouldBlock;
      }
      ereport(ERROR, (errcode(ERRCODE_LOCK_NOT_AVAILABLE),
                      errmsg("could not obtain lock on row in relation \"%s\"",
                             RelationGetRelationName(rel))));
    }
    if (touch.result == TouchResult::kRemoved && (flags & TUPLE_LOCK_FLAG_FIND_LAST_VERSION) != 0 &&
        WasMoved(engine, rel, at)) {
      ereport(ERROR, (errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
                      errmsg("tuple to be locked was already moved to another partition due to "
                             "concurrent update")));
    }
    if (touch.result != TouchResult::kReplaced ||
        (flags & TUPLE_LOCK_FLAG_FIND_LAST_VERSION) == 0) {
      bool traversed = failure->traversed;
      ShowOwnCreation(engine, rel, at, touch, slot);
      TM_Result result = FailAs(engine, rel, at, touch, failure);
      failure->traversed = traversed;
      return result;
    }
    if (!Follow(engine, rel, at)) {
      return FailAs(engine, rel, at, Touch{TouchResult::kRemoved, TxWord(), Scn(), 0}, failure);
    }
    failure->traversed = true;
    waiting = RowWait(rel, at, lock);
    writer.asked = false;
  }
  if (!ReadScratch(engine, rel, at)) {
    elog(ERROR, "a locked row of a fusion table is gone");
  }
  SetTid(tid, at);
  StoreScratch(engine, rel, at, slot);
  return TM_Ok;
}

}  // namespace

bool RowWait::Hold(Engine& engine, const Touch& touch, Patience patience) {
  RowLock held = lock_;
  // A change by a subtransaction takes the place of its parent's lock on the page: what is held
  // instead must be as strong, and outlive the subtransaction.
  if (engine.own.Has(touch.holder) && ReadScratch(engine, rel_, at_)) {
    VersionHeader version = HeaderOfVersion(engine.scratch);
    if (OnlyLocked(version) && LockOf(version) > held) {
      held = LockOf(version);
    }
  }
  LOCKTAG tag;
  SET_LOCKTAG_TUPLE(tag, rel_->rd_lockInfo.lockRelId.dbId, rel_->rd_lockInfo.lockRelId.relId,
                    at_.block(), at_.slot);
  ResourceOwner before = CurrentResourceOwner;
  CurrentResourceOwner = TopTransactionResourceOwner;
  LockAcquireResult got = LockAcquire(&tag, HeavyMode(held), false, patience == Patience::kNone);
  CurrentResourceOwner = before;
  return got != LOCKACQUIRE_NOT_AVAIL;
}

bool RowWait::Wait(Engine& engine, const Touch& touch, Writer& writer, Patience patience) {
  if (touch.result == TouchResult::kWait) {
    return AwaitEnd(touch.holder, patience);
  }
  writer.asked = Hold(engine, touch, patience);
  return writer.asked;
}

TM_Result FailAs(Engine& engine, Relation rel, RowAddress at, const Touch& touch,
                 TM_FailureData* failure) {
  *failure = {};
  failure->xmax = InvalidTransactionId;
  failure->cmax = InvalidCommandId;
  RowAddress next = at;
  TM_Result result = TM_Invisible;
  switch (touch.result) {
    case TouchResult::kOwnCommand:
      failure->cmax = touch.command;
      // MERGE asks by it whether it was this transaction: the user's mistake.
      failure->xmax = GetCurrentTransactionId();
      result = TM_SelfModified;
      break;
    case TouchResult::kRemoved:
      if (WasMoved(engine, rel, at)) {
        ItemPointerSetMovedPartitions(&failure->ctid);
        return TM_Updated;
      }
      result = TM_Deleted;
      break;
    case TouchResult::kReplaced:
      result = TM_Updated;
      if (ReadScratch(engine, rel, at)) {
        next = HeaderOfVersion(engine.scratch).next;
      }
      break;
    default:
      break;
  }
  SetTid(&failure->ctid, next);
  return result;
}

void FillLocks(TableAmRoutine& routine) {
  routine.tuple_lock = Lock;
}

}  // namespace pgquorum::fusion::server
