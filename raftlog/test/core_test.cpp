// The core's features beyond the paper: limits, flow control, evidence, stalls, priorities, leases,
// snapshots in pieces, witnesses, forwarding, broken disks.
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

TEST(Options, ValidateNamesTheRule) {
  Options options;
  EXPECT_EQ(options.Validate().detail(), "id must be set");
  options.id = NodeId(1);
  EXPECT_TRUE(options.Validate().ok());
  options.max_entries_per_append = 1001;
  EXPECT_EQ(options.Validate().detail(), "max_entries_per_append must be from 1 to 1000");
  options.max_entries_per_append = 100;
  options.election_ticks = 5;
  EXPECT_EQ(options.Validate().sqlstate(), kErrBadOption);
}

// --- replication ---

TEST(Replication, ProposalsOfOneRoundTravelTogether) {
  Cluster cluster(3);
  cluster.Elect(1);
  for (int i = 0; i < 250; ++i) {
    ASSERT_TRUE(cluster[1].Propose(EntryType::kCommand, "x").ok());
  }
  cluster.Pump(1);
  EXPECT_EQ(Count(cluster, MessageKind::kAppend, 2), 3U);  // 100 + 100 + 50
  cluster.Deliver();
  EXPECT_EQ(cluster[2].log().commit(), cluster[1].log().last());
}

TEST(Replication, InflightMessagesAreLimited) {
  Cluster cluster(3, 0, [](Options& options) {
    options.max_entries_per_append = 1;
    options.max_inflight_appends = 4;
  });
  cluster.Elect(1);
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(cluster[1].Propose(EntryType::kCommand, "x").ok());
  }
  cluster.Pump(1);
  EXPECT_EQ(Count(cluster, MessageKind::kAppend, 2), 4U);
  cluster.Deliver();
  EXPECT_EQ(cluster[2].log().last(), cluster[1].log().last());
}

TEST(Replication, InflightBytesAreLimited) {
  Cluster cluster(3, 0, [](Options& options) {
    options.max_bytes_per_append = 1000;
    options.max_inflight_bytes = 3000;
  });
  cluster.Elect(1);
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(cluster[1].Propose(EntryType::kCommand, std::string(900, 'x')).ok());
  }
  cluster.Pump(1);
  EXPECT_EQ(Count(cluster, MessageKind::kAppend, 2),
            4U);  // the one that reaches the limit goes too
  cluster.Deliver();
  EXPECT_EQ(cluster[3].log().commit(), cluster[1].log().last());
}

TEST(Replication, LostAppendIsNoticedByTheNextHeartbeats) {
  Cluster cluster(3);
  cluster.Elect(1);
  ASSERT_TRUE(cluster[1].Propose(EntryType::kCommand, "x").ok());
  cluster.Pump(1);
  cluster.wire().clear();
  cluster.TickAll(8);
  EXPECT_EQ(cluster[2].log().last(), cluster[1].log().last());
  EXPECT_EQ(cluster[3].log().commit(), cluster[1].log().last());
}

TEST(Replication, UncommittedEntriesAreLimited) {
  Cluster cluster(3, 0, [](Options& options) { options.max_uncommitted_entries = 5; });
  cluster.Elect(1);
  cluster.Isolate(1);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(cluster[1].Propose(EntryType::kCommand, "x").ok());
  }
  Status refused = cluster[1].Propose(EntryType::kCommand, "x").status();
  EXPECT_EQ(refused.sqlstate(), kErrOverloaded);
  EXPECT_EQ(cluster[1].metrics().proposals_refused, 1U);
  cluster.Heal();
  cluster.TickAll(6);
  EXPECT_TRUE(cluster[1].Propose(EntryType::kCommand, "x").ok());
}

