// What a table does for its indexes: rows for a build, and the row that an entry leads to.
#include "extension/fusion/index_am.h"
#include "extension/fusion/table_am.h"

extern "C" {
#include "access/genam.h"
#include "catalog/index.h"
#include "commands/progress.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/backend_progress.h"
#include "utils/snapmgr.h"
#include "utils/tuplesort.h"
}

#include "extension/pg/boundary.h"

namespace pgquorum::fusion::server {
namespace {

[[noreturn]] void RefuseIndex(Relation index) {
  // An index of PostgreSQL's is recovered from another log than the rows: after a crash it could
  // lack rows, or lead to others.
  ereport(
      ERROR,
      (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
       errmsg("fusion tables cannot have indexes of other access methods"),
       errdetail("Index \"%s\" would be recovered from the write-ahead log, its table from the "
                 "fusion redo.",
                 RelationGetRelationName(index)),
       errhint("Drop the index, and create one without USING: it will be a %s.", kIndexAmName)));
  pg_unreachable();
}

// ---- rows for a build ---------------------------------------------------------------------------

enum class Standing : uint8_t { kNone, kDead, kAlive };

// What a version means for an index that is built. Older snapshots may use the index as well, so
// versions that are removed but not for everybody are in it. With a snapshot: what it sees.
Result<Standing> StandingOf(Engine& engine, const View& view, std::string_view version) {
  VersionHeader header = HeaderOfVersion(version);
  if (view.type == SNAPSHOT_MVCC) {
    Result<bool> shows = engine.visibility.IsVisible(header, view.snapshot);
    return shows.ok() ? Result<Standing>(shows.value() ? Standing::kAlive : Standing::kNone)
                      : shows.status();
  }
  TxWord other;
  Result<VersionState> state = engine.visibility.StateOf(header, other);
  if (!state.ok()) {
    return state.status();
  }
  if (state.value() == VersionState::kNever) {
    return Standing::kNone;
  }
  if (state.value() != VersionState::kRemoved) {
    return Standing::kAlive;
  }
  Result<bool> dead = engine.visibility.IsDead(header, engine.transactions.Horizon());
  return dead.ok() ? Result<Standing>(dead.value() ? Standing::kNone : Standing::kDead)
                   : dead.status();
}

// The rows of a table in the order of their addresses, with what an index would hold of them.
struct Rows {
  Relation table;
  IndexInfo* info;
  View view;
  bool progress;
};

// Calls visit(tid, values, nulls, alive) for rows that pass the index's predicate; how many rows
// are alive.
template <typename F>
double VisitRows(const Rows& rows, F visit) {
  Engine& engine = Use();
  uint64_t segment = SegmentOf(rows.table);
  EState* estate = CreateExecutorState();
  ExprContext* context = GetPerTupleExprContext(estate);
  TupleTableSlot* slot = table_slot_create(rows.table, nullptr);
  context->ecxt_scantuple = slot;
  ExprState* predicate = ExecPrepareQual(rows.info->ii_Predicate, estate);
  auto* page = static_cast<char*>(palloc(kPageBytes));
  auto blocks = static_cast<uint32_t>(TableBytes(rows.table) / kPageBytes);
  if (rows.progress) {
    pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_TOTAL, blocks);
  }
  double alive = 0;
  for (uint32_t block = 0; block < blocks; ++block) {
    CHECK_FOR_INTERRUPTS();
    bool there = SegmentSpace::HoldsRows(block) && pg::Boundary([&]() -> Result<bool> {
                   Result<TableStore*> table = engine.Table(segment);
                   return table.ok() ? table.value()->ReadPage(block, page) : table.status();
                 });
    SlotNumber slots = there ? SlotCount(page) : SlotNumber{0};
    for (SlotNumber number = 1; number <= slots; ++number) {
      std::string_view version = VersionAt(page, number);
      if (version.empty()) {
        continue;
      }
      Standing standing = pg::Boundary([&] { return StandingOf(engine, rows.view, version); });
      if (standing == Standing::kNone) {
        continue;
      }
      alive += standing == Standing::kAlive ? 1 : 0;
      HeapTupleData tuple;
      MakeTuple(rows.table, page + (version.data() - page), version.size(),
                RowAddress::Of(block, number), &tuple);
      MemoryContextReset(context->ecxt_per_tuple_memory);
      ExecStoreHeapTuple(&tuple, slot, false);
      if (predicate != nullptr && !ExecQual(predicate, context)) {
        continue;
      }
      Datum values[INDEX_MAX_KEYS];
      bool nulls[INDEX_MAX_KEYS];
      FormIndexDatum(rows.info, slot, estate, values, nulls);
      visit(&tuple.t_self, values, nulls, standing == Standing::kAlive);
    }
    if (rows.progress) {
      pgstat_progress_update_param(PROGRESS_SCAN_BLOCKS_DONE, block + 1);
    }
  }
  pfree(page);
  ExecDropSingleTupleTableSlot(slot);
  FreeExecutorState(estate);
  // They point into the executor state that has gone.
  rows.info->ii_ExpressionsState = NIL;
  rows.info->ii_PredicateState = nullptr;
  return alive;
}

double BuildIndex(Relation table, Relation index, IndexInfo* info, bool, bool, bool progress,
                  BlockNumber, BlockNumber, IndexBuildCallback callback, void* state,
                  TableScanDesc) {
  if (!IsFusionIndex(index)) {
    RefuseIndex(index);
  }
  // CONCURRENTLY, while others write: what a snapshot sees now, the rest comes by ValidateIndex.
  SnapshotData* snapshot =
      info->ii_Concurrent ? RegisterSnapshot(GetTransactionSnapshot()) : nullptr;
  View view = snapshot != nullptr ? ViewOf(snapshot) : View{SNAPSHOT_ANY, {}};
  double alive = VisitRows({table, info, view, progress},
                           [&](ItemPointer tid, Datum* values, bool* nulls, bool is_alive) {
                             callback(index, tid, values, nulls, is_alive, state);
                           });
  if (snapshot != nullptr) {
    UnregisterSnapshot(snapshot);
  }
  return alive;
}

// Puts in the rows that the snapshot sees and the index lacks; state->tuplesort has the addresses
// that are in it.
void ValidateIndex(Relation table, Relation index, IndexInfo* info, SnapshotData* snapshot,
                   ValidateIndexState* state) {
  int64 in_index = -1;
  bool more = true;
  auto next = [&] {
    Datum value;
    bool null;
    more = tuplesort_getdatum(state->tuplesort, true, &value, &null, nullptr);
    in_index = more ? DatumGetInt64(value) : -1;
  };
  next();
  state->htups +=
      VisitRows({table, info, ViewOf(snapshot), true},
                [&](ItemPointer tid, Datum* values, bool* nulls, bool) {
                  int64 row = itemptr_encode(tid);
                  while (more && in_index < row) {
                    next();
                  }
                  if (more && in_index == row) {
                    return;
                  }
                  index_insert(index, values, nulls, tid, table,
                               info->ii_Unique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, false, info);
                  state->tups_inserted += 1;
                });
}

// ---- the row behind an entry --------------------------------------------------------------------

IndexFetchTableData* BeginFetch(Relation table) {
  auto* fetch = static_cast<IndexFetchTableData*>(palloc0(sizeof(IndexFetchTableData)));
  fetch->rel = table;
  return fetch;
}

void ResetFetch(IndexFetchTableData*) {}

void EndFetch(IndexFetchTableData* fetch) {
  pfree(fetch);
}

// What is, not what a snapshot sees: for exclusion constraints and the first look of ON CONFLICT.
// PostgreSQL would wait for the transaction that decides by its id, which ours need not have: so
// the wait is here, where nothing is latched.
bool IsThere(Engine& engine, Relation table, RowAddress at) {
  struct Found {
    VersionState state;
    TxWord other;
  };
  for (;;) {
    CHECK_FOR_INTERRUPTS();
    if (!ReadScratch(engine, table, at)) {
      return false;
    }
    VersionHeader header = HeaderOfVersion(engine.scratch);
    if (header.remover == header.creator && !OnlyLocked(header)) {
      return false;
    }
    Found found = pg::Boundary([&]() -> Result<Found> {
      TxWord other;
      Result<VersionState> state = engine.visibility.StateOf(header, other);
      return state.ok() ? Result<Found>(Found{state.value(), other}) : state.status();
    });
    if (found.state != VersionState::kNotYet && found.state != VersionState::kRemoving) {
      return found.state == VersionState::kLive;
    }
    AwaitEnd(found.other, Patience::kWait);
  }
}

bool FetchTuple(IndexFetchTableData* fetch, ItemPointer tid, SnapshotData* snapshot,
                TupleTableSlot* slot, bool* call_again, bool* all_dead) {
  Relation table = fetch->rel;
  RowAddress at = AddressOf(tid);
  *call_again = false;  // each version has entries of its own
  if (all_dead != nullptr) {
    *all_dead = false;
  }
  if (snapshot->snapshot_type == SNAPSHOT_DIRTY) {
    snapshot->xmin = InvalidTransactionId;
    snapshot->xmax = InvalidTransactionId;
    snapshot->speculativeToken = 0;
    Engine& engine = Use();
    bool there = IsThere(engine, table, at);
    if (there) {
      StoreScratch(engine, table, at, slot);
    }
    return there;
  }
  View view = ViewOf(snapshot);
  Engine& engine = Use();
  if (!ReadScratch(engine, table, at)) {
    return false;
  }
  VersionHeader header = HeaderOfVersion(engine.scratch);
  if (pg::Boundary([&] { return Shows(engine, view, header); })) {
    StoreScratch(engine, table, at, slot);
    return true;
  }
  if (all_dead != nullptr) {
    *all_dead = pg::Boundary(
        [&] { return engine.visibility.IsDead(header, engine.transactions.Horizon()); });
  }
  return false;
}

TransactionId DeleteTuples(Relation, TM_IndexDeleteOp*) {
  elog(ERROR, "fusion indexes do not ask their table which entries may go");
  pg_unreachable();
}

}  // namespace

void FillIndexed(TableAmRoutine& routine) {
  routine.index_build_range_scan = BuildIndex;
  routine.index_validate_scan = ValidateIndex;
  routine.index_fetch_begin = BeginFetch;
  routine.index_fetch_reset = ResetFetch;
  routine.index_fetch_end = EndFetch;
  routine.index_fetch_tuple = FetchTuple;
  routine.index_delete_tuples = DeleteTuples;
}

}  // namespace pgquorum::fusion::server
