#include "bgworkers/consensus/stream_policy.h"

#include <gtest/gtest.h>

#include "base/pure.h"

namespace pgquorum::consensus {
namespace {

using failover::BootId;
using failover::kMs;
using failover::Lsn;
using failover::NodeId;
using failover::StreamError;
using failover::Timeline;

constexpr uint32_t kSize = 16 << 20;
constexpr uint64_t kSegment = kSize;

// A standby that has replayed to the middle of segment 5 and asks for it from its start.
struct Bench {
  StreamJudge judge;
  StreamLook look;

  Bench() {
    look.now = 1'000'000 * kMs;
    look.upstream_set = true;
    look.segment_size = kSize;
    look.upstream_floor = Lsn(3 * kSegment);
    look.asked_from = Lsn(5 * kSegment);
    look.flushed = look.replayed = Lsn(5 * kSegment + 1000);
    look.replay_awaits_wal = true;
  }
  StreamError After(failover::TimeNs time) {
    look.now += time;
    return judge.Look(look);
  }
};

TEST(StreamJudge, RecycledOnlyBelowTheFloorAndForAWhile) {
  Bench b;
  EXPECT_EQ(b.After(0), StreamError::kNone);
  EXPECT_EQ(b.After(60'000 * kMs), StreamError::kNone);
  b.look.upstream_floor = Lsn(5 * kSegment);  // the very segment it asks for
  EXPECT_EQ(b.After(60'000 * kMs), StreamError::kNone);
  b.look.upstream_floor = Lsn(6 * kSegment);
  EXPECT_EQ(b.After(0), StreamError::kNone);
  EXPECT_EQ(b.After(900 * kMs), StreamError::kNone);
  EXPECT_EQ(b.After(200 * kMs), StreamError::kWalRecycled);
}

TEST(StreamJudge, WalThatStillArrivesIsNotRecycled) {
  Bench b;
  b.look.upstream_floor = Lsn(6 * kSegment);  // removed, but the sender has the file open
  for (int i = 0; i < 20; ++i) {
    b.look.flushed = Lsn(b.look.flushed.value() + 1000);
    EXPECT_EQ(b.After(500 * kMs), StreamError::kNone);
  }
}

TEST(StreamJudge, NoConclusionWhileLocalWalIsReplayed) {
  Bench b;
  b.look.upstream_floor = Lsn(9 * kSegment);
  b.look.asked_from = b.look.flushed = Lsn();  // a start: replay has not come to its end yet
  EXPECT_EQ(b.After(0), StreamError::kNone);
  EXPECT_EQ(b.After(60'000 * kMs), StreamError::kNone);
  b.look.asked_from = Lsn(9 * kSegment);  // local WAL went further than the control file said
  EXPECT_EQ(b.After(60'000 * kMs), StreamError::kNone);
}

TEST(StreamJudge, AnotherUpstreamIsJudgedAnew) {
  Bench b;
  b.look.upstream_floor = Lsn(6 * kSegment);
  b.After(0);
  EXPECT_EQ(b.After(2000 * kMs), StreamError::kWalRecycled);
  b.look.upstream_set = false;
  EXPECT_EQ(b.After(kMs), StreamError::kNone);
  b.look.upstream_set = true;
  EXPECT_EQ(b.After(kMs), StreamError::kNone);
}

TEST(StreamJudge, ReceiversInVainAreDivergence) {
  Bench b;
  b.look.flushed = Lsn(5 * kSegment + 9000);  // beyond the replay end
  StreamError error = StreamError::kNone;
  for (int pid = 100; pid < 100 + StreamJudge::kBarrenReceivers; ++pid) {
    EXPECT_EQ(error, StreamError::kNone);
    b.look.receiver_pid = pid;
    error = b.After(400 * kMs);
  }
  EXPECT_EQ(error, StreamError::kDiverged);
}

TEST(StreamJudge, ReceiversThatComeAndGoAreNotDivergence) {
  // A network that breaks connections: replay is at the end of what was received.
  Bench network;
  // Replay that waits for a query, or is paused.
  Bench held;
  held.look.flushed = Lsn(5 * kSegment + 9000);
  held.look.replay_awaits_wal = false;
  // Each receiver brings some more, which is replayed.
  Bench slow;
  for (int pid = 100; pid < 150; ++pid) {
    network.look.receiver_pid = held.look.receiver_pid = slow.look.receiver_pid = pid;
    slow.look.flushed = Lsn(slow.look.flushed.value() + 5000);
    EXPECT_EQ(network.After(400 * kMs), StreamError::kNone);
    EXPECT_EQ(held.After(400 * kMs), StreamError::kNone);
    EXPECT_EQ(slow.After(400 * kMs), StreamError::kNone);
    slow.look.replayed = Lsn(slow.look.flushed.value() - 100);
  }
}

class Admissions : public ::testing::Test {
 protected:
  // node1 is the settled primary of epoch 1 on timeline 2; node2 is its member.
  Admissions() {
    failover::CreateCluster create;
    create.name = "c";
    create.cluster_id = 9;
    create.system_identifier = 5;
    create.first.name = "node1";
    create.first.listen_host = create.first.raft_host = "10.0.0.1";
    create.first.listen_port = 1;
    create.first.raft_port = 1001;
    create.timeline = Timeline(1);
    Must(create);
    failover::Resume resume;
    resume.epoch = cluster_.highest_epoch();
    resume.node = NodeId(1);
    resume.boot = BootId(7);
    Must(resume);
    Must(failover::Settle{resume.epoch, BootId(7), cluster_.appointment().timeline, 0});
    own_ = {{{Timeline(1), Lsn(1000)}}, Timeline(2), Lsn(5000)};
    report_.node = NodeId(2);
    report_.history = {{}, Timeline(1), Lsn(900)};
  }
  void Must(const failover::Command& command) {
    failover::ApplyResult result = cluster_.ApplyEncoded(++index_, failover::Encode(command));
    ASSERT_TRUE(result.status.ok()) << result.status.ToString();
  }
  failover::ClusterState cluster_;
  uint64_t index_ = 0;
  failover::History own_;
  failover::NodeReport report_;
};

TEST_F(Admissions, ByHistory) {
  EXPECT_EQ(JudgeAdmission(cluster_, own_, nullptr), Admission::kUnknown);
  EXPECT_EQ(JudgeAdmission(cluster_, own_, &report_), Admission::kFits);
  report_.history.end = Lsn(1001);  // beyond where this history left timeline 1
  EXPECT_EQ(JudgeAdmission(cluster_, own_, &report_), Admission::kDiverged);
  report_.history = {{{Timeline(1), Lsn(900)}}, Timeline(2), Lsn(4000)};  // the id used twice
  EXPECT_EQ(JudgeAdmission(cluster_, own_, &report_), Admission::kDiverged);
  report_.history = own_;
  report_.history.end = Lsn(5100);  // received since the primary looked at itself
  EXPECT_EQ(JudgeAdmission(cluster_, own_, &report_), Admission::kFits);
}

TEST_F(Admissions, ByPledge) {
  report_.pledge_epoch = cluster_.highest_epoch();
  EXPECT_EQ(JudgeAdmission(cluster_, own_, &report_), Admission::kFits);
  // This node has not heard of the revoke yet.
  report_.pledge_epoch.number += 1;
  EXPECT_EQ(JudgeAdmission(cluster_, own_, &report_), Admission::kPledged);
}

}  // namespace
}  // namespace pgquorum::consensus
