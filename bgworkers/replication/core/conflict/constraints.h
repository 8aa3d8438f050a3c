// Constraints between rows: unique keys beside the one that addresses the row, and foreign keys.
//
// Like everything here they are functions of what is known, so that sites which know the same show
// the same: nobody re-emits a repair, and a row that lost comes back when the reason has gone.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bgworkers/replication/core/clock/hlc.h"
#include "bgworkers/replication/core/conflict/policy.h"

namespace pgquorum::replication {

// A live row and the values it claims, one per unique constraint; null claims nothing.
struct UniqueClaims {
  std::string key;
  Stamp stamp;
  std::vector<std::optional<std::string>> values;
};

struct UniqueLoss {
  std::size_t loser = 0;  // index into the rows
  std::size_t constraint = 0;
  std::size_t winner = 0;
  std::optional<std::string> new_value;  // for kRename
};

// Who loses what. Rows are taken newest first (ties: lower key); a row that finds a value taken
// loses. `rows` must be closed: with a row also everyone, displaced ones included, that claims one
// of its values. A displaced row claims nothing.
std::vector<UniqueLoss> DecideUnique(std::span<const UniqueClaims> rows, UniqueRule rule);

enum class OrphanAction : uint8_t {
  kNone,
  kSetNull,
  kHide,        // the child leaves the table, is kept, and returns with its parent
  kShowParent,  // show the parent as it was when it was deleted
};

// For a live row whose reference names `parent`; `parent_live`: it is in the table.
// A parent that nothing is known of cannot be revived: the reference becomes null.
OrphanAction DecideOrphan(bool parent_live, const RowState* parent, OrphanRule rule);

// The image to revive.
const Image* LastImage(const RowState& state);

}  // namespace pgquorum::replication

#include "base/pure.h"
