// What a majority decides, as pure functions over simple and joint configurations. An empty set of
// voters decides everything positively, which makes a simple configuration a joint one whose
// outgoing half is empty.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "raftlog/types.h"

namespace pgquorum::raft {

enum class Vote : uint8_t { kPending = 0, kLost = 1, kWon = 2 };

// The highest index that a majority of `incoming` and a majority of `outgoing` have reached; a
// voter without a match counts as 0. Both empty: the highest possible index.
Index CommittedIndex(const std::vector<NodeId>& incoming, const std::vector<NodeId>& outgoing,
                     const std::function<Index(NodeId)>& match);

// kWon: both majorities granted. kLost: one of them can no longer be reached.
Vote VoteResult(const std::vector<NodeId>& incoming, const std::vector<NodeId>& outgoing,
                const std::map<NodeId, bool>& votes);

// True when `member` holds for a majority of both.
bool QuorumHolds(const Configuration& configuration, const std::function<bool(NodeId)>& member);

// The highest value that a majority of both has reached (a generalized CommittedIndex, for rounds
// and times).
uint64_t QuorumValue(const Configuration& configuration,
                     const std::function<uint64_t(NodeId)>& value);

}  // namespace pgquorum::raft

#include "base/pure.h"
