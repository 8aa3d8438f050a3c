#include "raftlog/quorum.h"

#include <gtest/gtest.h>

#include <set>

#include "base/random.h"

namespace pgquorum::raft {
namespace {

using Nodes = std::vector<NodeId>;

Nodes Set(std::initializer_list<uint64_t> ids) {
  Nodes nodes;
  for (uint64_t id : ids) {
    nodes.emplace_back(id);
  }
  return nodes;
}

// Tries every index from the top: as slow and as obvious as the definition.
Index NaiveCommitted(const Nodes& in, const Nodes& out, const std::map<NodeId, Index>& match) {
  auto majority = [&](const Nodes& voters, Index index) {
    std::size_t reached = 0;
    for (NodeId id : voters) {
      auto at = match.find(id);
      reached += at != match.end() && at->second >= index ? 1U : 0U;
    }
    return voters.empty() || 2 * reached > voters.size();
  };
  for (uint64_t index = 20; index > 0; --index) {
    if (majority(in, Index(index)) && majority(out, Index(index))) {
      return Index(index);
    }
  }
  return Index();
}

Nodes RandomSet(Random& random) {
  std::set<uint64_t> ids;
  uint64_t size = random.Below(12);
  while (ids.size() < size) {
    ids.insert(1 + random.Below(14));
  }
  Nodes nodes;
  for (uint64_t id : ids) {
    nodes.emplace_back(id);
  }
  return nodes;
}

TEST(Quorum, CommittedIndexEqualsTheNaiveOne) {
  Random random(1);
  for (int i = 0; i < 50'000; ++i) {
    Nodes in = RandomSet(random);
    Nodes out = RandomSet(random);
    if (in.empty() && out.empty()) {
      continue;
    }
    std::map<NodeId, Index> match;
    for (uint64_t id = 1; id <= 14; ++id) {
      if (random.Chance(4, 5)) {
        match[NodeId(id)] = Index(random.Below(20));
      }
    }
    auto of = [&match](NodeId id) {
      auto at = match.find(id);
      return at == match.end() ? Index() : at->second;
    };
    ASSERT_EQ(CommittedIndex(in, out, of), NaiveCommitted(in, out, match)) << "case " << i;
  }
}

TEST(Quorum, VoteResultAgreesWithCountingEveryCompletion) {
  // A result is pending exactly when the missing votes can still decide it either way.
  Random random(2);
  for (int i = 0; i < 20'000; ++i) {
    Nodes in = RandomSet(random);
    Nodes out = RandomSet(random);
    std::map<NodeId, bool> votes;
    for (uint64_t id = 1; id <= 14; ++id) {
      if (random.Chance(1, 2)) {
        votes[NodeId(id)] = random.Chance(1, 2);
      }
    }
    auto wins = [](const Nodes& voters, const std::map<NodeId, bool>& all, bool missing) {
      std::size_t yes = 0;
      for (NodeId id : voters) {
        auto at = all.find(id);
        yes += (at == all.end() ? missing : at->second) ? 1U : 0U;
      }
      return voters.empty() || 2 * yes > voters.size();
    };
    bool worst = wins(in, votes, false) && wins(out, votes, false);
    bool best = wins(in, votes, true) && wins(out, votes, true);
    Vote expected = worst ? Vote::kWon : best ? Vote::kPending : Vote::kLost;
    ASSERT_EQ(VoteResult(in, out, votes), expected) << "case " << i;
  }
}

struct CommitCase {
  Nodes in;
  Nodes out;
  std::map<NodeId, Index> match;
  uint64_t expected;
};

TEST(Quorum, CommittedIndexTable) {
  const CommitCase cases[] = {
      {Set({1}), {}, {{NodeId(1), Index(7)}}, 7},
      {Set({1}), {}, {}, 0},
      {Set({1, 2}), {}, {{NodeId(1), Index(7)}, {NodeId(2), Index(5)}}, 5},
      {Set({1, 2, 3}), {}, {{NodeId(1), Index(9)}, {NodeId(2), Index(5)}}, 5},
      {Set({1, 2, 3, 4}),
       {},
       {{NodeId(1), Index(9)}, {NodeId(2), Index(8)}, {NodeId(3), Index(1)}},
       1},
      // Joint: the smaller of both.
      {Set({1, 2, 3}),
       Set({3, 4, 5}),
       {{NodeId(1), Index(9)}, {NodeId(2), Index(9)}, {NodeId(3), Index(9)}, {NodeId(4), Index(4)}},
       4},
      {Set({1, 2, 3}), Set({4}), {{NodeId(1), Index(9)}, {NodeId(2), Index(9)}}, 0},
  };
  for (const CommitCase& c : cases) {
    Index index = CommittedIndex(c.in, c.out, [&c](NodeId id) {
      auto at = c.match.find(id);
      return at == c.match.end() ? Index() : at->second;
    });
    EXPECT_EQ(index, Index(c.expected));
  }
}

TEST(Quorum, QuorumValueIsTheMajoritysMinimum) {
  Configuration c;
  c.voters = Set({1, 2, 3});
  auto value = [](NodeId id) { return id.value() * 10; };
  EXPECT_EQ(QuorumValue(c, value), 20U);
  c.outgoing = Set({1});
  EXPECT_EQ(QuorumValue(c, value), 10U);
  EXPECT_TRUE(QuorumHolds(c, [](NodeId id) { return id <= NodeId(2); }));
  EXPECT_FALSE(QuorumHolds(c, [](NodeId id) { return id >= NodeId(2); }));
}

}  // namespace
}  // namespace pgquorum::raft
