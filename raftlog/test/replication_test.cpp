// Batching, pipelining, flow control and back-pressure.
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
  options.election_ticks = 15;
  options.election_ticks_max = 15;
  EXPECT_EQ(options.Validate().detail(), "election_ticks_max must be above election_ticks");
  options.election_ticks_max = 16;
  EXPECT_TRUE(options.Validate().ok());
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

TEST(Replication, AnAppendCarriesNoMoreEntriesThanAllowed) {
  for (uint32_t most : {1U, 7U, 1000U}) {
    Cluster cluster(3, 0, [most](Options& options) {
      options.max_entries_per_append = most;
      options.max_inflight_appends = 1000;
    });
    cluster.Elect(1);
    for (int i = 0; i < 250; ++i) {
      ASSERT_TRUE(cluster[1].Propose(EntryType::kCommand, "x").ok());
    }
    cluster.Pump(1);
    EXPECT_EQ(Count(cluster, MessageKind::kAppend, 2), (250 + most - 1) / most);
  }
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
  ModelDisk disk(BootstrapLog(Voters({1}), ""));
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

}  // namespace
}  // namespace pgquorum::raft::test
