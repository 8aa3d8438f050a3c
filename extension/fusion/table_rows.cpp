// Rows between the engine's versions and the executor's tuples.
//
// A version from kRowOffset on has the layout of a heap tuple. Its first twelve bytes are the
// engine's there, and PostgreSQL's transaction ids in a tuple: they are overwritten in the copy
// that the executor gets, with "created long ago, removed by nobody".
#include <cstring>

#include "base/check.h"

#include "extension/fusion/table_am.h"

extern "C" {
#include "access/detoast.h"
#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "access/transam.h"
#include "executor/tuptable.h"
}

#include "extension/pg/boundary.h"

namespace pgquorum::fusion::server {
namespace {

// What the engine stores of a tuple begins here.
constexpr std::size_t kStoredFrom = offsetof(HeapTupleHeaderData, t_infomask2);
static_assert(kRowOffset + kStoredFrom == kVersionHeaderBytes);
static_assert(kRowOffset + offsetof(HeapTupleHeaderData, t_ctid) == offsetof(VersionHeader, next));

constexpr uint16_t kStoredMarks = HEAP_HASNULL | HEAP_HASVARWIDTH | HEAP_HASEXTERNAL;

}  // namespace

View ViewOf(SnapshotData* snapshot) {
  switch (snapshot->snapshot_type) {
    case SNAPSHOT_MVCC:
      return {SNAPSHOT_MVCC, SeenBy(snapshot)};
    case SNAPSHOT_ANY:
    case SNAPSHOT_SELF:
      Use();
      return {snapshot->snapshot_type, {}};
    default:
      ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                      errmsg("fusion tables do not support snapshots of type %d",
                             static_cast<int>(snapshot->snapshot_type))));
  }
  pg_unreachable();
}

Result<bool> Shows(Engine& engine, const View& view, const VersionHeader& version) {
  if (view.type == SNAPSHOT_MVCC) {
    return engine.visibility.IsVisible(version, view.snapshot);
  }
  if (view.type == SNAPSHOT_ANY) {
    return true;
  }
  TxWord other;
  Result<VersionState> state = engine.visibility.StateOf(version, other);
  if (!state.ok()) {
    return state.status();
  }
  return state.value() == VersionState::kLive || state.value() == VersionState::kRemoving;
}

// The list of chains is not part of the tuple; its pointers get the number of the table. The marks
// of the version may be gone already, so the tuple's own say whether there is such a list.
std::size_t ShowChains(Relation rel, char* version, std::size_t length) {
  uint16_t count = 0;
  std::memcpy(&count, version + length - kChainCountBytes, sizeof(count));
  std::size_t list = count * sizeof(ChainLink) + kChainCountBytes;
  PGQUORUM_CHECK(list < length - kRowOffset);
  length -= list;
  Oid table = RelationGetRelid(rel);
  for (uint16_t i = 0; i < count; ++i) {
    ChainLink link{};
    std::memcpy(&link, version + length + i * sizeof(link), sizeof(link));
    PGQUORUM_CHECK(std::size_t{link.place} + TOAST_POINTER_SIZE <= length);
    std::memcpy(version + link.place + VARHDRSZ_EXTERNAL + offsetof(varatt_external, va_toastrelid),
                &table, sizeof(table));
  }
  return length;
}

void MakeTuple(Relation rel, char* version, std::size_t length, RowAddress at, HeapTuple tuple) {
  auto* header = reinterpret_cast<HeapTupleHeader>(version + kRowOffset);
  header->t_choice.t_heap.t_xmin = FrozenTransactionId;
  header->t_choice.t_heap.t_xmax = InvalidTransactionId;
  header->t_choice.t_heap.t_field3.t_cid = 0;
  SetTid(&header->t_ctid, at);
  if ((header->t_infomask & HEAP_HASEXTERNAL) != 0) {
    length = ShowChains(rel, version, length);
  }
  tuple->t_len = static_cast<uint32_t>(length - kRowOffset);
  tuple->t_self = header->t_ctid;
  tuple->t_tableOid = RelationGetRelid(rel);
  tuple->t_data = header;
}

bool ReadScratch(Engine& engine, Relation rel, RowAddress at) {
  uint64_t segment = SegmentOf(rel);
  return pg::Boundary([&]() -> Result<bool> {
    Result<TableStore*> table = engine.Table(segment);
    if (!table.ok()) {
      return table.status();
    }
    Result<std::string> version = table.value()->ReadVersion(at);
    if (!version.ok()) {
      return version.status();
    }
    engine.scratch = std::move(version).value();
    return !engine.scratch.empty();
  });
}

void StoreScratch(Engine& engine, Relation rel, RowAddress at, TupleTableSlot* slot) {
  // The tuple's data begins at a multiple of 8 behind the structure; the version's head is not
  // kept.
  std::size_t length = engine.scratch.size();
  auto* tuple = static_cast<HeapTuple>(
      MemoryContextAlloc(slot->tts_mcxt, HEAPTUPLESIZE + length - kRowOffset));
  char* data = reinterpret_cast<char*>(tuple) + HEAPTUPLESIZE;
  memcpy(data, engine.scratch.data() + kRowOffset, length - kRowOffset);
  MakeTuple(rel, data - kRowOffset, length, at, tuple);
  ExecForceStoreHeapTuple(tuple, slot, true);
  slot->tts_tableOid = RelationGetRelid(rel);
  slot->tts_tid = tuple->t_self;
}

RowBytes CopyStored(HeapTuple tuple) {
  std::size_t size = tuple->t_len - kStoredFrom;
  auto* data = static_cast<char*>(palloc(size));
  memcpy(data, reinterpret_cast<char*>(tuple->t_data) + kStoredFrom, size);
  auto* header = reinterpret_cast<HeapTupleHeader>(data - kStoredFrom);
  header->t_infomask2 &= HEAP_NATTS_MASK;
  header->t_infomask = static_cast<uint16_t>((header->t_infomask & kStoredMarks) |
                                             HEAP_XMIN_FROZEN | HEAP_XMAX_INVALID);
  return {data, size, nullptr, 0};
}

RowBytes BytesOf(Relation rel, HeapTuple tuple, TxWord creator, const RowAddress* before) {
  return HeapTupleHasExternal(tuple) || tuple->t_len > TOAST_TUPLE_THRESHOLD
             ? LongBytesOf(rel, tuple, creator, before)
             : CopyStored(tuple);
}

void Release(Relation rel, RowBytes& row, bool stored) {
  for (std::size_t i = 0; !stored && i < row.chain_count; ++i) {
    if ((row.chains[i].flags & kChainBorrowed) == 0) {
      FreeChain(SegmentOf(rel), row.chains[i]);
    }
  }
  if (row.chains != nullptr) {
    pfree(row.chains);
  }
  pfree(row.data);
}

}  // namespace pgquorum::fusion::server
