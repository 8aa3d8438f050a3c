#include "bgworkers/failover/lease.h"

#include <gtest/gtest.h>

#include "bgworkers/failover/test/fixture.h"

namespace pgquorum::failover {
namespace {

const Settings kSettings;
const Voters kThree{7, {kA, kB, kC}, {}};
constexpr Epoch kEpoch{3, 5};
constexpr TimeNs kStart = 1'000'000 * kMs;

LeaseGrant GrantOf(NodeId from, const LeaseRequest& request) {
  return Grant(from, request, Epoch(), kThree);
}

TEST(Lease, CountsFromSendOfAMajority) {
  LeaseHolder holder(kA);
  EXPECT_FALSE(holder.Poll(kSettings, kThree, kStart));
  holder.Want(kEpoch, BootId(1));
  LeaseRequest request = *holder.Poll(kSettings, kThree, kStart);
  holder.OnGrant(GrantOf(kA, request), kStart);
  EXPECT_EQ(holder.Deadline(kSettings, kThree), 0);
  holder.OnGrant(GrantOf(kB, request), kStart + 1500 * kMs);  // late: still from send
  EXPECT_EQ(holder.Deadline(kSettings, kThree), kStart + kSettings.lease_duration);
}

TEST(Lease, JointMembershipNeedsBothMajorities) {
  LeaseHolder holder(kA);
  Voters joint{8, {kA, kB, kC}, {NodeId(4), NodeId(5), kA}};
  holder.Want(kEpoch, BootId(1));
  LeaseRequest request = *holder.Poll(kSettings, joint, kStart);
  for (NodeId node : {kA, kB, kC}) {
    holder.OnGrant(Grant(node, request, Epoch(), joint), kStart);
  }
  EXPECT_EQ(holder.Deadline(kSettings, joint), 0);
  holder.OnGrant(Grant(NodeId(4), request, Epoch(), joint), kStart);
  EXPECT_NE(holder.Deadline(kSettings, joint), 0);
}

TEST(Lease, PollsEachQuarterAndAtOnceAfterAMembershipChange) {
  LeaseHolder holder(kA);
  holder.Want(kEpoch, BootId(1));
  EXPECT_TRUE(holder.Poll(kSettings, kThree, kStart));
  EXPECT_FALSE(holder.Poll(kSettings, kThree, kStart + 499 * kMs));
  EXPECT_TRUE(holder.Poll(kSettings, kThree, kStart + 500 * kMs));
  Voters changed = kThree;
  changed.version = 9;
  EXPECT_TRUE(holder.Poll(kSettings, changed, kStart + 501 * kMs));
}

TEST(Lease, AnotherLeadershipForgets) {
  LeaseHolder holder(kA);
  holder.Want(kEpoch, BootId(1));
  LeaseRequest request = *holder.Poll(kSettings, kThree, kStart);
  holder.OnGrant(GrantOf(kA, request), kStart);
  holder.OnGrant(GrantOf(kB, request), kStart);
  EXPECT_NE(holder.Deadline(kSettings, kThree), 0);
  holder.Want(kEpoch, BootId(2));
  EXPECT_EQ(holder.Deadline(kSettings, kThree), 0);
  holder.OnGrant(GrantOf(kB, request), kStart);  // of the boot before
  EXPECT_EQ(holder.Deadline(kSettings, kThree), 0);
  holder.Drop();
  EXPECT_FALSE(holder.wanted());
}

TEST(Lease, GranterRefuses) {
  LeaseRequest request{kA, BootId(1), kEpoch, 7, 1};
  EXPECT_TRUE(Grant(kB, request, kEpoch, kThree).granted);
  EXPECT_FALSE(Grant(kB, request, Epoch{4, 5}, kThree).granted);  // a revoke in its log
  Voters newer = kThree;
  newer.version = 8;
  EXPECT_FALSE(Grant(kB, request, kEpoch, newer).granted);
}

TEST(Lease, MessagesSurviveTheWire) {
  LeaseRequest request{kA, BootId(1), kEpoch, 7, 1};
  EXPECT_EQ(DecodeLeaseRequest(Encode(request)).value(), request);
  LeaseGrant grant = GrantOf(kB, request);
  EXPECT_EQ(DecodeLeaseGrant(Encode(grant)).value(), grant);
  std::string bytes = Encode(grant);
  EXPECT_TRUE(DecodeLeaseGrant(bytes + "newer field").ok());
  EXPECT_EQ(DecodeLeaseGrant(bytes.substr(0, 9)).status().sqlstate(), "22P03");
  bytes[0] = 9;
  EXPECT_EQ(DecodeLeaseGrant(bytes).status().sqlstate(), "0A000");
}

TEST(Report, SurvivesTheWireAndOlderOnesAreDropped) {
  NodeReport report;
  report.node = kB;
  report.worker = 4;
  report.sequence = 10;
  report.pledge_position = Position{Timeline(2), Lsn(5)};
  report.history = {{{Timeline(1), Lsn(3)}}, Timeline(2), Lsn(5)};
  report.state = "pledged";
  report.whole = true;
  report.pending_restart = false;
  std::string bytes = Encode(report);
  EXPECT_EQ(DecodeNodeReport(bytes).value(), report);
  EXPECT_EQ(DecodeNodeReport(bytes + "more").value(), report);  // of a newer version
  EXPECT_FALSE(DecodeNodeReport(bytes.substr(0, bytes.size() - 1)).ok());
  NodeReport older = report;
  older.whole = false;
  older.pending_restart = std::nullopt;
  EXPECT_EQ(DecodeNodeReport(bytes.substr(0, bytes.size() - 3)).value(), older);
  EXPECT_FALSE(DecodeNodeReport(Encode(report).substr(0, 40)).ok());
  PeerView view;
  EXPECT_TRUE(Accept(view, report, 5));
  EXPECT_FALSE(Accept(view, report, 6));
  report.sequence = 1;
  EXPECT_FALSE(Accept(view, report, 7));
  report.worker = 5;  // restarted
  EXPECT_TRUE(Accept(view, report, 8));
}

}  // namespace
}  // namespace pgquorum::failover
