// What a Raft instance replicates.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "raftlog/types.h"

namespace pgquorum::raft {

// Deterministic, and only in turns (during Start() on the caller's thread). Each entry is
// given exactly once in a process life, in log order, starting behind the restored snapshot.
class StateMachine {
 public:
  virtual ~StateMachine() = default;
  // A committed command; the result goes to whoever proposed it here.
  virtual std::string Apply(const Entry& entry) = 0;
  // A committed configuration with the bytes its proposer added.
  virtual void ApplyConfiguration(Index index, const Configuration& configuration,
                                  std::string_view context) {
    (void)index, (void)configuration, (void)context;
  }
  // Everything applied so far, for Restore on any node.
  virtual std::string Snapshot() = 0;
  // Replaces all state. An error is fatal to the host.
  virtual Status Restore(const SnapshotMeta& meta, std::string_view bytes) = 0;
};

}  // namespace pgquorum::raft

#include "base/pure.h"
