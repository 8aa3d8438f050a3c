// The row that a state stands for: the same function at every site.
#pragma once

#include <vector>

#include "bgworkers/replication/core/conflict/policy.h"
#include "bgworkers/replication/core/conflict/row.h"

namespace pgquorum::replication {

struct Presented {
  bool live = false;
  Image image;              // plain columns, when live
  std::vector<Mark> marks;  // column-level: whose value each column shows
  Stamp stamp;              // of the version that was chosen: what unique keys are decided by
  // What the state holds beside the row: concurrent versions, deletions included, that a write
  // which sees the row will resolve. Pointers into the state.
  std::vector<const Version*> others;
  // The columns merged would break a CHECK; one version is shown as a whole instead.
  bool check_failed = false;
};

// `truncated`: the table's newest TRUNCATE, zero for none. What was written up to then is gone.
Presented Present(const RowState& state, const TablePolicy& policy, const Stamp& truncated);

}  // namespace pgquorum::replication

#include "base/pure.h"
