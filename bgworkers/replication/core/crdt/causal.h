// Internal: what the set that observes removals and the multi-value register share. Both keep items
// under dots, and a vector of the dots that have been seen: an item that only one side has is kept
// if and only if the other side has not seen its dot.
#pragma once

#include <algorithm>
#include <cstdint>

#include "bgworkers/replication/core/bug.h"
#include "bgworkers/replication/core/crdt/format.h"
#include "bgworkers/replication/core/errors.h"

namespace pgquorum::crdt {

// What one value has seen: its vector, and everything of the origins that it has folded.
class Seen {
 public:
  Seen(const replication::VersionVector& vector, uint64_t generation, const FoldTable& folds)
      : vector_(vector), generation_(generation), folds_(folds) {}

  bool Covers(const Dot& dot) const {
    return vector_.Covers(dot) || folds_.Folded(dot.origin, generation_);
  }

 private:
  const replication::VersionVector& vector_;
  uint64_t generation_;
  const FoldTable& folds_;
};

inline void EraseFolded(replication::VersionVector& vector, const FoldTable& folds,
                        uint64_t generation) {
  for (uint64_t g = 0; g < generation; ++g) {
    vector.Erase(folds.folded()[g]);
  }
}

inline Status CheckGenerations(uint64_t a, uint64_t b, const FoldTable& folds) {
  if (std::max(a, b) > folds.generation()) {
    return Status::Error(replication::kErrUnknownFolding,
                         "replicated value was folded by a later change of the membership");
  }
  return Status::Ok();
}

inline Status TakeDot(replication::VersionVector& seen, const Dot& dot) {
  PGQUORUM_CHECK(static_cast<bool>(dot.origin) && dot.sequence > 0);
  if (seen.Covers(dot) && !PGQUORUM_REPLICATION_BUG(kDotReuseAccepted)) {
    return Status::Error(replication::kErrDotReused,
                         "operation " + dot.ToString() + " was given out twice")
        .WithHint("A site that was restored needs a new incarnation.");
  }
  seen.Raise(dot);
  return Status::Ok();
}

// A live dot has been seen, unless its origin was folded since.
inline bool Consistent(const replication::VersionVector& seen, uint64_t generation,
                       const Dot& dot) {
  return seen.Covers(dot) || (generation > 0 && seen.Of(dot.origin) == 0);
}

}  // namespace pgquorum::crdt

#include "base/pure.h"
