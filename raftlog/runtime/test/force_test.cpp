// A majority that is lost for good.
#include "raftlog/runtime/test/cluster.h"

namespace pgquorum::raft {
namespace {

ForcedMembership Survivors(std::vector<NodeId> ids) {
  ForcedMembership forced;
  forced.configuration.voters = std::move(ids);
  forced.context = "a decision";
  return forced;
}

// Everybody but the survivors was shut out.
void Force(Cluster& cluster, NodeId node, const ForcedMembership& forced) {
  HostOptions options = cluster.OptionsFor(node);
  options.force = forced;
  options.admit = [forced](NodeId from) { return forced.configuration.IsVoter(from); };
  cluster.Start(std::move(options));
}

TEST(HostForce, TheSurvivorGoesOnAloneAndRemembers) {
  Cluster cluster(3);
  cluster.StartAll();
  cluster.ProposeUntilCommitted(cluster.WaitForLeader(), "before");
  ASSERT_TRUE(cluster.machine(NodeId(1)).WaitForCount(1));
  for (uint64_t id : {1, 2, 3}) {
    cluster.Stop(NodeId(id));
  }
  cluster.Start(NodeId(1));
  EXPECT_FALSE(cluster.Propose(NodeId(1), "no majority").status.ok());
  cluster.Stop(NodeId(1));

  Force(cluster, NodeId(1), Survivors({NodeId(1)}));
  EXPECT_EQ(cluster.WaitForLeader(), NodeId(1));
  cluster.ProposeUntilCommitted(NodeId(1), "after");
  Term term = cluster.host(NodeId(1)).GetStatus().term;
  cluster.Stop(NodeId(1));
  // The order is given again, as after a crash before it was forgotten; then it is not.
  Force(cluster, NodeId(1), Survivors({NodeId(1)}));
  ASSERT_TRUE(cluster.machine(NodeId(1)).WaitForCount(2));
  EXPECT_LT(cluster.host(NodeId(1)).GetStatus().term.value(), term.value() + 1000)
      << "forced twice";
  cluster.Stop(NodeId(1));
  cluster.Start(NodeId(1));
  EXPECT_EQ(cluster.WaitForLeader(), NodeId(1));
  ASSERT_TRUE(cluster.machine(NodeId(1)).WaitForCount(2));
  EXPECT_EQ(cluster.machine(NodeId(1)).commands(), (std::vector<std::string>{"before", "after"}));
}

TEST(HostForce, OtherSurvivorsTakeItsLog) {
  Cluster cluster(5);
  cluster.StartAll();
  cluster.ProposeUntilCommitted(cluster.WaitForLeader(), "before");
  // Any three of the five may have committed it: once they are gone, a survivor without it stays
  // so.
  ASSERT_TRUE(cluster.machine(NodeId(1)).WaitForCount(1));
  ASSERT_TRUE(cluster.machine(NodeId(2)).WaitForCount(1));
  for (uint64_t id : {3, 4, 5}) {
    cluster.Stop(NodeId(id));
  }
  cluster.Stop(NodeId(1));
  Force(cluster, NodeId(1), Survivors({NodeId(1), NodeId(2)}));  // node 2 runs on, unasked
  // The other may have led the five, and not know yet that it does not.
  ASSERT_TRUE(
      cluster.WaitFor(NodeId(1), [](const HostStatus& s) { return s.role == Role::kLeader; }));
  cluster.ProposeUntilCommitted(NodeId(1), "after");
  ASSERT_TRUE(cluster.machine(NodeId(2)).WaitForCount(2));
  EXPECT_TRUE(cluster.WaitFor(NodeId(2), [](const HostStatus& s) {
    return s.configuration.voters == std::vector<NodeId>{NodeId(1), NodeId(2)};
  }));
}

TEST(HostForce, TheLostMajorityReturnsAndIsNotHeard) {
  Cluster cluster(3);
  cluster.StartAll();
  cluster.ProposeUntilCommitted(cluster.WaitForLeader(), "before");
  ASSERT_TRUE(cluster.machine(NodeId(1)).WaitForCount(1));
  for (uint64_t id : {1, 2, 3}) {
    cluster.Stop(NodeId(id));
  }
  Force(cluster, NodeId(1), Survivors({NodeId(1)}));
  EXPECT_EQ(cluster.WaitForLeader(), NodeId(1));
  Term term = cluster.host(NodeId(1)).GetStatus().term;
  cluster.Start(NodeId(2));
  cluster.Start(NodeId(3));
  // They find each other: what keeps them from serving is above Raft. Here they change nothing.
  cluster.WaitForLeader(NodeId(1));
  cluster.ProposeUntilCommitted(NodeId(1), "after");
  EXPECT_EQ(cluster.host(NodeId(1)).GetStatus().term, term);
  EXPECT_EQ(cluster.machine(NodeId(1)).commands(), (std::vector<std::string>{"before", "after"}));
}

TEST(HostForce, WhatCannotBeForcedStartsNothing) {
  Cluster cluster(1);
  LoopbackNetwork network;
  ListMachine machine;
  HostOptions options = cluster.OptionsFor(NodeId(1));
  options.force = Survivors({NodeId(2)});
  {
    Cluster founded(1);
    founded.StartAll();
    founded.WaitForLeader();
    founded.Stop(NodeId(1));
    options.directory = founded.DirectoryOf(NodeId(1));
    Host host(options, network.TransportOf(NodeId(1)), machine, {});
    EXPECT_EQ(host.Start().sqlstate(), kErrBadChange);
  }
}

}  // namespace
}  // namespace pgquorum::raft