// A new leader inherits its predecessor's tail, and the limit with it (etcd-io/raft #11).
TEST(Replication, LimitSurvivesAChangeOfLeader) {
  Cluster cluster(3, 0, [](Options& options) { options.max_uncommitted_entries = 5; });
  cluster.Elect(1);
  cluster.CutLink(2, 1);
  cluster.CutLink(3, 1);
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(cluster[1].Propose(EntryType::kCommand, "x").ok());
  }
  cluster.Pump(1);
  cluster.Deliver();  // the followers have them; nobody knows that they are committed
  ASSERT_EQ(cluster[2].log().last() - cluster[2].log().commit(), 5U);
  cluster.Isolate(1);
  cluster.CutLink(3, 2);
  for (int i = 0; i < 60 && cluster[2].role() != Role::kLeader; ++i) {
    cluster.Tick(2);
    cluster.Tick(3);
    // Votes pass, acknowledgements do not.
    cluster.Heal();
    cluster.Isolate(1);
    cluster.Drop([](const Message& m) {
      return m.kind == MessageKind::kAppendReply || m.from == NodeId(3)
                 ? m.kind != MessageKind::kPreVoteReply && m.kind != MessageKind::kVoteReply
                 : false;
    });
    while (!cluster.wire().empty() && cluster[2].role() != Role::kLeader) {
      cluster.DeliverOne();
    }
  }
  ASSERT_EQ(cluster[2].role(), Role::kLeader);
  EXPECT_EQ(cluster[2].Propose(EntryType::kCommand, "x").status().sqlstate(), kErrOverloaded);
}

TEST(Replication, UncommittedBytesAreLimited) {
  Cluster cluster(3, 0, [](Options& options) { options.max_uncommitted_bytes = 3000; });
  cluster.Elect(1);
  cluster.Isolate(1);
  int accepted = 0;
  while (cluster[1].Propose(EntryType::kCommand, std::string(968, 'x')).ok()) {
    ++accepted;
  }
  EXPECT_EQ(accepted, 3);
}

TEST(Replication, TooLargeAndForeignTypesAreRefused) {
  Cluster cluster(1, 0, [](Options& options) { options.max_entry_bytes = 10; });
  cluster.Elect(1);
  EXPECT_EQ(cluster[1].Propose(EntryType::kCommand, std::string(11, 'x')).status().sqlstate(),
            kErrTooLarge);
  EXPECT_FALSE(cluster[1].Propose(EntryType::kConfig, "x").ok());
  EXPECT_TRUE(cluster[1].Propose(EntryType::kCommand, std::string(10, 'x')).ok());
}

TEST(Replication, OldEntriesComeFromTheReader) {
  Cluster cluster(3, 0, [](Options& options) { options.log_cache_bytes = 200; });
  cluster.Elect(1);
  cluster.Isolate(3);
  for (int i = 0; i < 300; ++i) {
    cluster.Commit(1, "entry" + std::to_string(i));
  }
  EXPECT_LT(cluster[1].log().cache_bytes(), 400U);
  cluster.Heal();
  cluster.TickAll(10);
  ASSERT_EQ(cluster.Node(3).applied.size(), cluster.Node(1).applied.size());
  EXPECT_EQ(cluster.Node(3).applied.back().data, "entry299");
  EXPECT_EQ(cluster.Node(3).restores, 0U);
}

TEST(Replication, HandsOutNoMoreThanIsBeingApplied) {
  Options options;
  options.id = NodeId(1);
  options.max_unapplied_entries = 3;
  sim::ModelDisk disk(BootstrapLog(Voters({1}), ""));
  auto core = Core::Create(options, disk.Recover(), disk).value();
  auto sync = [&](Output out) {
    if (out.persist) {
      disk.Queue(std::move(*out.persist));
      Persist batch = disk.CompleteOne();
      core->Persisted(batch.sequence, batch.term, batch.index);
    }
    return out.committed.size();
  };
  core->Campaign();
  std::size_t handed_out = sync(core->TakeOutput());
  ASSERT_EQ(core->role(), Role::kLeader);
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(core->Propose(EntryType::kCommand, "x").ok());
  }
  for (int i = 0; i < 5; ++i) {
    handed_out += sync(core->TakeOutput());
  }
  EXPECT_EQ(handed_out, 3U);
  core->Applied(Index(2));
  EXPECT_EQ(core->TakeOutput().committed.size(), 2U);
}

// --- elections ---

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
  sim::ModelDisk empty(BootstrapLog(Voters({1, 2, 3}), ""));
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
