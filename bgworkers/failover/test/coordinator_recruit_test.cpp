// From the revoke to the settled appointment.
#include "bgworkers/failover/coordinator.h"

#include <gtest/gtest.h>

#include "bgworkers/failover/test/coordinator_fixture.h"

namespace pgquorum::failover {
namespace {

TEST(Coordinator, AppointsTheMostAdvancedOfAFullRecruit) {
  Bench b;
  b.log.RevokeIt();
  b.Kill(kA);
  b.Pledge(kB, {Timeline(2), Lsn(500)});
  b.Step();
  EXPECT_EQ(b.Proposed<Appoint>(), nullptr);  // |V| - n = 2
  EXPECT_NE(b.out.waiting_for.find("recruits"), std::string::npos);
  b.Pledge(kC, {Timeline(2), Lsn(600)});
  b.Step();
  ASSERT_NE(b.Proposed<Appoint>(), nullptr);
  EXPECT_EQ(b.Proposed<Appoint>()->node, kC);
  EXPECT_EQ(b.Proposed<Appoint>()->voters, (std::vector<NodeId>{kB, kC}));
  EXPECT_EQ(b.Proposed<Appoint>()->n, 1u);
  b.ApplyProposed<Appoint>();
}

// It could not leave any more.
TEST(Coordinator, ALeavingMemberIsThePrimaryOnlyWhenNobodyElseCan) {
  Bench b;
  b.log.Apply(SetMemberState{kB, MemberState::kLeaving});
  b.log.RevokeIt();
  b.Pledge(kB, {Timeline(2), Lsn(500)});
  b.Pledge(kC, {Timeline(2), Lsn(500)});
  b.Step();
  ASSERT_NE(b.Proposed<Appoint>(), nullptr) << b.out.waiting_for;
  EXPECT_EQ(b.Proposed<Appoint>()->node, kC);
}

// Until then it counts on nodes that are shut out.
TEST(Coordinator, AForcedMembershipBeginsItsGenerationBeforeAnythingElse) {
  Bench b;
  b.Kill(kA);
  b.raft.voters = {9, {kB}, {}};
  b.raft.forced = {77, {kB, NodeId(8)}, "alice"};
  b.Step();
  ASSERT_EQ(b.out.proposals.size(), 1u) << b.out.waiting_for;
  ASSERT_NE(b.Proposed<ForceQuorum>(), nullptr);
  EXPECT_EQ(b.Proposed<ForceQuorum>()->survivors, (std::vector<NodeId>{kB})) << "8 is no member";
  EXPECT_EQ(b.Proposed<ForceQuorum>()->requested_by, "alice");
  EXPECT_TRUE(b.out.raft_changes.empty());
  b.ApplyProposed<ForceQuorum>();
  EXPECT_EQ(b.log.epoch().generation, 77u);
  b.Step();
  EXPECT_EQ(b.Proposed<ForceQuorum>(), nullptr) << "once";
  EXPECT_NE(b.out.waiting_for.find("recruits"), std::string::npos);
}

TEST(Coordinator, AssignsAboveLeftoverHistoryFiles) {
  Bench b;
  b.log.RevokeIt();
  b.Kill(kA);
  b.Pledge(kB, {Timeline(2), Lsn(500)});
  b.Pledge(kC, {Timeline(2), Lsn(500)});
  b.peers[kC].report->newest_timeline = Timeline(9);  // of a history that nobody follows
  b.Step();
  ASSERT_NE(b.Proposed<Appoint>(), nullptr) << b.out.waiting_for;
  EXPECT_EQ(b.Proposed<Appoint>()->timeline_floor, Timeline(9));
  b.ApplyProposed<Appoint>();
  EXPECT_EQ(b.log.state.appointment().timeline, Timeline(10));
}

TEST(Coordinator, OneStrayHistoryFileCostsOnlyItsNode) {
  Bench b;
  b.log.RevokeIt();
  b.Kill(kA);
  b.Pledge(kB, {Timeline(2), Lsn(500)});
  b.Pledge(kC, {Timeline(2), Lsn(600)});
  b.peers[kC].report->newest_timeline = Timeline(2'000'000'000);
  b.Step();
  // The tail is on the stray node, and is fetched; the promotion is not its own.
  ASSERT_NE(b.Proposed<FetchTail>(), nullptr) << b.out.waiting_for;
  EXPECT_EQ(b.Proposed<FetchTail>()->node, kB);

  Bench resuming;
  NodeReport a = resuming.Normal(kA);
  a.pg = PgState::kStandby;
  a.boot = BootId(99);
  a.wants_resume = true;
  a.newest_timeline = Timeline(9);
  resuming.Report(a);
  resuming.Step();
  ASSERT_NE(resuming.Proposed<Resume>(), nullptr);
  EXPECT_EQ(resuming.Proposed<Resume>()->timeline_floor, Timeline(9));

  Bench stray;
  a.newest_timeline = Timeline(2'000'000'000);
  stray.Report(a);
  stray.Step();
  EXPECT_EQ(stray.Proposed<Resume>(), nullptr);
  EXPECT_NE(stray.out.waiting_for.find("too far ahead"), std::string::npos);
}

TEST(Coordinator, LaterTimelineBeatsLongerWal) {
  Bench b;
  b.log.RevokeIt();
  b.log.Apply(b.log.AppointmentOf(kB, {kB, kC}, 1));  // timeline 3
  b.log.RevokeIt(Reason::kAppointmentStuck);
  b.Kill(kB);
  NodeReport c = b.Normal(kC);
  b.Pledge(kA, {Timeline(2), Lsn(9000)});
  b.Pledge(kC, {Timeline(3), Lsn(600)});
  b.peers[kC].report->history = {
      {{Timeline(1), Lsn(100)}, {Timeline(2), Lsn(500)}}, Timeline(3), Lsn(600)};
  b.Step();
  ASSERT_NE(b.Proposed<Appoint>(), nullptr) << b.out.waiting_for;
  EXPECT_EQ(b.Proposed<Appoint>()->node, kC);
  // A diverged, but is needed to acknowledge.
  EXPECT_EQ(b.Proposed<Appoint>()->voters, (std::vector<NodeId>{kA, kC}));
}

// The only node with the last acknowledgement was promoted by hand: that tail does not count, and
// stays below the next timeline, unless another node was assigned its id.
TEST(Coordinator, TailBegunByHandStaysBelowTheNextTimeline) {
  Bench b;
  b.log.RevokeIt();
  b.Kill(kA);
  b.Pledge(kB, {Timeline(2), Lsn(600)});
  b.Pledge(kC, {Timeline(2), Lsn(500)});
  b.Kill(kC);
  NodeReport by_hand = *b.peers[kB].report;
  by_hand.history = {{{Timeline(1), Lsn(100)}, {Timeline(2), Lsn(600)}}, Timeline(3), Lsn(650)};
  b.Report(by_hand);
  b.log.Apply(SetSetting{"pgquorum.minimum_acks", "0"});
  b.Step();
  ASSERT_NE(b.Proposed<Appoint>(), nullptr) << b.out.waiting_for;
  EXPECT_EQ(b.Proposed<Appoint>()->node, kB);
  EXPECT_GE(b.Proposed<Appoint>()->timeline_floor, Timeline(3));

  b.log.Apply(b.log.AppointmentOf(kC, {kB, kC}, 1));  // timeline 3
  b.log.RevokeIt(Reason::kAppointmentStuck);
  by_hand.pledge_epoch = b.log.epoch();
  b.Report(by_hand);
  NodeReport c = *b.peers[kC].report;
  c.pledge_epoch = b.log.epoch();
  b.Report(c);
  b.Kill(kC);
  b.Step();
  EXPECT_EQ(b.Proposed<Appoint>(), nullptr);
  EXPECT_EQ(b.Proposed<FetchTail>(), nullptr);
}

TEST(Coordinator, PriorityFetchesTheTailFirst) {
  Bench b;
  MemberInfo preferred = b.log.state.FindMember(kB)->info;
  preferred.priority = 200;
  b.log.Apply(UpdateMember{kB, preferred});
  b.log.RevokeIt();
  b.Kill(kA);
  b.Pledge(kB, {Timeline(2), Lsn(500)});
  b.Pledge(kC, {Timeline(2), Lsn(600)});
  b.Step();
  b.ApplyProposed<FetchTail>();
  NodeReport fetching = b.Normal(kB);
  fetching.pledge_epoch = b.log.epoch();
  b.Report(fetching);
  b.Step();
  EXPECT_EQ(b.Proposed<Appoint>(), nullptr);  // goes on fetching
  Bench given_up = b;
  given_up.now += 2100 * kMs;
  given_up.Report(fetching);  // the source may not have that WAL any more
  given_up.Pledge(kC, {Timeline(2), Lsn(600)});
  given_up.Step();
  EXPECT_EQ(given_up.Proposed<Appoint>(), nullptr) << "without the one that fetches";
  given_up.ApplyProposed<FetchTail>();
  EXPECT_FALSE(given_up.log.state.recruiting()->fetch) << "called off: it takes part again";
  given_up.Pledge(kB, {Timeline(2), Lsn(500)});
  given_up.Step();
  ASSERT_NE(given_up.Proposed<Appoint>(), nullptr) << given_up.out.waiting_for;
  EXPECT_EQ(given_up.Proposed<Appoint>()->node, kC);
  b.Pledge(kB, {Timeline(2), Lsn(600)});
  b.Step();
  ASSERT_NE(b.Proposed<Appoint>(), nullptr) << b.out.waiting_for;
  EXPECT_EQ(b.Proposed<Appoint>()->node, kB);
}

struct Appointed : Bench {
  Appointed() {
    log.RevokeIt();
    Kill(kA);
    Pledge(kB, {Timeline(2), Lsn(500)});
    Pledge(kC, {Timeline(2), Lsn(500)});
    Step();
    ApplyProposed<Appoint>();
  }
  void Marker(NodeId node, Lsn lsn) {
    NodeReport r = Normal(node);
    r.boot = log.state.appointment().boot;
    r.marker = {log.state.appointment().timeline, lsn};
    Report(r);
  }
};

TEST(Coordinator, SettlesAfterTheBarrier) {
  Appointed b;
  NodeId winner = b.log.state.appointment().node;
  NodeId other = winner == kB ? kC : kB;
  b.Step();
  EXPECT_EQ(b.Proposed<Settle>(), nullptr);
  b.Marker(winner, Lsn(600));
  NodeReport r = b.Normal(other);
  r.receive_lsn = Lsn(599);
  b.Report(r);
  b.Step();
  EXPECT_EQ(b.Proposed<Settle>(), nullptr);
  r.receive_lsn = Lsn(600);
  r.receive_timeline = Timeline(2);
  b.Report(r);
  b.Step();
  EXPECT_EQ(b.Proposed<Settle>(), nullptr);  // flushed on another timeline
  r.receive_timeline = b.log.state.appointment().timeline;
  b.Report(r);
  b.Step();
  b.ApplyProposed<Settle>();
}

TEST(Coordinator, SupersedesAStuckAppointment) {
  Appointed b;
  NodeId winner = b.log.state.appointment().node;
  NodeId other = winner == kB ? kC : kB;
  b.Marker(winner, Lsn(600));
  b.Kill(other);
  NodeReport a = b.Normal(kA);
  a.receive_lsn = Lsn(600);
  b.Step();
  b.now += 2100 * kMs;
  b.Marker(winner, Lsn(600));
  b.Report(a);
  b.Step();
  ASSERT_NE(b.Proposed<Revoke>(), nullptr) << b.out.waiting_for;
  EXPECT_EQ(b.Proposed<Revoke>()->reason, Reason::kAppointmentStuck);
}

// Its only other member is being rewound, or copied, while the old primary answers again.
TEST(Coordinator, ARepairIsNotInterruptedBySuperseding) {
  Appointed b;
  NodeId winner = b.log.state.appointment().node;
  NodeId other = winner == kB ? kC : kB;
  NodeReport repairs = b.Normal(other);
  repairs.repair = Repair::kRunning;
  b.Report(repairs);
  b.Kill(other);
  b.Step();
  const TimeNs appointed_at = b.now;
  for (TimeNs at : {2100 * kMs, 4900 * kMs, 5100 * kMs}) {
    b.now = appointed_at + at;
    b.Marker(winner, Lsn(600));
    b.Report(kA);
    b.Step();
    // A voter that is away for dead_voter_timeout is given up, for whatever reason.
    EXPECT_EQ(b.Proposed<Revoke>() != nullptr, at > 5000 * kMs) << at / kMs << b.out.waiting_for;
  }
}

// The appointment's only other member is gone for good; the old primary is back, and has to be
// rewound. A new appointment can have it for its second member: this one never can.
TEST(Coordinator, ADivergedNodeTakesTheDeadOnesPlace) {
  for (bool whole : {false, true}) {
    Appointed b;
    NodeId winner = b.log.state.appointment().node;
    b.Kill(winner == kB ? kC : kB);
    NodeReport diverged = b.Normal(kA);
    diverged.repair = Repair::kNeedsRewind;
    diverged.whole = whole;
    b.Step();
    b.now += 2100 * kMs;
    b.Marker(winner, Lsn(600));
    b.Report(diverged);
    b.Step();
    // One whose repair was interrupted could not pledge.
    EXPECT_EQ(b.Proposed<Revoke>() != nullptr, whole) << b.out.waiting_for;
  }
}

TEST(Coordinator, WaitsOutTheLeaseWhereCommitsNeedNobody) {
  Bench b;
  b.log.Apply(SetSetting{"pgquorum.replication_mode", "async"});
  b.log.Apply(ChangeRule{b.log.epoch(), b.log.state.rule().version, {kA, kB, kC}, 0, {}, 0, false});
  b.log.RevokeIt();
  b.Kill(kA);
  b.Step();
  b.Pledge(kB, {Timeline(2), Lsn(500)});
  b.Step();
  EXPECT_EQ(b.Proposed<Appoint>(), nullptr);  // C answers: give it the time
  b.Pledge(kC, {Timeline(2), Lsn(500)});
  b.Step();
  b.ApplyProposed<Appoint>();
  const Appointment& app = b.log.state.appointment();
  EXPECT_TRUE(app.wait_for_leases);
  NodeReport r = b.Normal(app.node);
  r.boot = app.boot;
  r.marker = {app.timeline, Lsn(600)};
  b.Report(r);
  b.Step();
  EXPECT_EQ(b.Proposed<Settle>(), nullptr);
  EXPECT_NE(b.out.wake_at, kNever);
  Bench pledged = b;
  NodeReport old = pledged.Normal(kA);
  old.pledge_epoch = pledged.log.epoch();
  pledged.Report(old);
  pledged.Step();
  EXPECT_NE(pledged.Proposed<Settle>(), nullptr);
  b.now += 2200 * kMs;
  b.Report(r);
  b.Step();
  EXPECT_NE(b.Proposed<Settle>(), nullptr);
}

TEST(Coordinator, AsynchronousLagLimit) {
  Bench b;
  b.log.Apply(SetSetting{"pgquorum.replication_mode", "async"});
  b.log.Apply(SetSetting{"pgquorum.max_failover_lag", "10"});
  b.log.Apply(ChangeRule{b.log.epoch(), b.log.state.rule().version, {kA, kB, kC}, 0, {}, 0, false});
  b.log.RevokeIt();
  b.Pledge(kB, {Timeline(2), Lsn(400)});
  b.Pledge(kC, {Timeline(2), Lsn(400)});
  b.Kill(kA);
  b.Step();
  EXPECT_EQ(b.Proposed<Appoint>(), nullptr);
  EXPECT_NE(b.out.waiting_for.find("lags"), std::string::npos);
}

}  // namespace
}  // namespace pgquorum::failover
