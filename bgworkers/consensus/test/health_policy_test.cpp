#include "bgworkers/consensus/health_policy.h"

#include <gtest/gtest.h>

#include "base/pure.h"

namespace pgquorum::consensus {
namespace {

using failover::ClusterState;
using failover::kMs;
using failover::NodeId;
using failover::NodeReport;
using failover::PeerView;
using failover::PgState;
using failover::Position;

constexpr failover::TimeNs kNow = 1'000'000 * kMs;

// Two data members; node 1 is the settled primary on timeline 2.
class HealthPolicy : public ::testing::Test {
 protected:
  HealthPolicy() {
    failover::CreateCluster create;
    create.name = "c";
    create.cluster_id = 9;
    create.system_identifier = 5;
    create.first = Info("node1", 1);
    create.timeline = failover::Timeline(1);
    Must(create);
    failover::IssueToken token{std::string(32, 't'), 1'000'000, failover::MemberKind::kData, 1};
    Must(token);
    failover::AddMember add;
    add.token_hash = token.token_hash;
    add.info = Info("node2", 2);
    add.now_us = 2;
    Must(add);
    failover::Resume resume;
    resume.epoch = cluster_.highest_epoch();
    resume.node = NodeId(1);
    resume.boot = failover::BootId(7);
    resume.timeline_floor = failover::Timeline(1);
    Must(resume);
    timeline_ = cluster_.appointment().timeline;
    failover::Settle settle{cluster_.highest_epoch(), failover::BootId(7), timeline_, 3};
    Must(settle);

    NodeReport primary;
    primary.node = NodeId(1);
    primary.pg = PgState::kPrimary;
    primary.gate_open = true;
    primary.history.timeline = timeline_;
    primary.history.end = failover::Lsn(1000);
    primary_.report = primary;
    primary_.received_at = kNow;

    NodeReport standby;
    standby.node = NodeId(2);
    standby.pg = PgState::kStandby;
    standby.receiver_running = true;
    standby.upstream = NodeId(1);
    standby.receive_timeline = timeline_;
    standby.receive_lsn = failover::Lsn(900);
    standby_.report = standby;
    standby_.received_at = kNow;
  }

  static failover::MemberInfo Info(const char* name, uint16_t n) {
    failover::MemberInfo info;
    info.name = name;
    info.listen_host = info.raft_host = "h" + std::to_string(n);
    info.listen_port = 5432;
    info.raft_port = 7432;
    return info;
  }
  void Must(const failover::Command& command) {
    failover::ApplyResult result = cluster_.Apply(++index_, command);
    ASSERT_TRUE(result.status.ok()) << result.status.ToString();
  }
  HealthVerdict Judge(uint64_t node) {
    return JudgeHealth(
        {cluster_, NodeId(node), node == 1 ? &primary_ : &standby_, &primary_, kNow});
  }

  ClusterState cluster_;
  uint64_t index_ = 0;
  failover::Timeline timeline_;
  PeerView primary_;
  PeerView standby_;
};

TEST_F(HealthPolicy, SettledPrimaryAndStreamingStandbyAreHealthy) {
  EXPECT_EQ(Judge(1).health, Health::kHealthy);
  EXPECT_EQ(Judge(1).score, 100);
  HealthVerdict standby = Judge(2);
  EXPECT_EQ(standby.health, Health::kHealthy) << standby.reason;
  EXPECT_EQ(standby.lag_bytes, 100);
}

TEST_F(HealthPolicy, StandbyMoreThanTwoSecondsBehindIsDegraded) {
  standby_.report->replay_lag_ms = 2000;
  EXPECT_EQ(Judge(2).health, Health::kHealthy);
  standby_.report->replay_lag_ms = 2001;
  EXPECT_EQ(Judge(2).health, Health::kDegraded);
}

TEST_F(HealthPolicy, StandbyThatLacksMuchWalIsDegraded) {
  primary_.report->history.end = failover::Lsn(900 + kHealthyLagBytes);
  EXPECT_EQ(Judge(2).health, Health::kHealthy);
  primary_.report->history.end = failover::Lsn(901 + kHealthyLagBytes);
  EXPECT_EQ(Judge(2).health, Health::kDegraded);
}

TEST_F(HealthPolicy, StandbyOnAnOldTimelineIsDegraded) {
  standby_.report->receive_timeline = failover::Timeline(1);
  EXPECT_EQ(Judge(2).health, Health::kDegraded);
}

TEST_F(HealthPolicy, StandbyThatDoesNotStreamIsDegradedAndItsLagUnknown) {
  standby_.report->receiver_running = false;
  EXPECT_EQ(Judge(2).health, Health::kDegraded);
  EXPECT_EQ(Judge(2).lag_ms, -1);
  EXPECT_EQ(Judge(2).lag_bytes, -1);
}

TEST_F(HealthPolicy, PrimaryWithoutItsLeaseIsFenced) {
  primary_.report->gate_open = false;
  EXPECT_EQ(Judge(1).health, Health::kFenced);
}

TEST_F(HealthPolicy, WriterThatNobodyAppointedIsFenced) {
  standby_.report->pg = PgState::kPrimary;
  EXPECT_EQ(Judge(2).health, Health::kFenced);
}

TEST_F(HealthPolicy, SilenceIsUnknownAndARefusedListenerIsFailed) {
  standby_.received_at = kNow - 3000 * kMs;
  EXPECT_EQ(Judge(2).health, Health::kUnknown);
  EXPECT_EQ(Judge(2).score, -1);
  standby_.reset_at = kNow - 10 * kMs;
  standby_.listener_refused = true;
  EXPECT_EQ(Judge(2).health, Health::kFailed);
  EXPECT_EQ(JudgeHealth({cluster_, NodeId(2), nullptr, &primary_, kNow}).health, Health::kUnknown);
}

TEST_F(HealthPolicy, AWitnessThatReportsIsHealthy) {
  failover::IssueToken token{std::string(32, 'w'), 1'000'000, failover::MemberKind::kWitness, 1};
  Must(token);
  failover::AddMember add;
  add.token_hash = token.token_hash;
  add.info = Info("witness", 3);
  add.info.kind = failover::MemberKind::kWitness;
  add.now_us = 2;
  Must(add);
  PeerView view;
  view.report = NodeReport();
  view.report->node = NodeId(3);
  view.received_at = kNow;
  auto judge = [&] { return JudgeHealth({cluster_, NodeId(3), &view, &primary_, kNow}).health; };
  EXPECT_EQ(judge(), Health::kHealthy);
  view.reset_at = kNow - 10 * kMs;
  view.listener_refused = true;
  EXPECT_EQ(judge(), Health::kFailed);
}

TEST_F(HealthPolicy, AWarningDegradesWhatIsHealthyOtherwise) {
  primary_.report->warning = standby_.report->warning = "the node's certificate expires tomorrow";
  EXPECT_EQ(Judge(1).health, Health::kDegraded);
  EXPECT_EQ(Judge(1).reason, "the node's certificate expires tomorrow");
  standby_.report->receiver_running = false;
  EXPECT_EQ(Judge(2).reason, "it does not stream from the primary");
}

TEST_F(HealthPolicy, QuarantinedNodeIsFencedWithItsReason) {
  standby_.report->repair = failover::Repair::kQuarantined;
  standby_.report->detail = "the pledge file is damaged";
  EXPECT_EQ(Judge(2).health, Health::kFenced);
  EXPECT_EQ(Judge(2).reason, "the pledge file is damaged");
}

}  // namespace
}  // namespace pgquorum::consensus
