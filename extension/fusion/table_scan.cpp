// Reading tables: sequential scans in both directions, bitmaps, samples, single rows by address.
//
// A scan copies a page, decides once which of its versions it shows, and hands them out from the
// copy: no pin and no latch is held between two calls.
#include <algorithm>

#include "extension/fusion/table_am.h"

extern "C" {
#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/tsmapi.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "nodes/nodeFuncs.h"
#include "nodes/tidbitmap.h"
#include "pgstat.h"
#include "utils/snapmgr.h"
}

#include "extension/pg/boundary.h"

namespace pgquorum::fusion::server {
namespace {

// In PostgreSQL's memory; nothing in it has a destructor.
struct TableScan {
  TableScanDescData base;  // first: PostgreSQL knows this part
  uint64_t segment;
  View view;
  uint32_t blocks;  // when the scan began: later ones hold nothing that it shows
  bool begun;
  uint32_t block;
  int count;  // of `shown`
  int at;     // in `shown`
  SlotNumber shown[kMaxSlots];
  HeapTupleData tuple;
  char* page;  // kPageBytes
  // In a parallel scan: which blocks are this process's.
  ParallelBlockTableScanWorkerData mine;
};

TableScan* Scan(TableScanDesc scan) {
  return reinterpret_cast<TableScan*>(scan);
}

uint32_t BlocksOf(Engine& engine, uint64_t segment) {
  return pg::Boundary([&]() -> Result<uint32_t> {
    Result<TableStore*> table = engine.Table(segment);
    return table.ok() ? table.value()->space().Blocks() : table.status();
  });
}

Result<int> LoadPage(Engine& engine, TableScan& scan) {
  Result<TableStore*> table = engine.Table(scan.segment);
  if (!table.ok()) {
    return table.status();
  }
  Result<bool> there = table.value()->ReadPage(scan.block, scan.page);
  if (!there.ok()) {
    return there.status();
  }
  int count = 0;
  SlotNumber slots = there.value() ? SlotCount(scan.page) : SlotNumber{0};
  for (SlotNumber slot = 1; slot <= slots; ++slot) {
    std::string_view version = VersionAt(scan.page, slot);
    if (version.empty()) {
      continue;
    }
    Result<bool> shows = Shows(engine, scan.view, HeaderOfVersion(version));
    if (!shows.ok()) {
      return shows.status();
    }
    if (shows.value()) {
      scan.shown[count++] = slot;
    }
  }
  return count;
}

void Load(TableScan& scan) {
  CHECK_FOR_INTERRUPTS();
  Engine& engine = Use();
  scan.count = 0;
  scan.count = pg::Boundary([&] { return LoadPage(engine, scan); });
}

void StoreOnly(TableScan& scan, TupleTableSlot* slot) {
  Relation rel = scan.base.rs_rd;
  SlotNumber number = scan.shown[scan.at];
  std::string_view version = VersionAt(scan.page, number);
  MakeTuple(rel, scan.page + (version.data() - scan.page), version.size(),
            RowAddress::Of(scan.block, number), &scan.tuple);
  ExecStoreHeapTuple(&scan.tuple, slot, false);
  slot->tts_tableOid = RelationGetRelid(rel);
}

void StoreShown(TableScan& scan, TupleTableSlot* slot) {
  StoreOnly(scan, slot);
  pgstat_count_heap_getnext(scan.base.rs_rd);
}

ParallelBlockTableScanDesc Shared(const TableScan& scan) {
  return reinterpret_cast<ParallelBlockTableScanDesc>(scan.base.rs_parallel);
}

void Restart(TableScan& scan) {
  scan.blocks = Shared(scan) != nullptr ? Shared(scan)->phs_nblocks : BlocksOf(Use(), scan.segment);
  scan.begun = false;
}

TableScanDesc Begin(Relation rel, SnapshotData* snapshot, int nkeys, ScanKeyData*,
                    ParallelTableScanDesc parallel, uint32 flags) {
  if (nkeys != 0) {
    elog(ERROR, "fusion tables do not support scan keys");
  }
  auto* scan = static_cast<TableScan*>(palloc0(sizeof(TableScan)));
  scan->base.rs_rd = rel;
  scan->base.rs_snapshot = snapshot;
  scan->base.rs_flags = flags;
  scan->base.rs_parallel = parallel;
  scan->page = static_cast<char*>(palloc(kPageBytes));
  scan->segment = SegmentOf(rel);
  // ANALYZE has no snapshot: it asks for each version's state.
  scan->view = snapshot == nullptr ? View{SNAPSHOT_ANY, {}} : ViewOf(snapshot);
  Restart(*scan);
  RelationIncrementReferenceCount(rel);
  if ((flags & (SO_TYPE_SEQSCAN | SO_TYPE_SAMPLESCAN)) != 0) {
    pgstat_count_heap_scan(rel);
  }
  return &scan->base;
}

void End(TableScanDesc desc) {
  TableScan* scan = Scan(desc);
  RelationDecrementReferenceCount(desc->rs_rd);
  if ((desc->rs_flags & SO_TEMP_SNAPSHOT) != 0) {
    UnregisterSnapshot(desc->rs_snapshot);
  }
  pfree(scan->page);
  pfree(scan);
}

void Rescan(TableScanDesc desc, ScanKeyData*, bool, bool, bool, bool) {
  Restart(*Scan(desc));
  pgstat_count_heap_scan(desc->rs_rd);
}

// To the next page that no other process of a parallel scan has; they go forward only.
bool TurnShared(TableScan& scan) {
  Relation rel = scan.base.rs_rd;
  if (!scan.begun) {
    scan.begun = true;
    table_block_parallelscan_startblock_init(rel, &scan.mine, Shared(scan));
  }
  scan.block = table_block_parallelscan_nextpage(rel, &scan.mine, Shared(scan));
  if (scan.block == InvalidBlockNumber) {
    return false;
  }
  Load(scan);
  return true;
}

// To the next page in the direction; false when there is none.
bool Turn(TableScan& scan, bool forward) {
  if (Shared(scan) != nullptr) {
    return TurnShared(scan);
  }
  if (!scan.begun) {
    scan.begun = true;
    scan.block = forward ? 0 : scan.blocks;
    if (forward) {
      if (scan.blocks == 0) {
        return false;
      }
      Load(scan);
      return true;
    }
  }
  if (forward ? scan.block + 1 >= scan.blocks : scan.block == 0) {
    return false;
  }
  scan.block = forward ? scan.block + 1 : scan.block - 1;
  Load(scan);
  return true;
}

bool GetNext(TableScanDesc desc, ScanDirection direction, TupleTableSlot* slot) {
  TableScan& scan = *Scan(desc);
  bool forward = !ScanDirectionIsBackward(direction);
  if (!scan.begun) {
    scan.count = 0;
    scan.at = 0;
  }
  scan.at += forward ? 1 : -1;
  while (!scan.begun || scan.at < 0 || scan.at >= scan.count) {
    if (!Turn(scan, forward)) {
      // As for heap tables: behind the end, the next call begins anew from its side.
      scan.begun = false;
      ExecClearTuple(slot);
      return false;
    }
    scan.at = forward ? 0 : scan.count - 1;
  }
  StoreShown(scan, slot);
  return true;
}

// ---- samples: ANALYZE and TABLESAMPLE -----------------------------------------------------------

bool AnalyzeNextBlock(TableScanDesc desc, BlockNumber block, BufferAccessStrategy) {
  TableScan& scan = *Scan(desc);
  scan.block = block;
  scan.at = -1;
  if (!SegmentSpace::HoldsRows(block)) {
    return false;
  }
  Load(scan);
  return true;
}

// What a version counts as for statistics.
VersionState StateForAnalyze(Engine& engine, std::string_view version) {
  return pg::Boundary([&]() -> Result<VersionState> {
    TxWord other;
    return engine.visibility.StateOf(HeaderOfVersion(version), other);
  });
}

bool AnalyzeNextTuple(TableScanDesc desc, TransactionId, double* live, double* dead,
                      TupleTableSlot* slot) {
  TableScan& scan = *Scan(desc);
  Engine& engine = Use();
  while (++scan.at < scan.count) {
    VersionState state = StateForAnalyze(engine, VersionAt(scan.page, scan.shown[scan.at]));
    if (state == VersionState::kLive || state == VersionState::kRemoving) {
      *live += 1;
      StoreShown(scan, slot);
      return true;
    }
    // What an open transaction inserted will be counted when it has ended.
    *dead += state == VersionState::kNotYet ? 0 : 1;
  }
  ExecClearTuple(slot);
  return false;
}

bool SampleNextBlock(TableScanDesc desc, SampleScanState* state) {
  TableScan& scan = *Scan(desc);
  const TsmRoutine* method = state->tsmroutine;
  if (method->NextSampleBlock != nullptr) {
    scan.block = method->NextSampleBlock(state, scan.blocks);
  } else {
    scan.block = scan.begun ? scan.block + 1 : 0;
    scan.begun = true;
  }
  if (scan.block >= scan.blocks) {
    scan.begun = false;
    return false;
  }
  Load(scan);
  return true;
}

bool SampleNextTuple(TableScanDesc desc, SampleScanState* state, TupleTableSlot* slot) {
  TableScan& scan = *Scan(desc);
  SlotNumber last = scan.count == 0 ? SlotNumber{0} : scan.shown[scan.count - 1];
  for (;;) {
    OffsetNumber wanted = state->tsmroutine->NextSampleTuple(state, scan.block, last);
    if (!OffsetNumberIsValid(wanted)) {
      ExecClearTuple(slot);
      return false;
    }
    for (scan.at = 0; scan.at < scan.count; ++scan.at) {
      if (scan.shown[scan.at] == wanted) {
        StoreShown(scan, slot);
        return true;
      }
    }
  }
}

// ---- bitmaps ------------------------------------------------------------------------------------

// A bitmap says which rows of a page to look at, or that it has forgotten which (lossy): then all.
bool BitmapNextBlock(TableScanDesc desc, TBMIterateResult* wanted) {
  TableScan& scan = *Scan(desc);
  scan.block = wanted->blockno;
  scan.at = -1;
  scan.count = 0;
  // Rows behind the end that the scan began with are younger than its snapshot.
  if (scan.block >= scan.blocks) {
    return false;
  }
  Load(scan);
  if (wanted->ntuples >= 0) {
    const OffsetNumber* first = &wanted->offsets[0];
    const OffsetNumber* end = first + wanted->ntuples;
    scan.count = static_cast<int>(
        std::remove_if(
            scan.shown, scan.shown + scan.count,
            [&](SlotNumber slot) { return !std::binary_search(first, end, OffsetNumber{slot}); }) -
        scan.shown);
  }
  return scan.count > 0;
}

bool BitmapNextTuple(TableScanDesc desc, TBMIterateResult*, TupleTableSlot* slot) {
  TableScan& scan = *Scan(desc);
  if (++scan.at >= scan.count) {
    ExecClearTuple(slot);
    return false;
  }
  StoreOnly(scan, slot);
  pgstat_count_heap_fetch(desc->rs_rd);
  return true;
}

// ---- single rows --------------------------------------------------------------------------------

bool FetchRow(Relation rel, ItemPointer tid, SnapshotData* snapshot, TupleTableSlot* slot) {
  View view = ViewOf(snapshot);
  Engine& engine = Use();
  RowAddress at = AddressOf(tid);
  if (!SegmentSpace::HoldsRows(at.block()) || !ReadScratch(engine, rel, at)) {
    return false;
  }
  bool shows = pg::Boundary([&] { return Shows(engine, view, HeaderOfVersion(engine.scratch)); });
  if (shows) {
    StoreScratch(engine, rel, at, slot);
  }
  return shows;
}

bool TidIsValid(TableScanDesc desc, ItemPointer tid) {
  return ItemPointerIsValid(tid) && ItemPointerGetBlockNumber(tid) < Scan(desc)->blocks;
}

// The newest version of the row that the scan's snapshot shows; its address stays when there is
// none.
void GetLatestTid(TableScanDesc desc, ItemPointer tid) {
  TableScan& scan = *Scan(desc);
  Engine& engine = Use();
  RowAddress at = AddressOf(tid);
  bool more = ReadScratch(engine, desc->rs_rd, at);
  while (more) {
    CHECK_FOR_INTERRUPTS();
    VersionHeader version = HeaderOfVersion(engine.scratch);
    if (pg::Boundary([&] { return Shows(engine, scan.view, version); })) {
      SetTid(tid, at);
    }
    more =
        version.next != at && ReadScratch(engine, desc->rs_rd, version.next) && pg::Boundary([&] {
          return engine.visibility.Follows(version, HeaderOfVersion(engine.scratch));
        });
    at = version.next;
  }
}

bool SatisfiesSnapshot(Relation rel, TupleTableSlot* slot, SnapshotData* snapshot) {
  View view = ViewOf(snapshot);
  Engine& engine = Use();
  return ReadScratch(engine, rel, AddressOf(&slot->tts_tid)) &&
         pg::Boundary([&] { return Shows(engine, view, HeaderOfVersion(engine.scratch)); });
}

const TupleTableSlotOps* SlotCallbacks(Relation) {
  return &TTSOpsHeapTuple;
}

// PostgreSQL deals out the blocks. How many there are it asks a file of its own, where a large
// table seems smaller (table_ddl.cpp).
Size InitializeParallel(Relation rel, ParallelTableScanDesc parallel) {
  Size size = table_block_parallelscan_initialize(rel, parallel);
  auto* shared = reinterpret_cast<ParallelBlockTableScanDesc>(parallel);
  shared->phs_nblocks = BlocksOf(Use(), SegmentOf(rel));
  shared->base.phs_syncscan = false;
  return size;
}

}  // namespace

bool StopReadingAhead(PlanState* state, void* context) {
  if (state == nullptr) {
    return false;
  }
  if (IsA(state, BitmapHeapScanState)) {
    auto* scan = castNode(BitmapHeapScanState, state);
    if (IsFusionTable(scan->ss.ss_currentRelation)) {
      scan->prefetch_maximum = 0;
    }
  }
  // PostgreSQL declares the function without its parameters.
  auto* any = reinterpret_cast<void (*)()>(StopReadingAhead);
  return planstate_tree_walker(state, reinterpret_cast<bool (*)()>(any), context);
}

void FillScans(TableAmRoutine& routine) {
  routine.slot_callbacks = SlotCallbacks;
  routine.scan_begin = Begin;
  routine.scan_end = End;
  routine.scan_rescan = Rescan;
  routine.scan_getnextslot = GetNext;
  routine.parallelscan_estimate = table_block_parallelscan_estimate;
  routine.parallelscan_initialize = InitializeParallel;
  routine.parallelscan_reinitialize = table_block_parallelscan_reinitialize;
  routine.scan_analyze_next_block = AnalyzeNextBlock;
  routine.scan_analyze_next_tuple = AnalyzeNextTuple;
  routine.scan_bitmap_next_block = BitmapNextBlock;
  routine.scan_bitmap_next_tuple = BitmapNextTuple;
  routine.scan_sample_next_block = SampleNextBlock;
  routine.scan_sample_next_tuple = SampleNextTuple;
  routine.tuple_fetch_row_version = FetchRow;
  routine.tuple_tid_valid = TidIsValid;
  routine.tuple_get_latest_tid = GetLatestTid;
  routine.tuple_satisfies_snapshot = SatisfiesSnapshot;
}

}  // namespace pgquorum::fusion::server
