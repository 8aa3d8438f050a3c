// A membership whose majority is lost for good, replaced by a person's decision. Pure.
//
// The one thing that Raft itself can never do: the survivors are fewer than a majority, so nothing
// they decide is safe against what the lost ones may know. Entries that only those had are given
// up. What it costs, and what a person must make sure of before: docs/failover.md, Emergency verbs.
#pragma once

#include <string>

#include "base/status.h"
#include "raftlog/recovered_state.h"
#include "raftlog/types.h"

namespace pgquorum::raft {

struct ForcedMembership {
  // Not joint; members of the configuration that the log ends with. Witnesses of that one stay
  // witnesses.
  Configuration configuration;
  // Unique to this decision, and not empty: an entry that carries it says that it is carried out.
  // Goes to StateMachine::ApplyConfiguration.
  std::string context;
};

// What is to be written behind the log before the node runs: one configuration entry in a term far
// above every term that the lost nodes can reach by themselves, in which the node has voted for
// itself. The one who writes it campaigns and, elected by the survivors, makes its log theirs.
//
// Of several survivors, write it on the one whose log is the most up-to-date, and on that one
// alone.
// Errors: RX002 when the node is not among the voters, a survivor is no member, the configuration
// is unchanged, or the log is damaged and waits to be refilled (what is missing may be what
// matters).
Result<Bootstrap> ForceMembership(const RecoveredState& recovered, NodeId self,
                                  const ForcedMembership& forced);

// The log ends with this decision already: a crash came between writing it and forgetting the
// order.
bool CarriedOut(const RecoveredState& recovered, const ForcedMembership& forced);

}  // namespace pgquorum::raft

#include "base/pure.h"
