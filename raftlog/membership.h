// Changing configurations: pure functions with exact reasons for every refusal.
//
// A change of at most one voter takes effect in one step (thesis 4.1: majorities before and after
// overlap). Anything larger goes through a joint configuration (thesis 4.3), which the leader
// leaves by itself once it is committed. Configurations hold from the moment they are appended,
// committed or not, and are rolled back when the entry is truncated.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "raftlog/types.h"

namespace pgquorum::raft {

enum class ChangeKind : uint8_t {
  kAddVoter = 1,    // also promotes a learner, and turns a witness into a plain voter
  kAddLearner = 2,  // also demotes a voter
  kAddWitness = 3,  // a voter that holds no user data; also turns a member into one
  kRemove = 4,
};

struct ConfigChange {
  ChangeKind kind = ChangeKind::kAddVoter;
  NodeId node;

  bool operator==(const ConfigChange&) const = default;
};

// The configuration that `changes` make of `current`: a simple one when at most one voter changes,
// else a joint one with auto_leave. kErrBadChange when: `current` is joint; `changes` is empty,
// names node 0 or one node twice; a change would do nothing; no voter would remain; only witnesses
// would remain as voters; a set would exceed kMaxNodesPerSet.
Result<Configuration> ApplyChanges(const Configuration& current,
                                   const std::vector<ConfigChange>& changes);

// The simple configuration that follows a joint one. kErrBadChange when `joint` is not joint.
Result<Configuration> LeaveJoint(const Configuration& joint);

// kErrBadChange with the reason unless all the promises of Configuration's comments hold.
Status Validate(const Configuration& configuration);

// "voters=(1 2 3)&&(1 2 4) learners=(5) …" as in scenario files and logs.
std::string ToString(const Configuration& configuration);

}  // namespace pgquorum::raft

#include "base/pure.h"
