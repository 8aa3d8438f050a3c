// The table access method `fusion`: which functions PostgreSQL calls, a file for each kind.
//
// Include after extension/fusion/engine.h.
#pragma once

#include "extension/fusion/engine.h"
#include "extension/fusion/transaction.h"

extern "C" {
#include "access/tableam.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"
}

namespace pgquorum::fusion::server {

const TableAmRoutine* FusionTableRoutine();

inline bool IsFusionTable(Relation rel) {
  return rel->rd_tableam == FusionTableRoutine();
}
inline uint64_t SegmentOf(Relation rel) {
  return SegmentOf(rel->rd_node.dbNode, rel->rd_node.relNode);
}

// ---- rows (table_rows.cpp) ----------------------------------------------------------------------
// Which versions a snapshot of any kind shows.
struct View {
  SnapshotType type;
  Snapshot snapshot;  // SNAPSHOT_MVCC
};
View ViewOf(SnapshotData* snapshot);
Result<bool> Shows(Engine& engine, const View& view, const VersionHeader& version);
// The executor's tuple of a version that lies in writable memory; the version's own words go.
void MakeTuple(Relation rel, char* version, std::size_t length, RowAddress at, HeapTuple tuple);
// Copies the version in Engine::scratch into the slot.
void StoreScratch(Engine& engine, Relation rel, RowAddress at, TupleTableSlot* slot);
// Reads into Engine::scratch; false: there is no version. Raises.
bool ReadScratch(Engine& engine, Relation rel, RowAddress at);
// What the engine stores of a row: compressed where it is long, and with what does not fit on a
// page in chains, which are written here. In the current memory context.
struct RowBytes {
  char* data;
  std::size_t size;
  ChainLink* chains;  // null: none
  std::size_t chain_count;
};
// `creator` writes the row; `before`: the version that it replaces, with which it shares the chains
// of values that are the same. Raises.
RowBytes BytesOf(Relation rel, HeapTuple tuple, TxWord creator, const RowAddress* before);
inline NewRow AsNewRow(const RowBytes& row) {
  return NewRow(std::string_view(row.data, row.size), {row.chains, row.chain_count});
}
// The row has been stored, or has not: then the chains that were written for it go. Raises.
void Release(Relation rel, RowBytes& row, bool stored);

// Parts of these (table_large.cpp).
RowBytes CopyStored(HeapTuple tuple);
RowBytes LongBytesOf(Relation rel, HeapTuple tuple, TxWord creator, const RowAddress* before);
void FreeChain(uint64_t segment, const ChainLink& chain);

inline RowAddress AddressOf(const ItemPointerData* tid) {
  return {tid->ip_blkid.bi_hi, tid->ip_blkid.bi_lo, tid->ip_posid};
}
inline void SetTid(ItemPointer tid, RowAddress at) {
  tid->ip_blkid.bi_hi = at.block_high;
  tid->ip_blkid.bi_lo = at.block_low;
  tid->ip_posid = at.slot;
}

uint64_t TableBytes(Relation rel);
// Bitmap scans would read ahead in a file of the server's own, which is empty: it cannot be done
// behind the end of its first segment, so they do not read ahead.
bool StopReadingAhead(PlanState* state, void* context);

// ---- what fills the routine ---------------------------------------------------------------------
void FillScans(TableAmRoutine& routine);    // table_scan.cpp
void FillWrites(TableAmRoutine& routine);   // table_write.cpp
void FillLocks(TableAmRoutine& routine);    // table_lock.cpp
void FillDdl(TableAmRoutine& routine);      // table_ddl.cpp
void FillIndexed(TableAmRoutine& routine);  // table_indexed.cpp
void FillUpkeep(TableAmRoutine& routine);   // table_upkeep.cpp
void FillLarge(TableAmRoutine& routine);    // table_large.cpp

}  // namespace pgquorum::fusion::server
