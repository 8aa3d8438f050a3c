#include "raftlog/membership.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "raftlog/errors.h"
#include "raftlog/quorum.h"
#include "raftlog/test/testkit.h"

namespace pgquorum::raft {
namespace {

using test::Voters;

ConfigChange Change(ChangeKind kind, uint64_t node) {
  return {kind, NodeId(node)};
}
constexpr auto kVoter = ChangeKind::kAddVoter;
constexpr auto kLearner = ChangeKind::kAddLearner;
constexpr auto kWitness = ChangeKind::kAddWitness;
constexpr auto kRemove = ChangeKind::kRemove;

std::string Applied(const Configuration& current, const std::vector<ConfigChange>& changes) {
  Result<Configuration> next = ApplyChanges(current, changes);
  return next.ok() ? ToString(next.value()) : next.status().detail();
}

TEST(Membership, Table) {
  Configuration three = Voters({1, 2, 3});
  Configuration mixed = Voters({1, 2, 3});
  mixed.learners = {NodeId(4)};
  mixed.witnesses = {NodeId(3)};
  struct Case {
    Configuration current;
    std::vector<ConfigChange> changes;
    const char* expected;
  };
  const Case cases[] = {
      {three, {Change(kVoter, 4)}, "voters=(1 2 3 4)"},
      {three, {Change(kRemove, 1)}, "voters=(2 3)"},
      {three, {Change(kLearner, 4), Change(kLearner, 5)}, "voters=(1 2 3) learners=(4 5)"},
      {three, {Change(kLearner, 3)}, "voters=(1 2) learners=(3)"},
      {mixed, {Change(kVoter, 4)}, "voters=(1 2 3 4) witnesses=(3)"},
      {mixed, {Change(kVoter, 3)}, "voters=(1 2 3) learners=(4)"},
      {mixed, {Change(kWitness, 4)}, "voters=(1 2 3 4) witnesses=(3 4)"},
      {three, {Change(kVoter, 4), Change(kRemove, 1)}, "voters=(2 3 4)&&(1 2 3) auto_leave"},
      {three,
       {Change(kVoter, 4), Change(kLearner, 1)},
       "voters=(2 3 4)&&(1 2 3) learners_next=(1) auto_leave"},
      {mixed,
       {Change(kVoter, 5), Change(kRemove, 3)},
       "voters=(1 2 5)&&(1 2 3) learners=(4) witnesses=(3) auto_leave"},
      // Refusals, each with its reason.
      {three, {}, "no change is named"},
      {three, {Change(kVoter, 0)}, "node 0 does not exist"},
      {three, {Change(kVoter, 4), Change(kRemove, 4)}, "node 4 is named twice"},
      {three, {Change(kVoter, 3)}, "node 3 is already a voter"},
      {mixed, {Change(kLearner, 4)}, "node 4 is already a learner"},
      {mixed, {Change(kWitness, 3)}, "node 3 is already a witness"},
      {three, {Change(kRemove, 9)}, "node 9 is not a member"},
      {Voters({1}), {Change(kRemove, 1)}, "no voter would remain"},
      {Voters({1}), {Change(kWitness, 1)}, "only witnesses would remain as voters"},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(Applied(c.current, c.changes), c.expected);
  }
  Configuration joint = ApplyChanges(three, {Change(kVoter, 4), Change(kRemove, 1)}).value();
  EXPECT_EQ(Applied(joint, {Change(kVoter, 5)}), "the present configuration is joint");
  EXPECT_EQ(LeaveJoint(three).status().detail(), "the present configuration is not joint");
}

TEST(Membership, LeavingJoint) {
  Configuration three = Voters({1, 2, 3});
  three.witnesses = {NodeId(2)};
  Configuration joint =
      ApplyChanges(three, {Change(kVoter, 4), Change(kLearner, 1), Change(kRemove, 2)}).value();
  EXPECT_EQ(ToString(joint), "voters=(3 4)&&(1 2 3) learners_next=(1) witnesses=(2) auto_leave");
  EXPECT_EQ(ToString(LeaveJoint(joint).value()), "voters=(3 4) learners=(1)");
}

TEST(Membership, ValidateNamesTheBrokenPromise) {
  Configuration c = Voters({1, 2});
  EXPECT_TRUE(Validate(c).ok());
  c.learners = {NodeId(2)};
  EXPECT_EQ(Validate(c).detail(), "node 2 is a learner and a voter");
  c.learners = {NodeId(5), NodeId(4)};
  EXPECT_EQ(Validate(c).detail(), "learners are not sorted and distinct");
  c.learners.clear();
  c.witnesses = {NodeId(7)};
  EXPECT_EQ(Validate(c).detail(), "node 7 is a witness but not a voter");
  c.witnesses.clear();
  c.auto_leave = true;
  EXPECT_EQ(Validate(c).detail(), "only a joint configuration is left");
}

// Every way of getting from one configuration to another ends where single steps would, every
// configuration on the way is valid, and neighbouring ones cannot decide apart from each other.
TEST(Membership, RandomPathsStaySafe) {
  Random random(3);
  auto overlap = [](const Configuration& a, const Configuration& b) {
    // No set of nodes wins in one while its complement wins in the other.
    for (uint32_t mask = 0; mask < (1U << 6); ++mask) {
      std::map<NodeId, bool> votes;
      std::map<NodeId, bool> rest;
      for (uint64_t id = 1; id <= 6; ++id) {
        votes[NodeId(id)] = (mask >> (id - 1)) & 1U;
        rest[NodeId(id)] = !votes[NodeId(id)];
      }
      if (VoteResult(a.voters, a.outgoing, votes) == Vote::kWon &&
          VoteResult(b.voters, b.outgoing, rest) == Vote::kWon) {
        return false;
      }
    }
    return true;
  };
  int applied = 0;
  for (int i = 0; i < 1000; ++i) {
    Configuration current = Voters({1, 2, 3});
    for (int step = 0; step < 5; ++step) {
      std::vector<ConfigChange> changes;
      for (uint64_t n = random.Between(1, 3); n > 0; --n) {
        changes.push_back(
            Change(static_cast<ChangeKind>(random.Between(1, 4)), random.Between(1, 6)));
      }
      Result<Configuration> next = ApplyChanges(current, changes);
      if (!next.ok()) {
        EXPECT_EQ(next.status().sqlstate(), kErrBadChange);
        continue;
      }
      ++applied;
      ASSERT_TRUE(Validate(next.value()).ok()) << ToString(next.value());
      ASSERT_TRUE(overlap(current, next.value()))
          << ToString(current) << " -> " << ToString(next.value());
      Configuration chain = current;
      for (const ConfigChange& change : changes) {
        // Not every order of single steps is allowed; compare when it is.
        Result<Configuration> one = ApplyChanges(chain, {change});
        if (!one.ok()) {
          chain.voters.clear();
          break;
        }
        chain = one.value();
      }
      Configuration end = next.value();
      if (end.joint()) {
        Configuration left = LeaveJoint(end).value();
        ASSERT_TRUE(Validate(left).ok());
        ASSERT_TRUE(overlap(end, left));
        end = left;
      }
      if (!chain.voters.empty()) {
        ASSERT_EQ(ToString(end), ToString(chain));
      }
      current = end;
    }
  }
  EXPECT_GT(applied, 1000);
}

}  // namespace
}  // namespace pgquorum::raft
