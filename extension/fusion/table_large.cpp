// Values that are too long for their row's page.
//
// A row that is long is compressed column by column first, as PostgreSQL does it (storage,
// compression method and target of each column and table). What then does not fit on a page goes
// into chains of overflow pages, the longest values first. In the row stands a TOAST pointer of
// PostgreSQL's instead, which names the chain by its first block, and the table in the place of a
// TOAST table: so values are fetched when they are looked at, by FetchSlice. The table's number is
// put in when a version is read (MakeTuple), since a rewrite gives a segment another table.
#include "extension/fusion/table_am.h"

extern "C" {
#include "access/detoast.h"
#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "access/toast_helper.h"
#include "access/toast_internals.h"
#include "miscadmin.h"
#include "utils/memutils.h"
}

#include "extension/pg/boundary.h"

namespace pgquorum::fusion::server {
namespace {

// Between two looks for interrupts.
constexpr std::size_t kPagesAtOnce = 64;

// The row that is made ready, column by column. In a memory context of its own.
struct LongRow {
  Relation rel;
  TupleDesc desc;
  ToastTupleContext toast;
  ChainLink* chains;  // of each column; head 0: none
  int chain_count;
};

void* ZeroArray(int count, Size size) {
  return palloc0(static_cast<Size>(count) * size);
}

void Deform(HeapTuple tuple, TupleDesc desc, Datum*& values, bool*& nulls) {
  values = static_cast<Datum*>(ZeroArray(desc->natts, sizeof(Datum)));
  nulls = static_cast<bool*>(ZeroArray(desc->natts, sizeof(bool)));
  heap_deform_tuple(tuple, desc, values, nulls);
}

varlena* Varlena(Datum value) {
  return reinterpret_cast<varlena*>(DatumGetPointer(value));
}

bool IsStoredElsewhere(const LongRow& row, int column) {
  return !row.toast.ttc_isnull[column] && TupleDescAttr(row.desc, column)->attlen == -1 &&
         VARATT_IS_EXTERNAL_ONDISK(Varlena(row.toast.ttc_values[column]));
}

varatt_external PointerOf(Datum value) {
  varatt_external pointer;
  VARATT_EXTERNAL_GET_POINTER(pointer, Varlena(value));
  return pointer;
}

// The version that is to be replaced, if some value of the new row may still be there.
struct OldRow {
  HeapTupleData tuple;
  ChainLink* chains;
  std::size_t count;
};

bool ReadOld(Relation rel, RowAddress at, OldRow& old) {
  Engine& engine = Use();
  if (!ReadScratch(engine, rel, at)) {
    return false;
  }
  std::size_t length = engine.scratch.size();
  auto* copy = static_cast<char*>(palloc(length));
  memcpy(copy, engine.scratch.data(), length);
  pg::Boundary([&] { engine.chains = ChainsOf(engine.scratch); });
  old.count = engine.chains.size();
  old.chains = static_cast<ChainLink*>(palloc(old.count * sizeof(ChainLink) + 1));
  memcpy(old.chains, engine.chains.data(), old.count * sizeof(ChainLink));
  MakeTuple(rel, copy, length, at, &old.tuple);
  return old.count > 0;
}

// Whoever has the same pointer as the old version shares its chain. Everything else that lies
// elsewhere has been fetched by toast_tuple_init.
void Borrow(LongRow& row, const OldRow& old) {
  for (int i = 0; i < row.desc->natts; ++i) {
    if (!IsStoredElsewhere(row, i)) {
      continue;
    }
    uint32_t head = PointerOf(row.toast.ttc_values[i]).va_valueid;
    for (std::size_t k = 0; k < old.count; ++k) {
      if (old.chains[k].head == head) {
        row.chains[i] = {old.chains[k].serial, head, 0, kChainBorrowed};
        ++row.chain_count;
      }
    }
    if (row.chains[i].head == 0) {
      elog(ERROR, "a large value of relation \"%s\" is in no version of its row",
           RelationGetRelationName(row.rel));
    }
  }
}

Size HeaderBytes(const LongRow& row) {
  Size bytes = SizeofHeapTupleHeader;
  if ((row.toast.ttc_flags & TOAST_HAS_NULLS) != 0) {
    bytes += static_cast<Size>(BITMAPLEN(row.desc->natts));
  }
  return MAXALIGN(bytes);
}

bool LongerThan(const LongRow& row, Size bytes) {
  return HeaderBytes(row) +
             heap_compute_data_size(row.desc, row.toast.ttc_values, row.toast.ttc_isnull) >
         bytes;
}

// With the list of chains that one more value outside would make.
bool FitsOnPage(const LongRow& row) {
  Size list = row.chain_count == 0
                  ? 0
                  : static_cast<Size>(row.chain_count) * sizeof(ChainLink) + kChainCountBytes;
  return !LongerThan(row, kMaxVersionBytes - kRowOffset - list);
}

void Compress(LongRow& row, bool main) {
  auto target = static_cast<Size>(RelationGetToastTupleTarget(row.rel, TOAST_TUPLE_TARGET));
  while (LongerThan(row, target)) {
    int column = toast_tuple_find_biggest_attribute(&row.toast, true, main);
    if (column < 0) {
      return;
    }
    if (main || TupleDescAttr(row.desc, column)->attstorage == TYPSTORAGE_EXTENDED) {
      toast_tuple_try_compression(&row.toast, column);
    } else {
      row.toast.ttc_attr[column].tai_colflags |= TOASTCOL_INCOMPRESSIBLE;  // EXTERNAL
    }
  }
}

// What goes into the chain, and the pointer to it but for the block.
varatt_external Describe(Datum value, const char*& data, Size& size) {
  varlena* bytes = Varlena(value);
  varatt_external pointer = {};
  if (VARATT_IS_SHORT(bytes)) {
    data = VARDATA_SHORT(bytes);
    size = VARSIZE_SHORT(bytes) - VARHDRSZ_SHORT;
    pointer.va_rawsize = static_cast<int32>(size + VARHDRSZ);
    pointer.va_extinfo = static_cast<uint32>(size);
    return pointer;
  }
  data = VARDATA(bytes);
  size = VARSIZE(bytes) - VARHDRSZ;
  pointer.va_rawsize = static_cast<int32>(VARSIZE(bytes));
  pointer.va_extinfo = static_cast<uint32>(size);
  if (VARATT_IS_COMPRESSED(bytes)) {
    pointer.va_rawsize = static_cast<int32>(VARDATA_COMPRESSED_GET_EXTSIZE(bytes) + VARHDRSZ);
    VARATT_EXTERNAL_SET_SIZE_AND_COMPRESS_METHOD(pointer, static_cast<uint32>(size),
                                                 VARDATA_COMPRESSED_GET_COMPRESS_METHOD(bytes));
  }
  return pointer;
}

void MoveOut(LongRow& row, int column, TxWord creator) {
  const char* data = nullptr;
  Size size = 0;
  varatt_external pointer = Describe(row.toast.ttc_values[column], data, size);
  uint64_t segment = SegmentOf(row.rel);
  ChainWriting writing;
  while (!writing.done) {
    CHECK_FOR_INTERRUPTS();
    Engine& engine = Use();
    pg::Boundary([&]() -> Status {
      Result<TableStore*> table = engine.Table(segment);
      return table.ok()
                 ? table.value()->overflow().WriteSome(writing, {data, size}, creator, kPagesAtOnce)
                 : table.status();
    });
  }
  pointer.va_valueid = writing.head;
  pointer.va_toastrelid = InvalidOid;  // see MakeTuple
  auto* stub = static_cast<varlena*>(palloc(TOAST_POINTER_SIZE));
  SET_VARTAG_EXTERNAL(stub, VARTAG_ONDISK);
  memcpy(VARDATA_EXTERNAL(stub), &pointer, sizeof(pointer));
  row.toast.ttc_values[column] = PointerGetDatum(stub);
  row.toast.ttc_attr[column].tai_colflags |= TOASTCOL_IGNORE;
  row.chains[column] = {writing.serial, writing.head, 0, 0};
  ++row.chain_count;
}

void MoveOutUntilItFits(LongRow& row, bool main, TxWord creator) {
  while (!FitsOnPage(row)) {
    int column = toast_tuple_find_biggest_attribute(&row.toast, false, main);
    if (column < 0) {
      return;  // the engine refuses the row, and says how long it may be
    }
    MoveOut(row, column, creator);
  }
}

LongRow Open(Relation rel, HeapTuple tuple, const RowAddress* before) {
  LongRow row = {};
  row.rel = rel;
  row.desc = RelationGetDescr(rel);
  row.toast.ttc_rel = rel;
  Deform(tuple, row.desc, row.toast.ttc_values, row.toast.ttc_isnull);
  row.toast.ttc_attr =
      static_cast<ToastAttrInfo*>(ZeroArray(row.desc->natts, sizeof(ToastAttrInfo)));
  row.chains = static_cast<ChainLink*>(ZeroArray(row.desc->natts, sizeof(ChainLink)));
  OldRow old = {};
  bool shares = before != nullptr && HeapTupleHasExternal(tuple) && ReadOld(rel, *before, old);
  if (shares) {
    Deform(&old.tuple, row.desc, row.toast.ttc_oldvalues, row.toast.ttc_oldisnull);
  }
  toast_tuple_init(&row.toast);
  if (shares) {
    Borrow(row, old);
  }
  return row;
}

// The places of the pointers in the tuple as it will be stored.
void FindPlaces(const LongRow& row, HeapTuple stored, RowBytes& bytes) {
  Datum* values = nullptr;
  bool* nulls = nullptr;
  Deform(stored, row.desc, values, nulls);
  const char* begin = reinterpret_cast<const char*>(stored->t_data);
  for (int i = 0; i < row.desc->natts; ++i) {
    if (row.chains[i].head != 0) {
      ChainLink link = row.chains[i];
      link.place = static_cast<uint16_t>(
          static_cast<std::size_t>(DatumGetPointer(values[i]) - begin) + kRowOffset);
      bytes.chains[bytes.chain_count++] = link;
    }
  }
}

// Everything that a tuple needs to be found by its pointers; rel's own number.
void FetchSlice(Relation rel, Oid value, int32 size, int32 offset, int32 length,
                struct varlena* result) {
  ChainReading reading;
  reading.head = value;
  reading.total = static_cast<uint32_t>(size);
  uint64_t segment = SegmentOf(rel);
  for (bool done = false; !done;) {
    CHECK_FOR_INTERRUPTS();
    Engine& engine = Use();
    done = pg::Boundary([&]() -> Result<bool> {
      Result<TableStore*> table = engine.Table(segment);
      return table.ok() ? table.value()->overflow().ReadSome(reading, static_cast<uint32_t>(offset),
                                                             static_cast<uint32_t>(length),
                                                             VARDATA(result), kPagesAtOnce)
                        : table.status();
    });
  }
}

}  // namespace

RowBytes LongBytesOf(Relation rel, HeapTuple tuple, TxWord creator, const RowAddress* before) {
  MemoryContext context =
      AllocSetContextCreate(CurrentMemoryContext, "fusion row", ALLOCSET_DEFAULT_SIZES);
  MemoryContext caller = MemoryContextSwitchTo(context);
  LongRow row = Open(rel, tuple, before);
  Compress(row, false);
  MoveOutUntilItFits(row, false, creator);
  Compress(row, true);
  MoveOutUntilItFits(row, true, creator);
  HeapTuple stored = heap_form_tuple(row.desc, row.toast.ttc_values, row.toast.ttc_isnull);
  MemoryContextSwitchTo(caller);
  RowBytes bytes = CopyStored(stored);
  if (row.chain_count > 0) {
    bytes.chains =
        static_cast<ChainLink*>(palloc(static_cast<Size>(row.chain_count) * sizeof(ChainLink)));
    MemoryContextSwitchTo(context);
    FindPlaces(row, stored, bytes);
    MemoryContextSwitchTo(caller);
  }
  MemoryContextDelete(context);
  return bytes;
}

void FreeChain(uint64_t segment, const ChainLink& chain) {
  for (bool done = false; !done;) {
    CHECK_FOR_INTERRUPTS();
    Engine& engine = Use();
    done = pg::Boundary([&]() -> Result<bool> {
      Result<TableStore*> table = engine.Table(segment);
      return table.ok() ? table.value()->overflow().FreeSome(chain, kPagesAtOnce) : table.status();
    });
  }
}

void FillLarge(TableAmRoutine& routine) {
  routine.relation_fetch_toast_slice = FetchSlice;
}

}  // namespace pgquorum::fusion::server
