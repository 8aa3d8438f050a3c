// Vacuum of indexes: entries of dead rows go before the rows do.
#include "extension/fusion/index_am.h"

#include "extension/fusion/table_am.h"

extern "C" {
#include "access/genam.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "utils/memutils.h"
}

#include "extension/fusion/owned.h"
#include "extension/pg/boundary.h"
#include "extension/pg/guard.h"

namespace pgquorum::fusion::server {
namespace {

// Asks the caller's function for each row of a leaf. Nothing is latched meanwhile.
struct Asking {
  IndexBulkDeleteCallback callback;
  void* state;

  Status Ask(std::span<const RowAddress> rows, std::vector<bool>& dead) const {
    return pg::Try([&] {
      vacuum_delay_point();
      for (std::size_t i = 0; i < rows.size(); ++i) {
        ItemPointerData tid;
        SetTid(&tid, rows[i]);
        dead[i] = callback(&tid, state);
      }
    });
  }
};

IndexBulkDeleteResult* BulkDelete(IndexVacuumInfo* info, IndexBulkDeleteResult* stats,
                                  IndexBulkDeleteCallback callback, void* state) {
  Engine& engine = Use();
  if (stats == nullptr) {
    stats = static_cast<IndexBulkDeleteResult*>(palloc0(sizeof(IndexBulkDeleteResult)));
  }
  MemoryContext context =
      AllocSetContextCreate(CurrentMemoryContext, "fusion index vacuum", ALLOCSET_SMALL_SIZES);
  FindComparisons(info->index);
  auto* opened = NewIn<OpenIndex>(context, engine, info->index);
  Asking asking{callback, state};
  IndexVacuum counts;
  IndexShape shape;
  pg::Boundary([&]() -> Status {
    Result<IndexVacuum> done =
        opened->tree.RemoveRows([&](std::span<const RowAddress> rows, std::vector<bool>& dead) {
          return asking.Ask(rows, dead);
        });
    if (!done.ok()) {
      return done.status();
    }
    counts = done.value();
    Result<IndexShape> found = opened->tree.Shape();
    shape = found.ok() ? found.value() : IndexShape{};
    return found.status();
  });
  MemoryContextDelete(context);
  stats->num_pages = shape.blocks;
  stats->estimated_count = false;
  stats->num_index_tuples = static_cast<double>(counts.remaining);
  stats->tuples_removed += static_cast<double>(counts.removed);
  stats->pages_newly_deleted += counts.deleted_pages;
  stats->pages_deleted += counts.deleted_pages;
  return stats;
}

IndexBulkDeleteResult* Cleanup(IndexVacuumInfo*, IndexBulkDeleteResult* stats) {
  return stats;  // what there is to do, BulkDelete has done
}

}  // namespace

void FillIndexUpkeep(IndexAmRoutine& routine) {
  routine.ambulkdelete = BulkDelete;
  routine.amvacuumcleanup = Cleanup;
}

}  // namespace pgquorum::fusion::server
