// VACUUM of a fusion table: rows that nobody can see any more go, after the entries that lead to
// them.
#include <algorithm>

#include "cachefusion/index/key_order.h"

#include "extension/fusion/table_am.h"

extern "C" {
#include "access/genam.h"
#include "access/multixact.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/rel.h"
}

#include "extension/pg/boundary.h"

namespace pgquorum::fusion::server {
namespace {

struct Counts {
  uint64_t kept = 0;
  uint64_t removed = 0;
};

// Rows that nobody sees and that indexes may still lead to. In PostgreSQL's memory, ascending.
struct DeadList {
  RowAddress* rows;
  std::size_t count;
  std::size_t room;
};

bool Before(const RowAddress& a, const RowAddress& b) {
  return CompareRows(a, b) < 0;
}

bool IsInList(ItemPointer tid, void* list) {
  const auto& dead = *static_cast<const DeadList*>(list);
  return std::binary_search(dead.rows, dead.rows + dead.count, AddressOf(tid), Before);
}

// How many versions the page has; the dead ones are added to the list, which has room for them.
Result<uint64_t> CollectPage(Engine& engine, uint64_t segment, uint32_t block, DeadList& list) {
  Result<TableStore*> table = engine.Table(segment);
  if (!table.ok()) {
    return table.status();
  }
  std::vector<RowAddress> dead;
  Status status =
      table.value()->CollectDead(block, engine.transactions.Horizon(), engine.visibility, dead);
  if (!status.ok()) {
    return status;
  }
  for (RowAddress at : dead) {
    list.rows[list.count++] = at;
  }
  std::vector<char> page(kPageBytes);
  Result<bool> there = table.value()->ReadPage(block, page.data());
  if (!there.ok()) {
    return there.status();
  }
  uint64_t versions = 0;
  for (SlotNumber slot = 1; there.value() && slot <= SlotCount(page.data()); ++slot) {
    versions += VersionAt(page.data(), slot).empty() ? 0 : 1;
  }
  return versions;
}

// The rows of a page that go: those of the list from `first` on; behind the last.
std::size_t OnePage(const DeadList& list, std::size_t first, std::vector<SlotNumber>& slots) {
  uint32_t block = list.rows[first].block();
  for (; first < list.count && list.rows[first].block() == block; ++first) {
    slots.push_back(list.rows[first].slot);
  }
  return first;
}

// Their large values, into Engine::chains.
Status FindChains(Engine& engine, uint64_t segment, const DeadList& list, std::size_t first) {
  engine.chains.clear();
  Result<TableStore*> table = engine.Table(segment);
  if (!table.ok()) {
    return table.status();
  }
  std::vector<SlotNumber> slots;
  OnePage(list, first, slots);
  return table.value()->ChainsToFree(list.rows[first].block(), slots, engine.visibility,
                                     engine.chains);
}

// Takes the rows of the list's first page out of it; the next page's first.
Result<std::size_t> RemovePage(Engine& engine, uint64_t segment, const DeadList& list,
                               std::size_t first) {
  Result<TableStore*> table = engine.Table(segment);
  if (!table.ok()) {
    return table.status();
  }
  std::vector<SlotNumber> slots;
  std::size_t next = OnePage(list, first, slots);
  Status removed = table.value()->RemoveDead(list.rows[first].block(), slots);
  return removed.ok() ? Result<std::size_t>(next) : removed;
}

struct Indexes {
  int count;
  Relation* opened;
  IndexBulkDeleteResult** stats;
};

// One turn: entries first, so that no entry ever leads to a slot that is used again.
void RemoveListed(Relation rel, DeadList& list, Indexes& indexes, BufferAccessStrategy strategy) {
  Engine& engine = Use();
  uint64_t segment = SegmentOf(rel);
  for (int i = 0; i < indexes.count; ++i) {
    IndexVacuumInfo info = {};
    info.index = indexes.opened[i];
    info.estimated_count = true;
    info.message_level = DEBUG2;
    info.num_heap_tuples = rel->rd_rel->reltuples;
    info.strategy = strategy;
    indexes.stats[i] = index_bulk_delete(&info, indexes.stats[i], IsInList, &list);
  }
  for (std::size_t first = 0; first < list.count;) {
    vacuum_delay_point();
    pg::Boundary([&]() -> Status { return FindChains(engine, segment, list, first); });
    for (std::size_t i = 0; i < engine.chains.size(); ++i) {
      FreeChain(segment, engine.chains[i]);
    }
    first = pg::Boundary([&] { return RemovePage(engine, segment, list, first); });
  }
  list.count = 0;
}

void NoteIndexes(const Indexes& indexes) {
  for (int i = 0; i < indexes.count; ++i) {
    IndexBulkDeleteResult* stats = indexes.stats[i];
    if (stats != nullptr) {
      vac_update_relstats(indexes.opened[i], stats->num_pages, stats->num_index_tuples, 0, false,
                          InvalidTransactionId, InvalidMultiXactId, nullptr, nullptr, false);
    }
  }
}

void Vacuum(Relation rel, VacuumParams* params, BufferAccessStrategy strategy) {
  Engine& engine = Use();
  uint64_t segment = SegmentOf(rel);
  auto blocks = pg::Boundary([&]() -> Result<uint32_t> {
    Result<TableStore*> table = engine.Table(segment);
    return table.ok() ? table.value()->space().Blocks() : table.status();
  });
  Indexes indexes = {};
  vac_open_indexes(rel, RowExclusiveLock, &indexes.count, &indexes.opened);
  indexes.stats = static_cast<IndexBulkDeleteResult**>(
      palloc0(sizeof(IndexBulkDeleteResult*) * static_cast<Size>(indexes.count + 1)));
  // Without their indexes' entries going first, rows must stay where they are.
  bool removes = indexes.count == 0 || params->index_cleanup != VACOPTVALUE_DISABLED;
  DeadList list = {};
  list.room = std::max<std::size_t>(
      std::size_t{static_cast<uint32_t>(maintenance_work_mem)} * 1024 / sizeof(RowAddress) / 4,
      kMaxSlots);
  list.rows = static_cast<RowAddress*>(
      MemoryContextAllocHuge(CurrentMemoryContext, list.room * sizeof(RowAddress)));
  Counts counts;
  for (uint32_t block = 0; block < blocks; ++block) {
    if (!SegmentSpace::HoldsRows(block)) {
      continue;
    }
    vacuum_delay_point();
    std::size_t before = list.count;
    counts.kept += pg::Boundary([&] { return CollectPage(engine, segment, block, list); });
    if (!removes) {
      list.count = before;
      continue;
    }
    counts.kept -= list.count - before;
    counts.removed += list.count - before;
    if (list.room - list.count < kMaxSlots || (indexes.count == 0 && list.count > 0)) {
      RemoveListed(rel, list, indexes, strategy);
    }
  }
  if (list.count > 0) {
    RemoveListed(rel, list, indexes, strategy);
  }
  pfree(list.rows);
  NoteIndexes(indexes);
  vac_close_indexes(indexes.count, indexes.opened, NoLock);
  vac_update_relstats(rel, blocks, static_cast<double>(counts.kept), 0, indexes.count > 0,
                      InvalidTransactionId, InvalidMultiXactId, nullptr, nullptr, false);
  pgstat_report_vacuum(RelationGetRelid(rel), rel->rd_rel->relisshared,
                       static_cast<PgStat_Counter>(counts.kept), 0);
  ereport((params->options & VACOPT_VERBOSE) != 0 ? INFO : DEBUG2,
          (errmsg("vacuumed fusion table \"%s\": %llu versions removed, %llu kept, %u pages",
                  RelationGetRelationName(rel), static_cast<unsigned long long>(counts.removed),
                  static_cast<unsigned long long>(counts.kept), blocks)));
}

}  // namespace

void FillUpkeep(TableAmRoutine& routine) {
  routine.relation_vacuum = Vacuum;
}

}  // namespace pgquorum::fusion::server
