// Distributed deadlock detection, at the lowest member.
//
// A round asks every member for the waits-for edges of the resources that it masters; the next
// round begins when all have answered. A cycle counts when each of its waits, by number, was
// blocked by the same owner in two rounds running. Between the last answer of the first round and
// the first answer of the second all those waits lasted, and an owner that waits can not take a
// lock, nor begin to give one up. It may have begun before: so the members also say whose holds and
// waits are ending, or have ended since their last answer, and such edges do not count. The cycle
// was real at that time. The victim is the youngest owner.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "cachefusion/message.h"
#include "cachefusion/types.h"

namespace pgquorum::fusion {

struct DeadlockVictim {
  LockOwner owner;
  WaitId wait;
};

class DeadlockDetector {
 public:
  // Forgets all samples.
  void Reset(InstanceSet members);
  // True: ask all members for round round().
  bool StartRound();
  uint64_t round() const { return round_; }
  // Victims are found with the last answer of a round.
  std::vector<DeadlockVictim> AddEdges(InstanceId from, uint64_t round,
                                       const std::vector<WaitEdge>& edges,
                                       const std::vector<LockReport>& ending);

 private:
  std::vector<DeadlockVictim> Victims(std::set<WaitEdge> edges) const;

  InstanceSet members_;
  InstanceSet missing_;
  uint64_t round_ = 0;
  std::set<std::pair<ResourceId, LockOwner>> ending_;  // in this round
  std::set<WaitEdge> current_;
  std::set<WaitEdge> previous_;
};

// Some cycle of the graph, as the waits in it; empty: there is none.
std::vector<WaitEdge> FindCycle(const std::set<WaitEdge>& edges);

}  // namespace pgquorum::fusion

#include "base/pure.h"
