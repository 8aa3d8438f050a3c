// One test for each claim of the Raft paper (extended version) and the thesis that the core uses,
// in the order of their sections: from 5.4.1 on.
#include <gtest/gtest.h>

#include "raftlog/codec.h"
#include "raftlog/describe.h"
#include "raftlog/errors.h"
#include "raftlog/test/paper_fixture.h"

namespace pgquorum::raft::test {
namespace {

Entry At(uint64_t index, uint64_t term) {
  return {Term(term), Index(index), EntryType::kCommand,
          std::to_string(index) + "/" + std::to_string(term)};
}

// Fills node `id`'s log (above the founding entry) through a leader that it believes in.
void Fill(Cluster& cluster, uint64_t id, const std::vector<Entry>& entries) {
  for (const Entry& entry : entries) {
    uint64_t peer = id == 1 ? 2 : 1;
    Message append = From(peer, id, MessageKind::kAppend, entry.term.value());
    append.log_index = entry.index - 1;
    append.log_term = cluster[id].log().TermAt(entry.index - 1);
    append.entries = {entry};
    cluster[id].Step(append);
    cluster.Pump(id);
  }
  cluster.wire().clear();
}

// 5.4.1: "the voter denies its vote if its own log is more up-to-date than that of the candidate":
// later term first, then length.
TEST(Paper, S541_UpToDateCheck) {
  struct Case {
    uint64_t index;
    uint64_t term;
    bool granted;
  };
  // The voter's log ends with 3/4.
  const Case cases[] = {{3, 4, true},  {4, 4, true},  {2, 5, true},
                        {2, 4, false}, {9, 3, false}, {3, 3, false}};
  for (const Case& c : cases) {
    for (MessageKind kind : {MessageKind::kVote, MessageKind::kPreVote}) {
      Cluster cluster(3, 0, [](Options& options) { options.check_quorum = false; });
      Fill(cluster, 1, {At(2, 3), At(3, 4)});
      Message vote = From(3, 1, kind, 9);
      vote.log_index = Index(c.index);
      vote.log_term = Term(c.term);
      cluster[1].Step(vote);
      cluster.Pump(1);
      ASSERT_EQ(cluster.wire().size(), 1U);
      EXPECT_EQ(cluster.wire()[0].reject, !c.granted) << c.index << "/" << c.term;
    }
  }
}

// 5.4.2, figure 8: "Raft never commits log entries from previous terms by counting replicas."
TEST(Paper, S542_F8_OldTermDoesNotCommitByCounting) {
  Cluster cluster(3, 0, [](Options& options) {
    options.pre_vote = false;
    options.check_quorum = false;
  });
  Fill(cluster, 1, {At(2, 2)});
  Fill(cluster, 2, {At(2, 2)});
  cluster.Isolate(3);
  LetTimeOut(cluster, 1);
  for (int i = 0; i < 10 && cluster[1].role() != Role::kLeader; ++i) {
    cluster.DeliverOne();
  }
  ASSERT_EQ(cluster[1].role(), Role::kLeader);
  // A majority has 2/2 and says so, before the entry of the new term has reached anyone.
  cluster.wire().clear();
  Message reply = From(2, 1, MessageKind::kAppendReply, cluster[1].term().value());
  reply.log_index = Index(2);
  cluster[1].Step(reply);
  EXPECT_EQ(cluster[1].log().commit(), Index(1));
  reply.log_index = Index(3);
  cluster[1].Step(reply);
  EXPECT_EQ(cluster[1].log().commit(), Index(3));
}

// 6: "each server stores the configuration in its log ... a server always uses the latest
// configuration in its log, regardless of whether the entry is committed"; and it is rolled back.
TEST(Paper, S6_LatestConfigurationInTheLog) {
  Cluster cluster(3);
  Entry change{Term(2), Index(2), EntryType::kConfig,
               EncodeConfigEntry({Voters({1, 2, 3, 4}), ""})};
  Fill(cluster, 2, {change});
  EXPECT_EQ(cluster[2].configuration(), Voters({1, 2, 3, 4}));
  EXPECT_EQ(cluster[2].log().commit(), Index(1));
  Fill(cluster, 2, {At(2, 3)});
  EXPECT_EQ(cluster[2].configuration(), Voters({1, 2, 3}));
}

// 6: "agreement ... requires separate majorities from both the old and new configurations."
TEST(Paper, S6_JointNeedsBothMajorities) {
  Cluster cluster(3, 3);
  cluster.Elect(1);
  for (uint64_t id : {4, 5, 6}) {
    cluster.CutLink(id, 1);  // the new ones do not answer
  }
  std::vector<ConfigChange> changes = {{ChangeKind::kAddVoter, NodeId(4)},
                                       {ChangeKind::kAddVoter, NodeId(5)},
                                       {ChangeKind::kAddVoter, NodeId(6)},
                                       {ChangeKind::kRemove, NodeId(2)},
                                       {ChangeKind::kRemove, NodeId(3)}};
  ASSERT_TRUE(cluster[1].ProposeConfig(changes, "").ok());
  cluster.Pump(1);
  cluster.Deliver();
  EXPECT_TRUE(cluster[1].configuration().joint());
  EXPECT_EQ(cluster[1].log().commit(), Index(2));  // all of the old ones have it
  cluster.Heal();
  cluster.TickAll(6);
  EXPECT_EQ(cluster[1].configuration(), Voters({1, 4, 5, 6}));
  EXPECT_EQ(cluster[5].configuration(), Voters({1, 4, 5, 6}));
  EXPECT_EQ(cluster[1].log().commit(), Index(4));
}

// 6: "the leader steps down once it has committed the Cnew log entry", and manages the cluster
// until then without counting itself.
TEST(Paper, S6_RemovedLeaderStepsDownAfterCommit) {
  Cluster cluster(3);
  cluster.Elect(1);
  cluster.CutLink(3, 1);
  ASSERT_TRUE(cluster[1].ProposeConfig({{ChangeKind::kRemove, NodeId(1)}}, "").ok());
  cluster.Pump(1);
  cluster.Deliver();
  EXPECT_EQ(cluster[1].role(), Role::kLeader);  // it and node 2 have it: not a majority of {2, 3}
  EXPECT_EQ(cluster[1].log().commit(), Index(2));
  cluster.Heal();
  cluster.TickAll(4);
  EXPECT_NE(cluster[1].role(), Role::kLeader);
  EXPECT_GE(cluster[1].log().commit(), Index(3));
  EXPECT_TRUE(cluster[2].role() == Role::kLeader || cluster[3].role() == Role::kLeader);
}

// Thesis 4.2.2: "a server that is not part of its own latest configuration should still start new
// elections, as it might still be needed until the Cnew entry is committed."
TEST(Paper, T422_RemovedServerStillCampaigns) {
  Cluster cluster(2);
  cluster.Elect(1);
  cluster.Isolate(2);
  ASSERT_TRUE(cluster[1].ProposeConfig({{ChangeKind::kRemove, NodeId(1)}}, "").ok());
  cluster.Pump(1);
  cluster.TickAll(40);
  ASSERT_NE(cluster[1].role(), Role::kLeader);  // stepped down by check-quorum
  cluster.Heal();
  // Only node 1 has the entry that removes it, so only node 1 can win.
  cluster.TickAll(60);
  EXPECT_EQ(cluster[2].configuration(), Voters({2}));
  EXPECT_EQ(cluster[2].role(), Role::kLeader);
}

// 6: "servers disregard RequestVote RPCs when they believe a current leader exists."
TEST(Paper, S6_VoterWithALeaderIgnoresCandidates) {
  Cluster cluster(3);
  cluster.Elect(1);
  Message vote = From(3, 2, MessageKind::kVote, 9);
  vote.log_index = Index(99);
  vote.log_term = Term(8);
  cluster[2].Step(vote);
  cluster.Pump(2);
  EXPECT_EQ(cluster[2].term(), Term(2));
  EXPECT_TRUE(Sent(cluster).empty());
  cluster.Tick(2, 10);  // a minimum election timeout without a word from the leader
  cluster.wire().clear();
  cluster[2].Step(vote);
  cluster.Pump(2);
  EXPECT_EQ(cluster[2].term(), Term(9));
  EXPECT_EQ(cluster[2].vote(), NodeId(3));
}

// 7: "the leader must occasionally send snapshots to followers that lag behind"; "the follower
// discards its entire log; it is all superseded by the snapshot".
TEST(Paper, S7_LaggingFollowerGetsASnapshot) {
  Cluster cluster(3);
  cluster.Elect(1);
  cluster.Isolate(3);
  for (int i = 0; i < 20; ++i) {
    cluster.Commit(1, "x");
  }
  cluster.Snapshot(1);
  cluster.Commit(1, "after");
  cluster.Heal();
  cluster.TickAll(20);
  EXPECT_EQ(cluster.Node(3).restores, 1U);
  EXPECT_EQ(cluster[3].log().commit(), cluster[1].log().commit());
  EXPECT_EQ(cluster.Node(3).applied.back().data, "after");
  EXPECT_EQ(cluster[3].log().first(), Index(23));
}

// 7: "If instead the follower receives a snapshot that describes a prefix of its log ... entries
// following the snapshot are still valid and must be retained."
TEST(Paper, S7_SnapshotOfAPrefixKeepsTheRest) {
  Cluster cluster(3);
  Fill(cluster, 2, {At(2, 2), At(3, 2), At(4, 2)});
  Message chunk = From(1, 2, MessageKind::kSnapshotChunk, 2);
  chunk.snapshot = {Index(3), Term(2), Voters({1, 2, 3}), 5, 0};
  chunk.chunk = "12345";
  cluster[2].Step(chunk);
  cluster.Pump(2);
  EXPECT_EQ(cluster[2].log().last(), Index(4));
  EXPECT_EQ(cluster[2].log().commit(), Index(3));
  EXPECT_EQ(cluster.Node(2).restores, 0U);
}

// 8: "each leader commit[s] a blank no-op entry into the log at the start of its term."
TEST(Paper, S8_NewLeaderCommitsANoOp) {
  Cluster cluster(3);
  cluster.Elect(1);
  EXPECT_EQ(cluster.Node(2).applied.back().type, EntryType::kNoOp);
  EXPECT_EQ(cluster.Node(2).applied.back().term, cluster[1].term());
}

// 8: a leader "must check whether it has been deposed before processing a read-only request" by
// exchanging heartbeats with a majority (thesis 6.4).
TEST(Paper, S8_ReadsWaitForARoundOfHeartbeats) {
  Cluster cluster(3);
  cluster.Elect(1);
  TestNode& leader = cluster.Node(1);
  cluster[1].ReadIndex(7, ReadMode::kQuorum, leader.now_ns);
  cluster.Pump(1);
  EXPECT_TRUE(leader.reads.empty());
  cluster.Deliver();
  ASSERT_EQ(leader.reads.size(), 1U);
  EXPECT_TRUE(leader.reads[0].status.ok());
  EXPECT_EQ(leader.reads[0].index, cluster[1].log().commit());
  // Deposed: never confirmed.
  cluster.Isolate(1);
  cluster[1].ReadIndex(8, ReadMode::kQuorum, leader.now_ns);
  cluster.Tick(1, 25);
  ASSERT_EQ(leader.reads.size(), 2U);
  EXPECT_FALSE(leader.reads[1].status.ok());
}

// 8 / thesis 6.4: not before an entry of the leader's own term is committed.
TEST(Paper, S8_ReadsWaitForTheNoOp) {
  Cluster cluster(3, 0, NoPreVote);
  LetTimeOut(cluster, 1);
  for (int i = 0; i < 10 && cluster[1].role() != Role::kLeader; ++i) {
    cluster.DeliverOne();
  }
  ASSERT_EQ(cluster[1].role(), Role::kLeader);
  cluster.Drop([](const Message& m) { return m.kind == MessageKind::kAppend; });
  cluster[1].ReadIndex(1, ReadMode::kQuorum, cluster.Node(1).now_ns);
  cluster.Pump(1);
  while (cluster.DeliverOne()) {
    cluster.Drop([](const Message& m) { return m.kind == MessageKind::kAppend; });
  }
  EXPECT_TRUE(cluster.Node(1).reads.empty());  // its leadership is confirmed, its commit index not
  cluster.TickAll(6);
  ASSERT_EQ(cluster.Node(1).reads.size(), 1U);
  EXPECT_GE(cluster.Node(1).reads[0].index, Index(2));
}

// Thesis 3.10: the leader brings the target up to date, then has it campaign at once; the target is
// not held up by the voters' promise to the leader.
TEST(Paper, T310_LeadershipTransfer) {
  Cluster cluster(3);
  cluster.Elect(1);
  ASSERT_TRUE(cluster[1].TransferLeadership(NodeId(3)).ok());
  EXPECT_EQ(cluster[1].Propose(EntryType::kCommand, "x").status().sqlstate(), kErrTransferring);
  cluster.Pump(1);
  cluster.Deliver();
  EXPECT_EQ(cluster[3].role(), Role::kLeader);
  EXPECT_EQ(cluster[1].role(), Role::kFollower);
  EXPECT_EQ(cluster[3].metrics().pre_votes_started, 0U);
}

// Thesis 3.10: "if ... leadership transfer does not complete after about an election timeout, the
// leader ... aborts the transfer and resumes accepting client requests."
TEST(Paper, T310_TransferIsAborted) {
  Cluster cluster(3);
  cluster.Elect(1);
  cluster.Isolate(3);
  ASSERT_TRUE(cluster[1].TransferLeadership(NodeId(3)).ok());
  EXPECT_FALSE(cluster[1].Propose(EntryType::kCommand, "x").ok());
  cluster.TickAll(11);
  EXPECT_EQ(cluster[1].role(), Role::kLeader);
  EXPECT_TRUE(cluster[1].Propose(EntryType::kCommand, "x").ok());
}

// Thesis 6.2: "a leader ... steps down if an election timeout elapses without a successful round of
// heartbeats to a majority of its cluster."
TEST(Paper, T62_LeaderWithoutMajorityStepsDown) {
  Cluster cluster(3);
  cluster.Elect(1);
  cluster.Isolate(1);
  cluster.Tick(1, 21);
  EXPECT_NE(cluster[1].role(), Role::kLeader);
  EXPECT_EQ(cluster[1].metrics().stepped_down_quorum, 1U);
}

// Thesis 9.6: "a candidate only increments its term if it first learns from a majority of the
// cluster that they would be willing to grant the candidate their votes."
TEST(Paper, T96_PreVoteDoesNotRaiseTheTerm) {
  Cluster cluster(3);
  cluster.Elect(1);
  Term term = cluster[1].term();
  cluster.Isolate(3);
  cluster.TickAll(100);
  EXPECT_EQ(cluster[3].term(), term);
  EXPECT_GT(cluster[3].metrics().pre_votes_started, 2U);
  cluster.Heal();
  cluster.TickAll(30);
  EXPECT_EQ(cluster[1].role(), Role::kLeader);  // its return disturbs nobody
  EXPECT_EQ(cluster[1].term(), term);
  EXPECT_EQ(cluster[3].leader(), NodeId(1));
}

// Thesis 4.2.1: new servers join "as non-voting members … not yet counted toward majorities for
// voting or commitment purposes".
TEST(Paper, T421_LearnersDoNotCount) {
  Cluster cluster(2, 1);
  cluster.Elect(1);
  ASSERT_TRUE(cluster[1].ProposeConfig({{ChangeKind::kAddLearner, NodeId(3)}}, "").ok());
  cluster.Pump(1);
  cluster.Deliver();
  cluster.TickAll(10);
  ASSERT_EQ(cluster[3].log().last(), cluster[1].log().last());
  cluster.CutLink(1, 2);
  cluster.CutLink(2, 1);
  LogPosition at = cluster.Commit(1, "x");
  EXPECT_EQ(cluster[3].log().last(), at.index);
  EXPECT_LT(cluster[1].log().commit(), at.index);  // two copies, but one of two voters
  EXPECT_EQ(cluster[3].role(), Role::kFollower);
  cluster.Tick(3, 100);
  EXPECT_EQ(cluster[3].role(), Role::kFollower);  // and it does not campaign
}

// Thesis 6.4.1: "If the leader receives acknowledgments from a majority of the cluster, then it can
// assume that no other server will become leader for about an election timeout, and it can extend
// its lease"; reads in it need no communication.
TEST(Paper, T641_LeaseReadsSendNothing) {
  Cluster cluster(3);
  cluster.Elect(1);
  cluster.Tick(1, 2);
  cluster.Deliver();
  cluster[1].ReadIndex(5, ReadMode::kLease, cluster.Node(1).now_ns);
  cluster.Pump(1);
  EXPECT_TRUE(cluster.wire().empty());
  ASSERT_EQ(cluster.Node(1).reads.size(), 1U);
  EXPECT_EQ(cluster.Node(1).reads[0].index, cluster[1].log().commit());
  // The clock alone ends it, ticks or no ticks.
  uint64_t later = cluster.Node(1).now_ns + 10 * cluster.Node(1).options.tick_ns;
  EXPECT_FALSE(cluster[1].LeaseHeld(later));
}

// 5.2 with thesis 3.8: "each server must … persist its current term and vote" before it speaks.
TEST(Paper, T38_TermIsDurableBeforeItIsSpoken) {
  Cluster cluster(3, 0, NoPreVote);
  cluster.Node(1).hold_disk = true;
  LetTimeOut(cluster, 1);
  ASSERT_EQ(cluster[1].role(), Role::kCandidate);
  EXPECT_TRUE(cluster.wire().empty());
  cluster.Sync(1);
  EXPECT_EQ(cluster.wire().size(), 2U);
}

}  // namespace
}  // namespace pgquorum::raft::test
