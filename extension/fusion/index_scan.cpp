// Scans of an index. What the scan keys mean (redundant ones, arrays, when a scan in order may
// stop) is decided by PostgreSQL's own B-tree code, which works on scan keys and index tuples
// alone.
#include <algorithm>

#include "cachefusion/index/index_scan.h"

#include "extension/fusion/index_am.h"
#include "extension/fusion/table_am.h"

extern "C" {
#include "access/nbtree.h"
#include "access/relscan.h"
#include "miscadmin.h"
#include "nodes/tidbitmap.h"
#include "pgstat.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
}

#include "extension/fusion/owned.h"
#include "extension/pg/boundary.h"

namespace pgquorum::fusion::server {
namespace {

struct Walk {
  Walk(Engine& engine, Relation index) : opened(engine, index), scan(opened.tree) {}
  OpenIndex opened;
  IndexScan scan;
};

// In PostgreSQL's memory, in a context of its own.
struct IndexWalk {
  BTScanOpaqueData keys;  // first: PostgreSQL's code for scan keys works on it
  MemoryContext context;
  Walk* walk;
  bool placed;  // the scan stands somewhere
  bool mark_placed;
  int search_count;
  ScanKeyData search[INDEX_MAX_KEYS];  // where the scan begins
};

IndexWalk& WalkOf(IndexScanDesc scan) {
  return *static_cast<IndexWalk*>(scan->opaque);
}

IndexScanDesc BeginScan(Relation index, int key_count, int order_count) {
  if (order_count != 0) {
    elog(ERROR, "fusion indexes do not order by operators");
  }
  Engine& engine = Use();
  FindComparisons(index);
  IndexScanDesc scan = RelationGetIndexScan(index, key_count, order_count);
  scan->xs_itupdesc = RelationGetDescr(index);
  MemoryContext context =
      AllocSetContextCreate(CurrentMemoryContext, "fusion index scan", ALLOCSET_SMALL_SIZES);
  auto* walk = static_cast<IndexWalk*>(MemoryContextAllocZero(context, sizeof(IndexWalk)));
  walk->context = context;
  walk->walk = NewIn<Walk>(context, engine, index);
  if (key_count > 0) {
    walk->keys.keyData = static_cast<ScanKey>(
        MemoryContextAlloc(context, static_cast<Size>(key_count) * sizeof(ScanKeyData)));
  }
  scan->opaque = walk;
  return scan;
}

void Leave(IndexWalk& walk) {
  Use();
  pg::Boundary([&] { return walk.walk->scan.TellGone(); });
  walk.placed = false;
}

void RescanIndex(IndexScanDesc scan, ScanKeyData* keys, int count, ScanKeyData*, int) {
  IndexWalk& walk = WalkOf(scan);
  Leave(walk);
  walk.mark_placed = false;
  if (keys != nullptr && count > 0) {
    memmove(scan->keyData, keys, static_cast<Size>(count) * sizeof(ScanKeyData));
  }
  walk.keys.numberOfKeys = 0;
  _bt_preprocess_array_keys(scan);
}

void EndScan(IndexScanDesc scan) {
  IndexWalk& walk = WalkOf(scan);
  Leave(walk);
  if (walk.keys.arrayContext != nullptr) {
    MemoryContextDelete(walk.keys.arrayContext);
  }
  MemoryContextDelete(walk.context);
  scan->opaque = nullptr;
}

// The comparison of a column with a key's argument, which may be of another type.
void SearchWith(Relation index, const ScanKeyData& key, ScanKeyData& made) {
  int column = key.sk_attno - 1;
  int flags = key.sk_flags & (SK_ISNULL | SK_BT_DESC | SK_BT_NULLS_FIRST);
  Oid type = index->rd_opcintype[column];
  if (key.sk_subtype == InvalidOid || key.sk_subtype == type) {
    FmgrInfo* compare = index_getprocinfo(index, key.sk_attno, BTORDER_PROC);
    ScanKeyEntryInitializeWithInfo(&made, flags, key.sk_attno, InvalidStrategy, key.sk_subtype,
                                   index->rd_indcollation[column], compare, key.sk_argument);
    return;
  }
  Oid compare = get_opfamily_proc(index->rd_opfamily[column], type, key.sk_subtype, BTORDER_PROC);
  if (!OidIsValid(compare)) {
    elog(ERROR, "missing support function %d(%u,%u) for column %d of index \"%s\"", BTORDER_PROC,
         type, key.sk_subtype, key.sk_attno, RelationGetRelationName(index));
  }
  ScanKeyEntryInitialize(&made, flags, key.sk_attno, InvalidStrategy, key.sk_subtype,
                         index->rd_indcollation[column], compare, key.sk_argument);
}

bool Bounds(StrategyNumber strategy, bool forward) {
  switch (strategy) {
    case BTEqualStrategyNumber:
      return true;
    case BTGreaterStrategyNumber:
    case BTGreaterEqualStrategyNumber:
      return forward;
    default:
      return !forward;
  }
}

// From the keys, which PostgreSQL has put in the order of columns: the columns that have a bound on
// the side where the scan begins, up to the first inequality. Its strategy.
StrategyNumber ChooseStart(IndexScanDesc scan, bool forward) {
  IndexWalk& walk = WalkOf(scan);
  walk.search_count = 0;
  StrategyNumber strategy = BTEqualStrategyNumber;
  for (int i = 0; i < walk.keys.numberOfKeys && strategy == BTEqualStrategyNumber;) {
    AttrNumber column = walk.keys.keyData[i].sk_attno;
    const ScanKeyData* chosen = nullptr;
    for (; i < walk.keys.numberOfKeys && walk.keys.keyData[i].sk_attno == column; ++i) {
      const ScanKeyData& key = walk.keys.keyData[i];
      if ((key.sk_flags & SK_ROW_HEADER) != 0) {
        elog(ERROR, "fusion indexes do not compare rows");
      }
      if (Bounds(key.sk_strategy, forward) &&
          (chosen == nullptr || key.sk_strategy == BTEqualStrategyNumber)) {
        chosen = &key;
      }
    }
    if (chosen == nullptr || column != walk.search_count + 1) {
      break;
    }
    SearchWith(scan->indexRelation, *chosen, walk.search[walk.search_count++]);
    strategy = chosen->sk_strategy;
  }
  return strategy;
}

KeyPosition StartOf(const IndexWalk& walk, StrategyNumber strategy, bool forward) {
  if (walk.search_count == 0) {
    return forward ? KeyPosition::Lowest() : KeyPosition::Highest();
  }
  std::string_view key = ServerKeyOrder::SearchFor(walk.search, walk.search_count);
  bool with_equal = strategy == BTEqualStrategyNumber || strategy == BTGreaterEqualStrategyNumber ||
                    strategy == BTLessEqualStrategyNumber;
  return with_equal == forward ? KeyPosition::Before(key) : KeyPosition::After(key);
}

// To the next entry that the keys let through.
bool Step(IndexScanDesc scan, bool forward) {
  IndexWalk& walk = WalkOf(scan);
  ScanDirection direction = forward ? ForwardScanDirection : BackwardScanDirection;
  int columns = IndexRelationGetNumberOfAttributes(scan->indexRelation);
  for (;;) {
    CHECK_FOR_INTERRUPTS();
    bool found =
        pg::Boundary([&] { return forward ? walk.walk->scan.Next() : walk.walk->scan.Previous(); });
    if (!found) {
      return false;
    }
    IndexEntry entry = walk.walk->scan.entry();
    IndexTuple tuple = TupleOf(entry.key);
    bool more = true;
    if (_bt_checkkeys(scan, tuple, columns, direction, &more)) {
      SetTid(&scan->xs_heaptid, entry.at);
      return true;
    }
    if (!more) {
      return false;
    }
  }
}

bool First(IndexScanDesc scan, bool forward) {
  IndexWalk& walk = WalkOf(scan);
  pgstat_count_index_scan(scan->indexRelation);
  _bt_preprocess_keys(scan);
  if (!walk.keys.qual_ok) {
    return false;
  }
  StrategyNumber strategy = ChooseStart(scan, forward);
  KeyPosition start = StartOf(walk, strategy, forward);
  Announce(Use());
  pg::Boundary([&]() -> Status {
    IndexScan& pages = walk.walk->scan;
    Status told = pages.TellGone();
    return !told.ok() ? told : forward ? pages.SeekForward(start) : pages.SeekBackward(start);
  });
  walk.placed = true;
  return Step(scan, forward);
}

// Whether the executor must compare the row with the keys: without a snapshot it may be another one
// by now (cachefusion/index/README.md). Its comparison takes no null for equal, so where a null is
// looked for (ON CONFLICT and NULLS NOT DISTINCT) the entry decides.
bool NeedsRecheck(IndexScanDesc scan) {
  if (scan->xs_snapshot != nullptr && IsMVCCSnapshot(scan->xs_snapshot)) {
    return false;
  }
  return std::none_of(scan->keyData, scan->keyData + scan->numberOfKeys,
                      [](const ScanKeyData& key) { return (key.sk_flags & SK_SEARCHNULL) != 0; });
}

bool NextEntry(IndexScanDesc scan, ScanDirection direction) {
  IndexWalk& walk = WalkOf(scan);
  bool forward = !ScanDirectionIsBackward(direction);
  Use();
  if (walk.placed && scan->kill_prior_tuple) {
    pg::Boundary([&] { walk.walk->scan.NoteGone(); });
  }
  if (walk.keys.numArrayKeys != 0 && !walk.placed) {
    if (walk.keys.numArrayKeys < 0) {
      return false;
    }
    _bt_start_array_keys(scan, direction);
  }
  do {
    if (walk.placed ? Step(scan, forward) : First(scan, forward)) {
      return true;
    }
    walk.placed = false;
  } while (walk.keys.numArrayKeys != 0 && _bt_advance_array_keys(scan, direction));
  return false;
}

bool GetTuple(IndexScanDesc scan, ScanDirection direction) {
  scan->xs_recheck = NeedsRecheck(scan);
  bool found = NextEntry(scan, direction);
  if (found && scan->xs_want_itup) {
    // In the scan's copy of the page, which stays until the next call.
    scan->xs_itup = TupleOf(WalkOf(scan).walk->scan.entry().key);
  }
  return found;
}

int64 GetBitmap(IndexScanDesc scan, TIDBitmap* bitmap) {
  int64 found = 0;
  while (NextEntry(scan, ForwardScanDirection)) {
    tbm_add_tuples(bitmap, &scan->xs_heaptid, 1, false);
    ++found;
  }
  return found;
}

// Every entry holds all columns. The executor looks at the row all the same, for no page of a
// fusion table is known to be visible to everybody.
bool CanReturn(Relation, int) {
  return true;
}

void Mark(IndexScanDesc scan) {
  IndexWalk& walk = WalkOf(scan);
  walk.mark_placed = walk.placed;
  if (walk.placed) {
    pg::Boundary([&] { walk.walk->scan.Mark(); });
  }
  if (walk.keys.numArrayKeys != 0) {
    _bt_mark_array_keys(scan);
  }
}

void RestoreMark(IndexScanDesc scan) {
  IndexWalk& walk = WalkOf(scan);
  Leave(walk);
  if (walk.keys.numArrayKeys != 0) {
    _bt_restore_array_keys(scan);
  }
  if (walk.mark_placed) {
    pg::Boundary([&] { walk.walk->scan.Restore(); });
    walk.placed = true;
  }
}

}  // namespace

void FillIndexScans(IndexAmRoutine& routine) {
  routine.ambeginscan = BeginScan;
  routine.amrescan = RescanIndex;
  routine.amgettuple = GetTuple;
  routine.amgetbitmap = GetBitmap;
  routine.amcanreturn = CanReturn;
  routine.amendscan = EndScan;
  routine.ammarkpos = Mark;
  routine.amrestrpos = RestoreMark;
}

}  // namespace pgquorum::fusion::server
