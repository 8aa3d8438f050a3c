// A node whose log is damaged: it promises nothing, believes nothing, and is refilled.
#include <gtest/gtest.h>

#include "raftlog/test/testkit.h"

namespace pgquorum::raft::test {
namespace {

// Node 2, which has lost what it confirmed, says to the leader where its log ends.
Message RemarkTo(const Core& leader, Index last, Term term) {
  Message remark;
  remark.kind = MessageKind::kAppendReply;
  remark.from = NodeId(2);
  remark.to = leader.id();
  remark.term = leader.term();
  remark.reject = true;
  remark.force = true;
  remark.hint_index = last;
  remark.hint_term = term;
  return remark;
}

// On an idle cluster: the heartbeat's answer is what tells the leader.
TEST(Refill, AnIdleLeaderRefills) {
  Cluster cluster(3);
  cluster.Elect(1);
  cluster.Commit(1, "a");
  cluster.Commit(1, "b");
  cluster.Damage(2, 3);
  ASSERT_TRUE(cluster[2].refilling());
  cluster.Tick(1, 2);  // one heartbeat
  cluster.Deliver();
  EXPECT_FALSE(cluster[2].refilling());
  EXPECT_EQ(cluster[2].log().last(), cluster[1].log().last());
}

TEST(Refill, NeitherVotesNorCampaigns) {
  Cluster cluster(3);
  cluster.Elect(1);
  cluster.Commit(1, "a");
  cluster.Damage(2, 3);
  cluster.Isolate(1);
  cluster.TickAll(100);
  EXPECT_NE(cluster[2].role(), Role::kLeader);
  EXPECT_NE(cluster[3].role(), Role::kLeader);
  EXPECT_TRUE(cluster[2].refilling());
}

// What is left of a damaged log may end in entries that had been replaced before the damage. The
// commit index, remembered or the leader's, is not about them.
TEST(Refill, AReplacedTailIsNotCommitted) {
  RecoveredState found;
  found.hard_state = {Term(2), NodeId(1), Index(3)};
  found.first = Index(1);
  found.last = Index(3);
  found.term_starts = {{Index(1), Term(1)}};  // 2 and 3 had been replaced by entries of term 2
  found.refill_term = Term(2);
  found.refill_index = Index(3);
  Bootstrap bootstrap = BootstrapLog(Voters({1, 2, 3}), "");
  found.config_entries = {bootstrap.entry};
  ModelDisk disk(bootstrap);
  Options options;
  options.id = NodeId(2);
  Result<std::unique_ptr<Core>> core = Core::Create(options, found, disk);
  ASSERT_TRUE(core.ok());
  EXPECT_EQ(core.value()->log().commit(), Index(0));
  Message heartbeat;
  heartbeat.kind = MessageKind::kHeartbeat;
  heartbeat.from = NodeId(1);
  heartbeat.to = NodeId(2);
  heartbeat.term = Term(2);
  heartbeat.commit = Index(3);
  core.value()->Step(heartbeat);
  EXPECT_EQ(core.value()->log().commit(), Index(0));
  Output out = core.value()->TakeOutput();
  EXPECT_TRUE(out.committed.empty());
}

// And the leader must not take its end for a place where the logs agree.
TEST(Refill, TheLeaderBelievesTermsNotIndexes) {
  Cluster cluster(3);
  cluster.Elect(1);
  cluster.Commit(1, "a");
  cluster.Commit(1, "b");
  Index last = cluster[1].log().last();
  ASSERT_EQ(cluster[1].progress().at(NodeId(2)).match, last);
  cluster[1].Step(RemarkTo(cluster[1], last - 1, Term(1)));  // there the leader has another term
  EXPECT_EQ(cluster[1].progress().at(NodeId(2)).match, Index(0));
  EXPECT_EQ(cluster[1].progress().at(NodeId(2)).next, Index(2));  // the founding entry agrees
}

// Nor a longer log, or one of the same length, that ends in an older term: what it had confirmed of
// the newer one is gone, and nothing but another look further down brings it back.
TEST(Refill, AReplacedTailIsNotWhatWasConfirmed) {
  for (uint64_t beyond : {0, 38}) {
    Cluster cluster(3);
    cluster.Elect(1);
    cluster.Elect(3);
    Index last = cluster[3].log().last();
    ASSERT_EQ(cluster[3].progress().at(NodeId(2)).match, last);
    cluster[3].Step(RemarkTo(cluster[3], last + beyond, cluster[1].log().TermAt(last - 1)));
    EXPECT_EQ(cluster[3].progress().at(NodeId(2)).match, Index(0));
    EXPECT_EQ(cluster[3].progress().at(NodeId(2)).next, last);
  }
}

// A vote that is lost with the log must not be given a second time.
TEST(Refill, TheVoteOfItsTermCountsAsGiven) {
  RecoveredState found;
  found.hard_state = {Term(1), NodeId(), Index(1)};
  found.first = Index(1);
  found.last = Index(1);
  found.term_starts = {{Index(1), Term(1)}};
  found.refill_term = Term(4);
  found.refill_index = Index(7);
  Bootstrap bootstrap = BootstrapLog(Voters({1, 2, 3}), "");
  found.config_entries = {bootstrap.entry};
  ModelDisk disk(bootstrap);
  Options options;
  options.id = NodeId(2);
  Result<std::unique_ptr<Core>> core = Core::Create(options, found, disk);
  ASSERT_TRUE(core.ok());
  EXPECT_EQ(core.value()->term(), Term(4));
  EXPECT_EQ(core.value()->vote(), NodeId(2));
}

}  // namespace
}  // namespace pgquorum::raft::test
