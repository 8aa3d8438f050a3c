// What to do with a change that arrives, and what a write at this site has to carry along.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "bgworkers/replication/core/conflict/policy.h"
#include "bgworkers/replication/core/conflict/present.h"
#include "bgworkers/replication/core/conflict/row.h"

namespace pgquorum::replication {

enum class Operation : uint8_t { kInsert, kUpdate, kDelete };

// One row's change in a transaction, as it goes over the wire.
struct Change {
  Operation operation = Operation::kInsert;
  std::string key;
  Version version;
  Merging merging;  // without values for a deletion
  // The newest write of the row that the writer knew, when it knew: lets conflicts be told from
  // ordinary changes. Without it only changes that certainly conflict are reported.
  std::optional<Stamp> base;
};

// What both sides of a decision know of the table and the cluster.
struct Surroundings {
  const TablePolicy& policy;
  Stamp truncated;
  const crdt::FoldTable& folds;
  StableLine stable;
};

// The part of a state that a change is.
RowState StateOf(const Change& change, const RowShape& shape);

// A write at this site: `image` and `merging` are the row as the statement left it (ignored for a
// deletion). Decide applies it here like anybody else's.
Change Write(Operation operation, std::string key, const RowState& local, Image image,
             std::vector<std::string> merging, const Dot& dot, const Stamp& stamp,
             const Surroundings& around);

// A key update where the table allows it: the deletion of the old key and the insert of the new
// one. kErrInvalidValue where it does not.
Result<std::pair<Change, Change>> WriteKeyUpdate(std::string old_key, const RowState& old_row,
                                                 std::string new_key, const RowState& new_row,
                                                 Image image, std::vector<std::string> merging,
                                                 const Dot& dot, const Stamp& stamp,
                                                 const Surroundings& around);

enum class Outcome : uint8_t {
  kApplied,     // the row is as the change says
  kSkipped,     // the row stays; the state may have learned something
  kMerged,      // the row is made of both
  kKeptBoth,    // the row is one version, others are kept beside it
  kDeadLetter,  // nothing was done: keep the change with both images
  kNeedsImage,  // nothing was done: ask the origin for the full row, then decide again
};

enum class TableAction : uint8_t { kNone, kInsert, kUpdate, kDelete };

struct Decision {
  Outcome outcome = Outcome::kSkipped;
  ConflictKind conflict = ConflictKind::kNone;
  RowState after;
  Presented row;  // of `after`
  TableAction action = TableAction::kNone;
};

// Pure: the same inputs give the same decision, and any order of the same changes ends in the same
// state. Errors are those of crdt::Merge.
Result<Decision> Decide(const RowState& local, const Change& change, const Surroundings& around);

}  // namespace pgquorum::replication

#include "base/pure.h"
