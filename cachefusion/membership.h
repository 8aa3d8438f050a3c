// Who belongs to the fusion group: decided elsewhere (by consensus), the same for all.
#pragma once

#include <array>
#include <vector>

#include "cachefusion/types.h"

namespace pgquorum::fusion {

struct Membership {
  Epoch epoch;
  InstanceSet members;
  // By instance number - 1; of members only.
  std::array<Incarnation, kMaxInstances> incarnations{};
  // Redo threads of dead incarnations that are not retired yet. Their writers are proved to be
  // gone.
  std::vector<Incarnation> dead_threads;

  Incarnation IncarnationOf(InstanceId id) const {
    return members.Has(id) ? incarnations[id.value() - 1U] : Incarnation();
  }
  InstanceId coordinator() const { return members.First(); }
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
