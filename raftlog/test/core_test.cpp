// Durability, reads, forwarding, membership and snapshots.
#include "raftlog/core.h"

#include <gtest/gtest.h>

#include "raftlog/codec.h"
#include "raftlog/describe.h"
#include "raftlog/errors.h"
#include "raftlog/test/testkit.h"

namespace pgquorum::raft::test {
namespace {

std::size_t Count(const Cluster& cluster, MessageKind kind, uint64_t to) {
  std::size_t count = 0;
  for (const Message& m : const_cast<Cluster&>(cluster).wire()) {
    count += m.kind == kind && m.to == NodeId(to) ? 1U : 0U;
  }
  return count;
}

// --- durability ---

// Storage acknowledges an entry that has been replaced meanwhile by another with the same index.
TEST(Durability, AcknowledgementsAreNotMistakenForOthers) {
  Cluster cluster(3);
  TestNode& node = cluster.Node(2);
  node.hold_disk = true;
  auto append = [&](uint64_t from, uint64_t term, const char* data) {
    Message m;
    m.kind = MessageKind::kAppend;
    m.from = NodeId(from);
    m.to = NodeId(2);
    m.term = Term(term);
    m.log_index = Index(1);
    m.log_term = Term(1);
    m.commit = Index(2);
    m.entries = {{Term(term), Index(2), EntryType::kCommand, data}};
    if (term == 2) {
      m.commit = Index(1);
    }
    cluster[2].Step(m);
    cluster.Pump(2);
  };
  append(1, 2, "old");
  append(3, 3, "new");
  ASSERT_EQ(node.disk.pending(), 2U);
  cluster.SyncOne(2);  // "old" is durable now
  EXPECT_EQ(cluster[2].log().stable(), Index(1));
  EXPECT_EQ(node.applied.size(), 1U);  // not "new", although index 2 is committed
  cluster.SyncOne(2);
  EXPECT_EQ(cluster[2].log().stable(), Index(2));
  EXPECT_EQ(node.applied.back().data, "new");
}

// Losing what was acknowledged must neither stop the node nor let it vote (etcd #10166).
TEST(Durability, DamagedNodeIsRefilledBeforeItVotes) {
  Cluster cluster(3);
  cluster.Elect(1);
  for (int i = 0; i < 10; ++i) {
    cluster.Commit(1, "x");
  }
  TestNode& node = cluster.Node(2);
  RecoveredState damaged = node.disk.Recover();
  damaged.refill_term = cluster[2].log().last_term();
  damaged.refill_index = cluster[2].log().last();
  ModelDisk empty(BootstrapLog(Voters({1, 2, 3}), ""));
  RecoveredState lost = empty.Recover();
  lost.hard_state = damaged.hard_state;
  lost.refill_term = damaged.refill_term;
  lost.refill_index = damaged.refill_index;
  node.disk = empty;
  ++node.options.seed;
  node.core = Core::Create(node.options, lost, node.disk).value();
  EXPECT_TRUE(cluster[2].refilling());
  Message vote;
  vote.kind = MessageKind::kVote;
  vote.from = NodeId(3);
  vote.to = NodeId(2);
  vote.term = Term(9);
  vote.log_index = Index(5);
  vote.log_term = Term(2);
  vote.force = true;
  cluster[2].Step(vote);
  cluster.Pump(2);
  ASSERT_FALSE(cluster.wire().empty());
  EXPECT_TRUE(cluster.wire().back().reject);
  cluster.wire().clear();
  cluster.TickAll(60);
  EXPECT_FALSE(cluster[2].refilling());
  NodeId leader = cluster[2].leader();
  ASSERT_TRUE(leader);
  EXPECT_NE(leader, NodeId(2));
  EXPECT_EQ(cluster[2].log().last(), cluster[leader.value()].log().last());
}

TEST(Durability, NothingIsSaidInATermThatCouldBeForgotten) {
  Cluster cluster(3);
  cluster.Node(2).hold_disk = true;
  Message m;
  m.kind = MessageKind::kHeartbeat;
  m.from = NodeId(1);
  m.to = NodeId(2);
  m.term = Term(5);
  m.context = 1;
  cluster[2].Step(m);
  cluster.Pump(2);
  EXPECT_TRUE(cluster.wire().empty());
  cluster.Sync(2);
  EXPECT_EQ(cluster.wire().size(), 1U);
}

// --- reads ---

TEST(Reads, LeaseAnswersAtOnceAndEndsInTime) {
  Cluster cluster(3);
  cluster.Elect(1);
  TestNode& leader = cluster.Node(1);
  cluster.TickAll(2);
  uint64_t now = leader.now_ns;
  ASSERT_TRUE(cluster[1].LeaseHeld(now));
  cluster[1].ReadIndex(1, ReadMode::kLease, now);
  cluster.Pump(1);
  ASSERT_EQ(leader.reads.size(), 1U);
  EXPECT_TRUE(cluster.wire().empty());
  // The process was stopped for longer than the lease: the clock tells, no tick is needed.
  uint64_t later = now + 10 * leader.options.tick_ns;
  EXPECT_FALSE(cluster[1].LeaseHeld(later));
  cluster[1].ReadIndex(2, ReadMode::kLease, later);
  cluster.Pump(1);
  EXPECT_EQ(leader.reads.size(), 1U);
  EXPECT_FALSE(cluster.wire().empty());
}

TEST(Reads, NoLeaseAfterATransferHasBegun) {
  Cluster cluster(3);
  cluster.Elect(1);
  ASSERT_TRUE(cluster[1].LeaseHeld(cluster.Node(1).now_ns));
  ASSERT_TRUE(cluster[1].TransferLeadership(NodeId(2)).ok());
  EXPECT_FALSE(cluster[1].LeaseHeld(cluster.Node(1).now_ns));
  cluster.wire().clear();
  cluster.TickAll(15);  // aborted, yet the message may still be on its way
  EXPECT_EQ(cluster[1].transferring_to(), NodeId());
  EXPECT_FALSE(cluster[1].LeaseHeld(cluster.Node(1).now_ns));
}

TEST(Reads, FollowerAsksTheLeader) {
  Cluster cluster(3);
  cluster.Elect(1);
  cluster[2].ReadIndex(42, ReadMode::kQuorum, 0);
  cluster.Pump(2);
  cluster.Deliver();
  ASSERT_EQ(cluster.Node(2).reads.size(), 1U);
  EXPECT_EQ(cluster.Node(2).reads[0].request, 42U);
  EXPECT_EQ(cluster.Node(2).reads[0].index, cluster[1].log().commit());
}

TEST(Reads, AnswersOfAnEarlierLifeMatchNothing) {
  Cluster cluster(3);
  cluster.Elect(1);
  cluster[2].ReadIndex(1, ReadMode::kQuorum, 0);
  cluster.Pump(2);
  cluster.Deliver();
  Message answer;
  answer.kind = MessageKind::kReadIndexReply;
  answer.from = NodeId(1);
  answer.to = NodeId(2);
  answer.term = cluster[1].term();
  cluster.Restart(2);
  cluster.TickAll(4);
  cluster[2].ReadIndex(2, ReadMode::kQuorum, 0);
  cluster.Pump(2);
  ASSERT_FALSE(cluster.wire().empty());
  uint64_t fresh = cluster.wire().front().context;
  EXPECT_GT(fresh, 1000U);  // not counted from the start
  answer.context = 1;
  cluster[2].Step(answer);
  cluster.Pump(2);
  EXPECT_TRUE(cluster.Node(2).reads.empty());
}

TEST(Reads, UnansweredOnesFail) {
  Cluster cluster(3);
  cluster.Elect(1);
  cluster.Isolate(1);
  cluster[2].ReadIndex(1, ReadMode::kQuorum, 0);
  cluster.Pump(2);
  cluster.Tick(2, 10);
  ASSERT_EQ(cluster.Node(2).reads.size(), 1U);
  EXPECT_EQ(cluster.Node(2).reads[0].status.sqlstate(), kErrNoLeader);
}

// --- forwarding ---

TEST(Forwarding, FollowerLearnsThePosition) {
  Cluster cluster(3);
  cluster.Elect(1);
  cluster[3].Forward(9, EntryType::kCommand, "from 3");
  cluster.Pump(3);
  cluster.Deliver();
  ASSERT_EQ(cluster.Node(3).forwards.size(), 1U);
  const ForwardResult& result = cluster.Node(3).forwards[0];
  ASSERT_TRUE(result.status.ok());
  EXPECT_EQ(cluster.Node(1).applied.back().data, "from 3");
  EXPECT_EQ(cluster.Node(1).applied.back().index, result.index);
}

// Nobody knows what became of a proposal whose answer was lost: another code than "nobody leads".
TEST(Forwarding, ALostAnswerIsAnUnknownOutcome) {
  Cluster cluster(3);
  cluster.Elect(1);
  for (int request = 1; request <= 2; ++request) {
    cluster[3].Forward(1, EntryType::kCommand, "x");
    cluster.Pump(3);
    cluster.Drop([](const Message& m) { return m.kind == MessageKind::kPropose; });
    if (request == 1) {
      cluster.TickAll(40);  // the leader does not answer
    } else {
      cluster.Elect(2);  // another one leads
    }
    ASSERT_EQ(cluster.Node(3).forwards.size(), static_cast<std::size_t>(request));
    EXPECT_EQ(cluster.Node(3).forwards.back().status.sqlstate(), kErrOutcomeUnknown);
  }
}

// A network may deliver a message twice; the command must still be in the log once.
TEST(Forwarding, ARepeatedRequestIsTakenOnce) {
  Cluster cluster(3);
  cluster.Elect(1);
  cluster[3].Forward(7, EntryType::kCommand, "once");
  cluster.Pump(3);
  Message request = cluster.wire().front();
  ASSERT_EQ(request.kind, MessageKind::kPropose);
  cluster.wire().push_back(request);
  cluster.Deliver();
  Index last = cluster[1].log().last();
  cluster[1].Step(request);  // long afterwards
  cluster.Pump(1);
  EXPECT_EQ(cluster[1].log().last(), last);
  EXPECT_EQ(cluster.Node(3).forwards.size(), 1U);
  EXPECT_EQ(std::count_if(cluster.Node(1).applied.begin(), cluster.Node(1).applied.end(),
                          [](const Entry& entry) { return entry.data == "once"; }),
            1);
}

TEST(Forwarding, RefusalsComeBack) {
  Cluster cluster(3, 0, [](Options& options) { options.max_uncommitted_entries = 1; });
  cluster[3].Forward(1, EntryType::kCommand, "x");
  cluster.Pump(3);
  ASSERT_EQ(cluster.Node(3).forwards.size(), 1U);
  EXPECT_EQ(cluster.Node(3).forwards[0].status.sqlstate(), kErrNoLeader);
  cluster.Elect(1);
  cluster.CutLink(1, 2);
  cluster.Node(1).hold_disk = true;
  cluster.CutLink(3, 1);
  ASSERT_TRUE(cluster[1].Propose(EntryType::kCommand, "fills it").ok());
  cluster.Heal();
  cluster.Drop([](const Message&) { return true; });
  cluster[3].Forward(2, EntryType::kCommand, "x");
  cluster.Pump(3);
  cluster.DeliverOne();
  cluster.Drop([](const Message& m) { return m.kind != MessageKind::kProposeReply; });
  cluster.DeliverOne();
  ASSERT_EQ(cluster.Node(3).forwards.size(), 2U);
  EXPECT_EQ(cluster.Node(3).forwards[1].status.sqlstate(), kErrOverloaded);
}

// --- membership ---

TEST(Members, OneChangeAtATimeAndNotBeforeTheFirstCommit) {
  Cluster cluster(3, 2, [](Options& options) { options.pre_vote = false; });
  for (int i = 0; i < 20 && cluster[1].role() != Role::kCandidate; ++i) {
    cluster.Tick(1);
  }
  for (int i = 0; i < 10 && cluster[1].role() != Role::kLeader; ++i) {
    cluster.DeliverOne();
  }
  ASSERT_EQ(cluster[1].role(), Role::kLeader);
  std::vector<ConfigChange> add = {{ChangeKind::kAddLearner, NodeId(4)}};
  EXPECT_EQ(cluster[1].ProposeConfig(add, "").status().sqlstate(), kErrNotReady);
  cluster.Deliver();
  ASSERT_TRUE(cluster[1].ProposeConfig(add, "").ok());
  EXPECT_EQ(
      cluster[1].ProposeConfig({{ChangeKind::kAddLearner, NodeId(5)}}, "").status().sqlstate(),
      kErrChangePending);
  EXPECT_EQ(cluster[2].ProposeConfig(add, "").status().sqlstate(), kErrNotLeader);
  cluster.Pump(1);
  cluster.Deliver();
  EXPECT_EQ(cluster[1].ProposeConfig(add, "").status().detail(), "node 4 is already a learner");
}

TEST(Members, LearnerCatchesUpAndIsPromoted) {
  Cluster cluster(3, 1);
  cluster.Elect(1);
  for (int i = 0; i < 50; ++i) {
    cluster.Commit(1, "x");
  }
  cluster.Snapshot(1);
  ASSERT_TRUE(cluster[1].ProposeConfig({{ChangeKind::kAddLearner, NodeId(4)}}, "ctx").ok());
  cluster.Pump(1);
  cluster.TickAll(12);
  EXPECT_EQ(cluster[4].log().commit(), cluster[1].log().commit());
  EXPECT_EQ(cluster.Node(4).restores, 1U);
  EXPECT_EQ(ToString(cluster[4].configuration()), "voters=(1 2 3) learners=(4)");
  cluster.Isolate(1);
  cluster.Tick(4, 60);
  EXPECT_EQ(cluster[4].metrics().pre_votes_started, 0U);  // a learner does not campaign
  cluster.Heal();
  cluster.TickAll(40);
  uint64_t leader = cluster[4].leader().value();
  ASSERT_TRUE(cluster[leader].ProposeConfig({{ChangeKind::kAddVoter, NodeId(4)}}, "").ok());
  cluster.Pump(leader);
  cluster.Deliver();
  EXPECT_EQ(cluster[4].configuration(), Voters({1, 2, 3, 4}));
}

// --- snapshots ---

TEST(Snapshots, PiecesAreThrottledAndResumed) {
  Cluster cluster(3, 0, [](Options& options) {
    options.snapshot_chunk_bytes = 100;
    options.snapshot_chunks_per_tick = 2;
    options.snapshot_retry_ticks = 5;
  });
  cluster.Elect(1);
  cluster.Isolate(3);
  for (int i = 0; i < 20; ++i) {
    cluster.Commit(1, "x");
  }
  cluster.Snapshot(1);
  cluster.Heal();
  uint64_t pieces = 0;
  for (int i = 0; i < 60 && cluster.Node(3).restores == 0; ++i) {
    for (uint64_t id : {1, 2, 3}) {
      cluster.Tick(id);
    }
    uint64_t now = Count(cluster, MessageKind::kSnapshotChunk, 3);
    EXPECT_LE(now, 2U);
    pieces += now;
    if (i % 7 == 3) {  // some get lost
      cluster.Drop([](const Message& m) { return m.kind == MessageKind::kSnapshotChunk; });
    }
    cluster.Deliver();
  }
  EXPECT_EQ(cluster.Node(3).restores, 1U);
  EXPECT_LE(pieces, 30U);  // 1,022 bytes are 11 pieces: it did not start over
  cluster.TickAll(6);
  EXPECT_EQ(cluster[3].log().commit(), cluster[1].log().commit());
}

TEST(Snapshots, CrashBeforeTheInstallIsDurableSeesTheOldState) {
  Cluster cluster(3);
  cluster.Elect(1);
  cluster.Isolate(3);
  for (int i = 0; i < 20; ++i) {
    cluster.Commit(1, "x");
  }
  cluster.Snapshot(1);
  cluster.Heal();
  cluster.Node(3).hold_disk = true;
  for (int i = 0; i < 12 && cluster.Node(3).disk.pending() == 0; ++i) {
    cluster.TickAll(1);
  }
  ASSERT_EQ(cluster.Node(3).disk.pending(), 1U);
  EXPECT_EQ(cluster.Node(3).restores, 0U);  // not before it is durable
  EXPECT_LT(cluster[1].progress().at(NodeId(3)).match, cluster[1].snapshot().index);
  cluster.Restart(3);
  EXPECT_EQ(cluster[3].snapshot().index, Index());
  EXPECT_EQ(cluster[3].log().first(), Index(1));
  cluster.Node(3).hold_disk = false;
  cluster.TickAll(60);
  EXPECT_EQ(cluster[3].log().commit(), cluster[1].log().commit());
}

}  // namespace
}  // namespace pgquorum::raft::test
