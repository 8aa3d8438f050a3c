// Elections beyond the paper: evidence, stalls, stuck disks, priorities, witnesses, partitions.
#include "raftlog/core.h"

#include <gtest/gtest.h>

#include "raftlog/codec.h"
#include "raftlog/describe.h"
#include "raftlog/errors.h"
#include "raftlog/test/testkit.h"

namespace pgquorum::raft::test {
namespace {

// The whole point of evidence: far below an election timeout.
TEST(Election, DeadLeaderIsReplacedWithinTicks) {
  uint64_t worst = 0;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    for (uint64_t size : {3U, 5U}) {
      Cluster cluster(size, 0, [seed](Options& options) {
        options.seed = seed;
        options.election_ticks = 15;
        options.heartbeat_ticks = 3;
      });
      cluster.Elect(1);
      cluster.Crash(1);
      cluster.wire().clear();
      for (uint64_t id = 2; id <= size; ++id) {
        cluster[id].ReportPeerDead(NodeId(1));
        cluster.Pump(id);
      }
      uint64_t ticks = 0;
      auto elected = [&] {
        for (uint64_t id = 2; id <= size; ++id) {
          if (cluster[id].role() == Role::kLeader) {
            return true;
          }
        }
        return false;
      };
      cluster.Deliver();
      while (!elected() && ticks < 100) {
        for (uint64_t id = 2; id <= size; ++id) {
          cluster.Tick(id);
        }
        cluster.Deliver();
        ++ticks;
      }
      worst = std::max(worst, ticks);
    }
  }
  EXPECT_LE(worst, 6U);  // 60 ms with ticks of 10
}

TEST(Election, EvidenceOfOneVoterAloneWaitsForTheOthers) {
  Cluster cluster(3);
  cluster.Elect(1);
  cluster[2].ReportPeerDead(NodeId(1));
  cluster.Pump(2);
  for (int i = 0; i < 6; ++i) {
    cluster.Tick(2);
    cluster.Tick(1);
    cluster.Deliver();
  }
  EXPECT_EQ(cluster[1].role(), Role::kLeader);  // node 3 still hears it
  EXPECT_EQ(cluster[2].term(), Term(2));
  cluster.Crash(1);
  cluster[3].ReportPeerDead(NodeId(1));
  cluster.Pump(3);
  for (int i = 0; i < 8; ++i) {
    cluster.Tick(2);
    cluster.Tick(3);
    cluster.Deliver();
  }
  EXPECT_TRUE(cluster[2].role() == Role::kLeader || cluster[3].role() == Role::kLeader);
}

TEST(Election, LastWordsOfADeadLeaderRenewNothing) {
  Cluster cluster(3);
  cluster.Elect(1);
  cluster.Tick(1, 2);
  std::deque<Message> last_words = cluster.wire();
  cluster.wire().clear();
  cluster.Crash(1);
  cluster[2].ReportPeerDead(NodeId(1));
  for (const Message& m : last_words) {
    if (m.to == NodeId(2)) {
      cluster[2].Step(m);
    }
  }
  EXPECT_EQ(cluster[2].leader(), NodeId());
}

TEST(Election, StalledNodeDoesNotCampaign) {
  Cluster cluster(3);
  cluster.Elect(1);
  uint64_t before = cluster[2].metrics().stalls_noted;
  for (int i = 0; i < 40; ++i) {
    cluster.Tick(2, 9);
    cluster[2].NoteStall(9);
  }
  EXPECT_EQ(cluster[2].metrics().pre_votes_started, 0U);
  EXPECT_EQ(cluster[2].metrics().stalls_noted, before + 40);
}

TEST(Election, LeaderWithAStuckDiskStepsDown) {
  Cluster cluster(3, 0, [](Options& options) { options.disk_stall_ticks = 20; });
  cluster.Elect(1);
  cluster.Node(1).hold_disk = true;
  ASSERT_TRUE(cluster[1].Propose(EntryType::kCommand, "x").ok());
  cluster.Pump(1);
  cluster.TickAll(60);
  EXPECT_EQ(cluster[1].metrics().stepped_down_disk, 1U);
  EXPECT_NE(cluster[1].role(), Role::kLeader);
  EXPECT_TRUE(cluster[2].role() == Role::kLeader || cluster[3].role() == Role::kLeader);
}

TEST(Election, PreferredNodeTakesOver) {
  Cluster cluster(3, 0, [](Options& options) {
    options.priority_transfer = true;
    options.priority = options.id == NodeId(3) ? 9 : 8;
  });
  cluster.Elect(1);
  cluster.TickAll(60);
  EXPECT_EQ(cluster[3].role(), Role::kLeader);
}

TEST(Election, LessPreferredNodeCampaignsLater) {
  Cluster cluster(3, 0,
                  [](Options& options) { options.priority = options.id.value() == 2 ? 0 : 8; });
  for (int i = 0; i < 25; ++i) {
    cluster.Tick(2);
  }
  EXPECT_EQ(cluster[2].metrics().pre_votes_started, 0U);  // 10 to 19 ticks, and 16 more
  cluster.Tick(2, 15);
  EXPECT_EQ(cluster[2].metrics().pre_votes_started, 1U);
}

TEST(Election, WitnessLeadsOnlyUntilADataNodeCan) {
  Configuration configuration = Voters({1, 2, 3});
  configuration.witnesses = {NodeId(3)};
  Cluster cluster(configuration, 3, [](Options& options) { options.priority_transfer = true; });
  cluster.Elect(1);
  // Node 2 misses an entry that the witness has; then the leader dies.
  cluster.Isolate(2);
  cluster.Commit(1, "only the witness has it");
  cluster.Crash(1);
  cluster.Heal();
  for (int i = 0; i < 200 && cluster[2].role() != Role::kLeader; ++i) {
    cluster.Tick(2);
    cluster.Tick(3);
    cluster.Deliver();
  }
  EXPECT_EQ(cluster[2].role(), Role::kLeader);
  EXPECT_EQ(cluster[3].metrics().elections_won, 1U);
  EXPECT_EQ(cluster.Node(2).applied.at(2).data, "only the witness has it");
}

// Pre-vote and check-quorum together must not lock out a node whose term ran ahead (etcd #8334).
TEST(Election, NodeAheadInTermComesBack) {
  Cluster cluster(3);
  cluster.Elect(1);
  cluster.Isolate(3);
  Message m;
  m.kind = MessageKind::kHeartbeatReply;
  m.from = NodeId(2);
  m.to = NodeId(3);
  m.term = Term(50);
  cluster[3].Step(m);
  cluster.Pump(3);
  ASSERT_EQ(cluster[3].term(), Term(50));
  cluster.Heal();
  cluster.TickAll(80);
  NodeId leader = cluster[3].leader();
  EXPECT_TRUE(leader);
  EXPECT_EQ(cluster[leader.value()].role(), Role::kLeader);
  EXPECT_GT(cluster[leader.value()].term(), Term(50));
}

// Two halves that meet in one node (openraft #2080).
TEST(Election, BridgeElectsOneWorkingLeader) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    Cluster cluster(5, 0, [seed](Options& options) { options.seed = seed; });
    cluster.Elect(1);
    for (uint64_t a : {1, 2}) {
      for (uint64_t b : {4, 5}) {
        cluster.CutLink(a, b);
        cluster.CutLink(b, a);
      }
    }
    cluster.TickAll(100);
    int leaders = 0;
    for (uint64_t id = 1; id <= 5; ++id) {
      if (cluster[id].role() == Role::kLeader) {
        ++leaders;
        Index before = cluster[id].log().commit();
        if (cluster[id].Propose(EntryType::kCommand, "x").ok()) {
          cluster.Pump(id);
          cluster.TickAll(4);
        }
        EXPECT_GT(cluster[id].log().commit(), before) << seed;
      }
    }
    EXPECT_EQ(leaders, 1) << seed;
  }
}

// A leader that nobody can answer (old-raft-rs #27): it must not keep the others quiet for ever.
TEST(Election, OneWayLeaderIsReplaced) {
  Cluster cluster(3);
  cluster.Elect(1);
  cluster.CutLink(2, 1);
  cluster.CutLink(3, 1);
  cluster.TickAll(100);
  EXPECT_NE(cluster[1].role(), Role::kLeader);
  EXPECT_TRUE(cluster[2].role() == Role::kLeader || cluster[3].role() == Role::kLeader);
}

TEST(Election, TwoLeadersInOneTermStopTheNodeThatSeesThem) {
  Cluster cluster(3);
  cluster.Elect(1);
  Message m;
  m.kind = MessageKind::kHeartbeat;
  m.from = NodeId(2);
  m.to = NodeId(3);
  m.term = cluster[3].term();
  cluster[3].Step(m);
  EXPECT_EQ(cluster[3].fatal().sqlstate(), kErrBroken);
  EXPECT_TRUE(cluster[3].TakeOutput().empty());
}

}  // namespace
}  // namespace pgquorum::raft::test
