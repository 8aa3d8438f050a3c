#include "bgworkers/failover/agent.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "bgworkers/failover/test/agent_bench.h"

namespace pgquorum::failover {
namespace {

using Bench = AgentBench;

TEST(Agent, FollowsOnlyAfterComparingHistories) {
  Bench b;
  EXPECT_EQ(b.Step(), AgentState::kWaiting);
  b.PrimaryReports();
  b.facts.replay_settled = false;
  EXPECT_EQ(b.Step(), AgentState::kWaiting);  // the own position is not known yet
  EXPECT_TRUE(b.Wants<SettleReplay>());
  b.facts.replay_settled = true;
  EXPECT_EQ(b.Step(), AgentState::kFollowing);
  ASSERT_TRUE(b.Wants<SetUpstream>());
  EXPECT_EQ(ToString(b.out.actions[0]), "follow 1 as node2.t2");
}

TEST(Agent, AdmitsClientsWhenPastItsOwnOldEnd) {
  Bench b;
  b.Follow();
  EXPECT_TRUE(b.Wants<Admit>());
  Bench behind;
  behind.PrimaryReports();
  behind.Step();
  behind.facts.upstream = kA;
  behind.facts.upstream_timeline = Timeline(2);
  behind.facts.receiver_running = true;
  behind.facts.receive_timeline = Timeline(2);
  behind.facts.receive_lsn = Lsn(400);
  behind.Step();
  EXPECT_FALSE(behind.Wants<Admit>());
}

TEST(Agent, PledgesInOrder) {
  Bench b;
  b.Follow();
  b.log.RevokeIt();
  EXPECT_EQ(b.Step(), AgentState::kRecruitStop);
  EXPECT_TRUE(b.Wants<ClearUpstream>());
  EXPECT_TRUE(b.Wants<StopReceiver>());
  EXPECT_FALSE(b.Wants<WritePledge>());
  EXPECT_FALSE(b.out.report.pledge_position);
  b.facts.upstream = NodeId();
  EXPECT_EQ(b.Step(), AgentState::kRecruitStop);  // the receiver still runs
  b.facts.receiver_running = false;
  EXPECT_EQ(b.Step(), AgentState::kRecruitSettle);
  EXPECT_TRUE(b.Wants<SettleReplay>());
  b.facts.replay_settled = true;
  EXPECT_EQ(b.Step(), AgentState::kRecruitPledge);
  EXPECT_TRUE(b.Wants<WritePledge>());
  EXPECT_FALSE(b.out.report.pledge_position);
  b.facts.pledge_epoch = b.log.epoch();
  EXPECT_EQ(b.Step(), AgentState::kPledged);
  EXPECT_EQ(b.out.report.pledge_position, (Position{Timeline(2), Lsn(500)}));
  EXPECT_TRUE(b.out.report_now);
  b.log.RevokeIt(Reason::kForced);
  EXPECT_EQ(b.Step(), AgentState::kRecruitPledge);
  EXPECT_FALSE(b.out.report.pledge_position);
}

TEST(Agent, RecruitingEndsWithAnAppointment) {
  for (int stage = 0; stage < 3; ++stage) {
    Bench b;
    b.Follow();
    b.log.RevokeIt();
    b.Step();
    if (stage > 0) {
      b.facts.upstream = NodeId();
      b.facts.receiver_running = false;
      b.Step();
    }
    if (stage > 1) {
      b.facts.replay_settled = true;
      b.Step();
    }
    b.log.Apply(b.log.AppointmentOf(kC, {kB, kC}, 1));
    EXPECT_EQ(b.Step(), AgentState::kWaiting) << stage;
  }
}

TEST(Agent, LeadsThroughTheBarrier) {
  Bench b;
  b.Lead();
  EXPECT_EQ(b.out.lease_epoch, b.log.epoch());
  b.lease = b.now;
  b.Step();
  EXPECT_TRUE(b.Wants<CloseGate>());
  b.facts.gate_open = false;
  b.lease = b.now + 2000 * kMs;
  b.Step();
  EXPECT_TRUE(b.Wants<OpenGate>());  // renewed in the same epoch
}

// A standby that has just been copied has nothing to receive while nobody writes.
TEST(Agent, WritesForAStandbyThatAwaitsItsFirstWal) {
  Bench b;
  b.Lead();
  auto report = [&b](Timeline received) {
    NodeReport r;
    r.node = kC;
    r.pg = PgState::kStandby;
    r.receiver_running = true;
    r.upstream = b.self;
    r.upstream_timeline = b.log.state.appointment().timeline;
    r.receive_timeline = received;
    b.peers[kC].report = r;
    b.peers[kC].connected = true;
    b.peers[kC].received_at = b.now;
  };
  auto nudges_within = [&](TimeNs time, Timeline received) {
    int nudges = 0;
    for (TimeNs end = b.now + time; b.now < end;) {
      report(received);
      b.lease = b.now + 2000 * kMs;
      EXPECT_EQ(b.Step(), AgentState::kPrimary);
      nudges += b.Wants<NudgeStandbys>() ? 1 : 0;
    }
    return nudges;
  };
  EXPECT_EQ(nudges_within(90 * kMs, Timeline()), 0);  // it connects
  EXPECT_LE(b.out.wake_at, b.now + 100 * kMs);
  EXPECT_EQ(nudges_within(60 * kMs, Timeline()), 1);
  // It may not have been connected then; one that never connects costs little.
  EXPECT_EQ(nudges_within(60'000 * kMs, Timeline()), 9);
  EXPECT_EQ(nudges_within(20'000 * kMs, b.log.state.appointment().timeline), 0);
  EXPECT_EQ(nudges_within(150 * kMs, Timeline(2)), 1);  // another one, at once
}

TEST(Agent, LastingLossOfTheLeaseDemotes) {
  Bench b;
  b.Lead();
  b.lease = b.now;
  b.Step();
  b.now += 11'000 * kMs;
  EXPECT_EQ(b.Step(), AgentState::kDemoting);
  EXPECT_TRUE(b.Wants<DemoteRestart>());
}

TEST(Agent, RevokedPrimaryClosesItsGateAndDemotes) {
  Bench b;
  b.Lead();
  b.log.RevokeIt();
  EXPECT_EQ(b.Step(), AgentState::kDemoting);
  ASSERT_GE(b.out.actions.size(), 2u);
  EXPECT_TRUE(std::holds_alternative<CloseGate>(b.out.actions.front()));
  EXPECT_TRUE(std::holds_alternative<DemoteRestart>(b.out.actions.back()));
  b.facts.boot = BootId(99);
  b.facts.pg = PgState::kStandby;
  b.facts.gate_open = false;
  b.facts.replay_settled = true;
  EXPECT_EQ(b.Step(), AgentState::kRecruitPledge);
}

TEST(Agent, StaleAppointmentIsNotObeyed) {
  Bench b;
  b.Pledge();
  Appoint appoint = b.log.AppointmentOf(kB, {kB, kC}, 1);
  appoint.boot = BootId(1);  // an earlier start
  b.log.Apply(appoint);
  EXPECT_EQ(b.Step(), AgentState::kResuming);
  EXPECT_FALSE(b.Wants<Promote>());
  EXPECT_TRUE(b.out.report.wants_resume);
  b.log.Apply(Resume{b.log.epoch(), kB, b.facts.boot, Timeline(), 0});
  EXPECT_EQ(b.Step(), AgentState::kPreparing);
}

TEST(Agent, SupersededBeforeThePromotion) {
  Bench b;
  b.Pledge();
  Appoint appoint = b.log.AppointmentOf(kB, {kB, kC}, 1);
  appoint.boot = b.facts.boot;
  b.log.Apply(appoint);
  EXPECT_EQ(b.Step(), AgentState::kPreparing);
  b.log.RevokeIt();
  EXPECT_EQ(b.Step(), AgentState::kRecruitPledge);
}

TEST(Agent, NeverPromotesBehindTheForkOfItsAppointment) {
  Bench b;
  b.Pledge();
  Appoint appoint = b.log.AppointmentOf(kB, {kB, kC}, 1);
  appoint.boot = b.facts.boot;
  appoint.position.lsn = Lsn(501);
  b.log.Apply(appoint);
  b.facts.list_epoch = b.log.epoch();
  EXPECT_EQ(b.Step(), AgentState::kPreparing);
  EXPECT_NE(b.agent.detail(), "");
}

TEST(Agent, PromotionByHandIsMarkedThenDemoted) {
  Bench b;
  b.facts.pg = PgState::kPrimary;
  b.facts.history.timeline = Timeline(3);
  EXPECT_EQ(b.Step(), AgentState::kDemoting);
  EXPECT_TRUE(b.Wants<MarkForeignTimeline>());
  EXPECT_FALSE(b.Wants<DemoteRestart>());  // durable first
  b.facts.foreign_timeline = Timeline(3);
  b.Step();
  EXPECT_TRUE(b.Wants<DemoteRestart>());
  // After a second one the older mark stays: all above it does not count.
  b.facts.history = {{{Timeline(2), Lsn(500)}, {Timeline(3), Lsn(600)}}, Timeline(4), Lsn(700)};
  b.Step();
  EXPECT_FALSE(b.Wants<MarkForeignTimeline>());
}

TEST(Agent, RestartedWorkerWaitsForTheLogBeforeItJudges) {
  Bench b;
  b.facts.pg = PgState::kPrimary;
  b.facts.history.timeline = Timeline(3);
  b.facts.ordered_timeline = Timeline(3);
  b.current = false;
  EXPECT_EQ(b.Step(), AgentState::kStarting);
  b.now += 11'000 * kMs;
  EXPECT_EQ(b.Step(), AgentState::kDemoting);
  EXPECT_FALSE(b.Wants<MarkForeignTimeline>());
}

TEST(Agent, RestartedWorkerTakesUpItsState) {
  Bench follower;
  follower.facts.upstream = kA;
  follower.facts.upstream_timeline = Timeline(2);
  follower.facts.replay_settled = false;
  EXPECT_EQ(follower.Step(), AgentState::kFollowing);
  Bench b;
  b.Lead();
  b.agent = Agent(kB);
  EXPECT_EQ(b.Step(), AgentState::kPrimary);
  EXPECT_FALSE(b.Wants<CloseGate>());
}

TEST(Agent, DivergedNodeRewindsAfterLeavingTheVoters) {
  Bench b;
  b.facts.history = {{{Timeline(1), Lsn(100)}, {Timeline(2), Lsn(450)}}, Timeline(7), Lsn(600)};
  b.PrimaryReports();
  EXPECT_EQ(b.Step(), AgentState::kRepairing);
  EXPECT_FALSE(b.Wants<Rewind>());
  EXPECT_EQ(b.out.report.repair, Repair::kNeedsRewind);
  uint64_t version = b.log.state.rule().version;
  b.log.Apply(ChangeRule{b.log.epoch(), version, {kA, kB, kC}, 1, {kC}, 1, false});
  b.log.Apply(ChangeRule{b.log.epoch(), version + 1, {kA, kC}, 1, {kC}, 1, true});
  b.peers[kA].report->checkpointed = Timeline(1);
  b.Step();
  EXPECT_FALSE(b.Wants<Rewind>());  // not before the primary's checkpoint
  b.PrimaryReports();
  b.current = false;
  b.Step();
  EXPECT_FALSE(b.Wants<Rewind>());
  b.current = true;
  b.Step();
  EXPECT_TRUE(b.Wants<Rewind>());
  b.facts.repair_attempts = 3;
  b.Step();
  EXPECT_TRUE(b.Wants<Reclone>());
  EXPECT_EQ(b.out.report.repair, Repair::kNeedsReclone);
}

TEST(Agent, LeaveToRepairInPlace) {
  Bench b;
  b.facts.history = {{{Timeline(1), Lsn(100)}, {Timeline(2), Lsn(450)}}, Timeline(7), Lsn(600)};
  b.PrimaryReports();
  b.Step();
  b.log.Apply(AllowRepair{b.log.epoch(), kB});
  b.Step();
  EXPECT_TRUE(b.Wants<Rewind>());
}

TEST(Agent, RecycledWalNeedsAReclone) {
  Bench b;
  b.Follow();
  b.facts.stream_error = StreamError::kWalRecycled;
  EXPECT_EQ(b.Step(), AgentState::kRepairing);
  EXPECT_EQ(b.out.report.repair, Repair::kNeedsReclone);
}

TEST(Agent, SameTimelineBegunByHandNeedsAReclone) {
  Bench b;
  b.facts.foreign_timeline = Timeline(2);
  b.PrimaryReports();
  EXPECT_EQ(b.Step(), AgentState::kRepairing);
  EXPECT_EQ(b.out.report.repair, Repair::kNeedsReclone);
}

TEST(Agent, FetchesItsTailFromARecruit) {
  Bench b;
  b.Pledge();
  NodeReport source;
  source.node = kC;
  source.pledge_epoch = b.log.epoch();
  source.pledge_position = Position{Timeline(2), Lsn(700)};
  source.history = {{{Timeline(1), Lsn(100)}}, Timeline(2), Lsn(700)};
  b.peers[kC].report = source;
  b.log.Apply(FetchTail{b.log.epoch(), kB, kC, {Timeline(2), Lsn(700)}});
  EXPECT_EQ(b.Step(), AgentState::kFetching);
  EXPECT_TRUE(b.Wants<SetUpstream>());
  EXPECT_FALSE(b.out.report.pledge_position);
  b.facts.upstream = kC;
  b.facts.receiver_running = true;
  b.facts.receive_timeline = Timeline(2);
  b.facts.receive_lsn = Lsn(700);
  EXPECT_EQ(b.Step(), AgentState::kRecruitStop);
  Bench abandoned;
  abandoned.Pledge();
  abandoned.peers[kC].report = source;
  abandoned.log.Apply(FetchTail{abandoned.log.epoch(), kB, kC, {Timeline(2), Lsn(700)}});
  EXPECT_EQ(abandoned.Step(), AgentState::kFetching);
  abandoned.log.Apply(abandoned.log.AppointmentOf(kC, {kB, kC}, 1));
  EXPECT_EQ(abandoned.Step(), AgentState::kWaiting);
}

TEST(Agent, SwitchoverDrainsThenHandsOver) {
  Bench b;
  b.Lead();
  RequestFailover request;
  request.id = RequestId(5);
  request.target = kC;
  b.log.Apply(request);
  b.log.Apply(BeginDrain{request.id, b.log.epoch(), kC});
  EXPECT_EQ(b.Step(), AgentState::kDraining);
  EXPECT_TRUE(b.Wants<Checkpoint>());
  EXPECT_FALSE(b.Wants<CloseGate>());  // the checkpoint runs while clients write
  b.facts.checkpoint_tag = 5;
  b.Step();
  ASSERT_TRUE(b.Wants<CloseGate>());
  b.facts.gate_open = false;
  b.facts.commits_in_flight = 1;
  b.Step();
  EXPECT_FALSE(b.out.report.drained);
  b.facts.commits_in_flight = 0;
  b.Step();
  EXPECT_EQ(b.out.report.drained, request.id);
  Bench undone = b;
  undone.log.Apply(FinishRequest{request.id, RequestOutcome::kFailed, ""});
  EXPECT_EQ(undone.Step(), AgentState::kPrimary);
  EXPECT_TRUE(undone.Wants<OpenGate>());
  b.log.Apply(Revoke{b.log.epoch(), Reason::kSwitchover, request.id, 0, 0, false});
  EXPECT_EQ(b.Step(), AgentState::kHandingOver);
  EXPECT_TRUE(b.Wants<FastStop>());
  b.now += 1100 * kMs;
  EXPECT_EQ(b.Step(), AgentState::kDemoting);
}

TEST(Agent, SwitchoverTargetAwaitsTheLastBytes) {
  Bench b;
  b.Follow();
  RequestFailover request;
  request.id = RequestId(5);
  request.target = kB;
  b.log.Apply(request);
  b.log.Apply(Revoke{b.log.epoch(), Reason::kSwitchover, request.id, 0, 0, false});
  EXPECT_EQ(b.Step(), AgentState::kFollowing);
  Bench late = b;
  late.now += 1100 * kMs;
  EXPECT_EQ(late.Step(), AgentState::kRecruitStop);
  b.facts.receiver_streaming = false;  // another one tries to connect to the stopped server
  EXPECT_EQ(b.Step(), AgentState::kRecruitStop);
}

TEST(Agent, QuarantineWitnessAndRestart) {
  Bench b;
  b.facts.quarantine = "state directory is foreign";
  EXPECT_EQ(b.Step(), AgentState::kClosed);
  EXPECT_EQ(b.out.report.repair, Repair::kQuarantined);
  b.facts.quarantine.clear();
  EXPECT_EQ(b.Step(), AgentState::kWaiting);
  b.facts.boot = BootId(77);
  EXPECT_EQ(b.Step(), AgentState::kWaiting);  // by way of starting
  Bench witness;
  witness.facts = LocalFacts();
  witness.facts.witness = true;
  EXPECT_EQ(witness.Step(), AgentState::kWitness);
  EXPECT_TRUE(witness.out.actions.empty());
}

TEST(Agent, ActionsAreRepeatedOnlyAfterASecond) {
  Bench b;
  b.PrimaryReports();
  b.Step();
  EXPECT_TRUE(b.Wants<SetUpstream>());
  b.Step();
  EXPECT_FALSE(b.Wants<SetUpstream>());
  EXPECT_LE(b.out.wake_at, b.now + 1000 * kMs);
  b.now += 1000 * kMs;
  b.Step();
  EXPECT_TRUE(b.Wants<SetUpstream>());
}

TEST(Agent, TheTableIsSound) {
  std::set<AgentState> reached = {AgentState::kStarting};
  for (const Transition& t : Agent::Transitions()) {
    EXPECT_NE(t.from, t.to) << t.condition;
    reached.insert(t.to);
  }
  EXPECT_EQ(reached.size(), kAgentStates);
  std::ifstream readme(PGQUORUM_SOURCE_DIR "/bgworkers/failover/README.md");
  std::string text{std::istreambuf_iterator<char>(readme), {}};
  EXPECT_NE(text.find(Agent::DumpTransitions()), std::string::npos)
      << "bgworkers/failover/README.md shows another table than\n"
      << Agent::DumpTransitions();
}

}  // namespace
}  // namespace pgquorum::failover
