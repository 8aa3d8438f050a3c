// Building an index: the table's rows are sorted by key and address, then pages are filled.
#include "cachefusion/index/index_builder.h"

#include "extension/fusion/index_am.h"
#include "extension/fusion/segments.h"
#include "extension/fusion/table_am.h"

extern "C" {
#include "access/genam.h"
#include "access/nbtree.h"
#include "access/tableam.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/tuplesort.h"
}

#include "extension/fusion/owned.h"
#include "extension/pg/boundary.h"

namespace pgquorum::fusion::server {
namespace {

struct Builder {
  Builder(Engine& engine, Relation index)
      : order(engine, index), pages(engine.storage, SegmentOf(index), order) {}
  ServerKeyOrder order;
  IndexBuilder pages;
};

// The index's columns, then where the row is, then whether it is alive.
struct Sorting {
  Relation index;
  int columns;
  TupleDesc desc;
  Tuplesortstate* sort;
  TupleTableSlot* slot;
  double entries;
};

TupleDesc DescribeEntries(Relation index, int columns) {
  TupleDesc desc = CreateTemplateTupleDesc(columns + 2);
  for (int i = 1; i <= columns; ++i) {
    TupleDescCopyEntry(desc, static_cast<AttrNumber>(i), RelationGetDescr(index),
                       static_cast<AttrNumber>(i));
  }
  TupleDescInitEntry(desc, static_cast<AttrNumber>(columns + 1), "row", TIDOID, -1, 0);
  TupleDescInitEntry(desc, static_cast<AttrNumber>(columns + 2), "alive", BOOLOID, -1, 0);
  return desc;
}

void BeginSort(Sorting& sorting) {
  Relation index = sorting.index;
  AttrNumber numbers[INDEX_MAX_KEYS + 1];
  Oid operators[INDEX_MAX_KEYS + 1];
  Oid collations[INDEX_MAX_KEYS + 1];
  bool nulls_first[INDEX_MAX_KEYS + 1];
  int keys = IndexRelationGetNumberOfKeyAttributes(index);
  for (int i = 0; i < keys; ++i) {
    int16 option = index->rd_indoption[i];
    int16 strategy =
        (option & INDOPTION_DESC) != 0 ? BTGreaterStrategyNumber : BTLessStrategyNumber;
    Oid type = index->rd_opcintype[i];
    numbers[i] = static_cast<AttrNumber>(i + 1);
    operators[i] = get_opfamily_member(index->rd_opfamily[i], type, type, strategy);
    collations[i] = index->rd_indcollation[i];
    nulls_first[i] = (option & INDOPTION_NULLS_FIRST) != 0;
    if (!OidIsValid(operators[i])) {
      elog(ERROR, "missing operator %d(%u,%u) for column %d of index \"%s\"", strategy, type, type,
           i + 1, RelationGetRelationName(index));
    }
  }
  numbers[keys] = static_cast<AttrNumber>(sorting.columns + 1);
  operators[keys] = TIDLessOperator;
  collations[keys] = InvalidOid;
  nulls_first[keys] = false;
  sorting.sort = tuplesort_begin_heap(sorting.desc, keys + 1, numbers, operators, collations,
                                      nulls_first, maintenance_work_mem, nullptr, TUPLESORT_NONE);
}

void AddRow(Relation, ItemPointer tid, Datum* values, bool* nulls, bool alive, void* state) {
  auto& sorting = *static_cast<Sorting*>(state);
  TupleTableSlot* slot = sorting.slot;
  ExecClearTuple(slot);
  for (int i = 0; i < sorting.columns; ++i) {
    slot->tts_values[i] = values[i];
    slot->tts_isnull[i] = nulls[i];
  }
  slot->tts_values[sorting.columns] = PointerGetDatum(tid);
  slot->tts_isnull[sorting.columns] = false;
  slot->tts_values[sorting.columns + 1] = BoolGetDatum(alive);
  slot->tts_isnull[sorting.columns + 1] = false;
  ExecStoreVirtualTuple(slot);
  tuplesort_puttupleslot(sorting.sort, slot);
}

void FillPages(Sorting& sorting, Relation table, Builder& builder, bool unique) {
  TupleTableSlot* slot = MakeSingleTupleTableSlot(sorting.desc, &TTSOpsMinimalTuple);
  bool met = false;  // a row with this key that counts
  pg::Boundary([&] { return builder.pages.Begin(); });
  while (tuplesort_gettupleslot(sorting.sort, true, false, slot, nullptr)) {
    CHECK_FOR_INTERRUPTS();
    slot_getallattrs(slot);
    IndexTuple key = FormKey(sorting.index, slot->tts_values, slot->tts_isnull);
    RowAddress at = AddressOf(
        reinterpret_cast<ItemPointer>(DatumGetPointer(slot->tts_values[sorting.columns])));
    bool equal = pg::Boundary([&] { return builder.pages.Add({KeyOf(key), at, {}}); });
    bool counts = unique && DatumGetBool(slot->tts_values[sorting.columns + 1]) &&
                  !NeverConflicts(sorting.index, slot->tts_isnull);
    met = equal && met;
    if (met && counts) {
      RaiseDuplicate(table, sorting.index, key, true);
    }
    met = met || counts;
    pfree(key);
    sorting.entries += 1;
  }
  pg::Boundary([&] { return builder.pages.Finish(); });
  ExecDropSingleTupleTableSlot(slot);
}

}  // namespace

IndexBuildResult* BuildFusionIndex(Relation table, Relation index, IndexInfo* info) {
  if (!IsFusionTable(table)) {
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("access method \"%s\" indexes fusion tables only", kIndexAmName),
                    errdetail("Table \"%s\" is no fusion table.", RelationGetRelationName(table)),
                    errhint("Drop the index \"%s\", and create it anew on the table.",
                            RelationGetRelationName(index))));
  }
  Engine& engine = Use();
  FindComparisons(index);
  ClearIndexSegment(SegmentOf(index), RelationGetRelid(index));
  auto* result = static_cast<IndexBuildResult*>(palloc0(sizeof(IndexBuildResult)));
  MemoryContext context =
      AllocSetContextCreate(CurrentMemoryContext, "fusion index build", ALLOCSET_DEFAULT_SIZES);
  MemoryContext before = MemoryContextSwitchTo(context);
  auto* builder = NewIn<Builder>(context, engine, index);
  Sorting sorting = {};
  sorting.index = index;
  sorting.columns = IndexRelationGetNumberOfAttributes(index);
  sorting.desc = DescribeEntries(index, sorting.columns);
  BeginSort(sorting);
  sorting.slot = MakeSingleTupleTableSlot(sorting.desc, &TTSOpsVirtual);
  result->heap_tuples =
      table_index_build_scan(table, index, info, true, true, AddRow, &sorting, nullptr);
  tuplesort_performsort(sorting.sort);
  FillPages(sorting, table, *builder, info->ii_Unique);
  result->index_tuples = sorting.entries;
  ExecDropSingleTupleTableSlot(sorting.slot);
  tuplesort_end(sorting.sort);
  MemoryContextSwitchTo(before);
  MemoryContextDelete(context);
  return result;
}

}  // namespace pgquorum::fusion::server
