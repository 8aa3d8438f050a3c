#include "extension/fusion/check.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "cachefusion/index/index_check.h"
#include "cachefusion/table/table_check.h"

#include "extension/fusion/index_am.h"
#include "extension/fusion/segments.h"
#include "extension/fusion/table_am.h"

extern "C" {
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/relfilenodemap.h"
}

#include "extension/fusion/owned.h"
#include "extension/pg/boundary.h"

namespace pgquorum::fusion::server {
namespace {

constexpr std::size_t kMostProblems = 100;  // of one index

// An index's entries, by row.
struct Entries {
  Entries(Engine& engine, Relation index) : opened(engine, index) {}

  void Sort() {
    std::sort(found.begin(), found.end(),
              [](const auto& a, const auto& b) { return CompareRows(a.first, b.first) < 0; });
  }
  const std::string* Find(RowAddress at) const {
    auto place = std::lower_bound(found.begin(), found.end(), at, [](const auto& a, RowAddress b) {
      return CompareRows(a.first, b) < 0;
    });
    return place != found.end() && place->first == at ? &place->second : nullptr;
  }

  OpenIndex opened;
  std::vector<std::pair<RowAddress, std::string>> found;
  std::vector<std::string> faults;
};

struct IndexCheck {
  Engine* engine;
  Relation table;
  Relation index;
  Entries* entries;
  const Problems* problems;
  std::size_t told;
};

void Tell(IndexCheck& check, const char* problem) {
  if (check.told++ < kMostProblems) {
    check.problems->tell(check.problems->argument, RelationGetRelationName(check.index), problem);
  }
}

void TellRow(IndexCheck& check, const char* what, RowAddress at) {
  Tell(check, psprintf("%s (%u,%u)", what, at.block(), at.slot));
}

void ReadEntries(IndexCheck& check) {
  uint64_t segment = SegmentOf(check.index);
  pg::Boundary([&]() -> Status {
    Entries& entries = *check.entries;
    Result<IndexReport> report =
        CheckIndex(check.engine->storage, segment, entries.opened.order, [&](const IndexEntry& e) {
          entries.found.emplace_back(e.at, std::string(e.key));
          return Status::Ok();
        });
    if (!report.ok()) {
      return report.status();
    }
    entries.faults = std::move(report.value().faults);
    entries.Sort();
    return Status::Ok();
  });
}

// A row that some snapshot may see must have its entry.
void CheckRow(Relation index, ItemPointer tid, Datum* values, bool* nulls, bool, void* argument) {
  auto& check = *static_cast<IndexCheck*>(argument);
  RowAddress at = AddressOf(tid);
  const std::string* key = check.entries->Find(at);
  if (key == nullptr) {
    TellRow(check, "no entry for row", at);
    return;
  }
  IndexTuple formed = FormKey(index, values, nulls);
  bool equal = pg::Boundary([&]() -> Result<bool> {
    ServerKeyOrder& order = check.entries->opened.order;
    int compared = order.Compare(KeyOf(formed), *key);
    return order.failed() ? Result<bool>(order.TakeError()) : Result<bool>(compared == 0);
  });
  pfree(formed);
  if (!equal) {
    TellRow(check, "another key than that of row", at);
  }
}

// An entry must lead to a version, dead or alive: vacuum removes entries first.
void CheckEntries(IndexCheck& check) {
  uint64_t segment = SegmentOf(check.table);
  for (const auto& entry : check.entries->found) {
    CHECK_FOR_INTERRUPTS();
    bool there = pg::Boundary([&]() -> Result<bool> {
      Result<TableStore*> table = check.engine->Table(segment);
      if (!table.ok()) {
        return table.status();
      }
      Result<std::string> version = table.value()->ReadVersion(entry.first);
      return version.ok() ? Result<bool>(!version.value().empty()) : version.status();
    });
    if (!there) {
      TellRow(check, "an entry for a row that is not there", entry.first);
    }
  }
}

void CheckOneIndex(Relation table, Relation index, const Problems& problems) {
  Engine& engine = Use();
  Announce(engine);
  FindComparisons(index);
  MemoryContext context =
      AllocSetContextCreate(CurrentMemoryContext, "fusion index check", ALLOCSET_DEFAULT_SIZES);
  IndexCheck check = {&engine, table, index, nullptr, &problems, 0};
  check.entries = NewIn<Entries>(context, engine, index);
  ReadEntries(check);
  for (const std::string& fault : check.entries->faults) {
    Tell(check, fault.c_str());
  }
  IndexInfo* info = BuildIndexInfo(index);
  table_index_build_scan(table, index, info, false, false, CheckRow, &check, nullptr);
  CheckEntries(check);
  MemoryContextDelete(context);
}

// Pages of the table itself, and the chains of its large values.
void CheckPages(Relation table, const Problems& problems) {
  Engine& engine = Use();
  Announce(engine);
  MemoryContext context =
      AllocSetContextCreate(CurrentMemoryContext, "fusion table check", ALLOCSET_DEFAULT_SIZES);
  uint64_t segment = SegmentOf(table);
  auto* check = NewIn<TableCheck>(context, engine.storage, segment);
  for (bool more = true; more;) {
    CHECK_FOR_INTERRUPTS();
    more =
        pg::Boundary([&] { return check->Step(engine.visibility, engine.transactions.Horizon()); });
  }
  for (const std::string& fault : check->faults()) {
    problems.tell(problems.argument, RelationGetRelationName(table), fault.c_str());
  }
  MemoryContextDelete(context);
}

List* FusionTables() {
  Oid method = get_table_am_oid("fusion", false);
  List* tables = NIL;
  Relation catalog = table_open(RelationRelationId, AccessShareLock);
  SysScanDesc scan = systable_beginscan(catalog, InvalidOid, false, nullptr, 0, nullptr);
  while (HeapTuple row = systable_getnext(scan)) {
    auto* form = reinterpret_cast<Form_pg_class>(GETSTRUCT(row));
    if (form->relam == method) {
      tables = lappend_oid(tables, form->oid);
    }
  }
  systable_endscan(scan);
  table_close(catalog, AccessShareLock);
  return tables;
}

}  // namespace

void CheckTables(const Problems& problems) {
  ListCell* cell;
  foreach (cell, FusionTables()) {
    Relation table = try_table_open(lfirst_oid(cell), ShareLock);
    if (table == nullptr) {
      continue;
    }
    CheckPages(table, problems);
    ListCell* other;
    foreach (other, RelationGetIndexList(table)) {
      Relation index = index_open(lfirst_oid(other), AccessShareLock);
      if (IsFusionIndex(index) && index->rd_index->indisready) {
        CheckOneIndex(table, index, problems);
      }
      index_close(index, AccessShareLock);
    }
    table_close(table, ShareLock);
  }
}

void CheckSegments(const Problems& problems, bool remove) {
  Engine& engine = Use();
  LockSegments(ExclusiveLock);
  for (uint64_t segment : AllSegments(engine)) {
    auto number = static_cast<Oid>(segment);
    if (segment >> 32 != MyDatabaseId ||
        OidIsValid(RelidByRelfilenode(MyDatabaseTableSpace, number))) {
      continue;
    }
    if (remove) {
      pg::Boundary([&] { return engine.storage.RemoveSegment(segment); });
    }
    problems.tell(problems.argument, nullptr,
                  psprintf(remove ? "segment %u belonged to no relation and was removed"
                                  : "segment %u belongs to no relation",
                           number));
  }
}

}  // namespace pgquorum::fusion::server
