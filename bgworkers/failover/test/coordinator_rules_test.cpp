// Who is in (V, n, S, g) and in Raft.
#include "bgworkers/failover/coordinator.h"

#include <gtest/gtest.h>

#include "bgworkers/failover/test/coordinator_fixture.h"

namespace pgquorum::failover {
namespace {

TEST(Coordinator, DeadVoterLeavesSThenV) {
  Bench b;
  b.Kill(kC);
  b.Step();
  EXPECT_EQ(b.Proposed<ChangeRule>(), nullptr);
  b.now += 5100 * kMs;
  b.Report(kA);
  b.Report(kB);
  b.Step();
  b.ApplyProposed<ChangeRule>();
  EXPECT_EQ(b.log.state.rule().sync, (std::vector<NodeId>{kB}));
  EXPECT_TRUE(b.log.state.rule().IsVoter(kC));
  NodeReport a = b.Normal(kA);
  a.list_confirmed = false;
  b.Report(a);
  b.Step();
  EXPECT_EQ(b.Proposed<ChangeRule>(), nullptr);
  b.Report(kA);
  b.Step();
  b.ApplyProposed<ChangeRule>();
  EXPECT_FALSE(b.log.state.rule().IsVoter(kC));
  // Back again: into V and S.
  b.Report(kA);
  b.Report(kC);
  b.Step();
  b.ApplyProposed<ChangeRule>();
  EXPECT_TRUE(b.log.state.rule().IsVoter(kC));
}

TEST(Coordinator, BelowTheFloorLostVotersStay) {
  Bench b;
  b.Kill(kB);
  b.Kill(kC);
  b.Step();
  b.now += 5100 * kMs;
  b.Report(kA);
  b.Step();
  const ChangeRule* change = b.Proposed<ChangeRule>();
  ASSERT_NE(change, nullptr);
  EXPECT_EQ(change->n, 1u);
  EXPECT_EQ(change->g, 1u);
}

TEST(Coordinator, RepairInPlaceWhenVCannotSpareTheVoter) {
  Bench b;
  auto both = [&b] {
    for (NodeId node : {kB, kC}) {
      NodeReport r = b.Normal(node);
      r.repair = Repair::kNeedsReclone;
      r.receiver_running = false;
      b.Report(r);
    }
    NodeReport a = b.Normal(kA);
    a.list_confirmed = false;
    b.Report(a);
  };
  both();
  b.Step();
  EXPECT_EQ(b.Proposed<AllowRepair>(), nullptr);
  b.now += 5100 * kMs;
  both();
  b.Step();
  b.ApplyProposed<AllowRepair>();
  NodeId first = b.log.state.rule().repair;
  both();
  b.Step();
  EXPECT_EQ(b.Proposed<AllowRepair>(), nullptr);  // one at a time
  b.Report(first);
  b.Step();
  b.ApplyProposed<AllowRepair>();
  EXPECT_FALSE(b.log.state.rule().repair);
}

TEST(NextRule, GrowsThenConfirmsThenRaises) {
  Rule rule;
  rule.primary = kA;
  rule.voters = {kA};
  std::optional<ChangeRule> first = NextRule(rule, {kB, kA}, 1, false);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->n, 0u);
  EXPECT_EQ(first->g, 1u);
  rule.voters = first->voters;
  rule.sync = first->sync;
  rule.g = first->g;
  EXPECT_FALSE(NextRule(rule, {kA, kB}, 1, false));
  std::optional<ChangeRule> second = NextRule(rule, {kA, kB}, 1, true);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->n, 1u);
  EXPECT_TRUE(second->confirmed);
  rule.n = 1;
  EXPECT_FALSE(NextRule(rule, {kA, kB}, 1, true));
}

TEST(Coordinator, MembersJoinAndLeaveRaftInOrder) {
  Bench b;
  b.log.Apply(b.log.Token('d'));
  NodeId fourth = b.log.Apply(AddMember{std::string(32, 'd'), 0, Info("node4", 5004), 20}).node;
  b.Step();
  ASSERT_EQ(b.out.raft_changes.size(), 1u);
  EXPECT_EQ(b.out.raft_changes[0], (RaftChange{RaftChange::Kind::kAddLearner, fourth}));
  b.raft.learners = {fourth};
  b.raft.last_index = 1000;
  b.raft.match[fourth] = 10;
  b.Report(fourth);
  b.Step();
  EXPECT_TRUE(b.out.raft_changes.empty());  // far behind
  b.raft.match[fourth] = 990;
  b.Step();
  ASSERT_EQ(b.out.raft_changes.size(), 1u);
  EXPECT_EQ(b.out.raft_changes[0].kind, RaftChange::Kind::kPromote);
  b.raft.change_pending = true;
  b.Step();
  EXPECT_TRUE(b.out.raft_changes.empty());
  b.raft.change_pending = false;
  b.raft.learners.clear();
  b.raft.voters.current.push_back(fourth);
  b.Step();
  b.ApplyProposed<SetMemberState>();
  b.log.Apply(SetMemberState{fourth, MemberState::kLeaving});
  b.Step();
  ASSERT_EQ(b.out.raft_changes.size(), 1u);
  EXPECT_EQ(b.out.raft_changes[0].kind, RaftChange::Kind::kRemove);
  b.raft.voters.current.pop_back();
  b.Step();
  b.ApplyProposed<ForgetMember>();
}

TEST(Coordinator, LeavingVoterStaysInRaftUntilItLeftV) {
  Bench b;
  b.log.Apply(SetMemberState{kC, MemberState::kLeaving});
  b.Step();
  EXPECT_TRUE(b.out.raft_changes.empty());
  b.ApplyProposed<ChangeRule>();
  b.Report(kA);
  b.Step();
  b.ApplyProposed<ChangeRule>();
  EXPECT_FALSE(b.log.state.IsVoterOfAnyRule(kC));
  b.Step();
  ASSERT_EQ(b.out.raft_changes.size(), 1u);
  EXPECT_EQ(b.out.raft_changes[0], (RaftChange{RaftChange::Kind::kRemove, kC}));
}

}  // namespace
}  // namespace pgquorum::failover
