#include "raftlog/quorum.h"

#include <algorithm>
#include <array>
#include <span>

#include "raftlog/bug.h"

#include "base/pure.h"

namespace pgquorum::raft {
namespace {

// The value that a majority of `voters` has reached: the ones in the middle of the sorted values.
uint64_t MajorityValue(const std::vector<NodeId>& voters,
                       const std::function<uint64_t(NodeId)>& value) {
  if (voters.empty()) {
    return UINT64_MAX;
  }
  std::array<uint64_t, 9> small;  // this runs for every acknowledgement: no allocation normally
  std::vector<uint64_t> large;
  std::span<uint64_t> values(small.data(), std::min(voters.size(), small.size()));
  if (voters.size() > small.size()) {
    large.resize(voters.size());
    values = large;
  }
  for (std::size_t i = 0; i < voters.size(); ++i) {
    values[i] = value(voters[i]);
  }
  std::sort(values.begin(), values.end());
  return values[(values.size() - 1) / 2];
}

Vote MajorityVote(const std::vector<NodeId>& voters, const std::map<NodeId, bool>& votes) {
  if (voters.empty()) {
    return Vote::kWon;
  }
  std::size_t granted = 0;
  std::size_t open = 0;
  for (NodeId voter : voters) {
    auto vote = votes.find(voter);
    if (vote == votes.end()) {
      ++open;
    } else if (vote->second) {
      ++granted;
    }
  }
  std::size_t majority = voters.size() / 2 + (PGQUORUM_RAFT_BUG(kElectedByHalf) ? 0 : 1);
  if (granted >= majority) {
    return Vote::kWon;
  }
  return granted + open >= majority ? Vote::kPending : Vote::kLost;
}

}  // namespace

Index CommittedIndex(const std::vector<NodeId>& incoming, const std::vector<NodeId>& outgoing,
                     const std::function<Index(NodeId)>& match) {
  auto value = [&match](NodeId id) { return match(id).value(); };
  uint64_t in = MajorityValue(incoming, value);
  uint64_t out = MajorityValue(outgoing, value);
  return Index(PGQUORUM_RAFT_BUG(kJointCountsIncomingOnly) ? in : std::min(in, out));
}

Vote VoteResult(const std::vector<NodeId>& incoming, const std::vector<NodeId>& outgoing,
                const std::map<NodeId, bool>& votes) {
  Vote in = MajorityVote(incoming, votes);
  Vote out = PGQUORUM_RAFT_BUG(kJointCountsIncomingOnly) ? in : MajorityVote(outgoing, votes);
  if (in == Vote::kLost || out == Vote::kLost) {
    return Vote::kLost;
  }
  return in == Vote::kWon && out == Vote::kWon ? Vote::kWon : Vote::kPending;
}

bool QuorumHolds(const Configuration& configuration, const std::function<bool(NodeId)>& member) {
  return QuorumValue(configuration, [&member](NodeId id) { return member(id) ? 1U : 0U; }) > 0;
}

uint64_t QuorumValue(const Configuration& configuration,
                     const std::function<uint64_t(NodeId)>& value) {
  return std::min(MajorityValue(configuration.voters, value),
                  MajorityValue(configuration.outgoing, value));
}

}  // namespace pgquorum::raft
