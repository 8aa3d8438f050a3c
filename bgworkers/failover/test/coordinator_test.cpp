#include "bgworkers/failover/coordinator.h"

#include <gtest/gtest.h>

#include "bgworkers/failover/test/fixture.h"

namespace pgquorum::failover {
namespace {

// A coordinator on node 2 over a group of three whose primary is node 1.
struct Bench {
  Log log;
  Coordinator coordinator{kB};
  PeerViews peers;
  RaftView raft;
  TimeNs now = 1'000'000 * kMs;
  CoordinatorOutput out;
  uint64_t sequence = 0;

  Bench() {
    log.Group();
    raft.term = 4;
    raft.caught_up = true;
    raft.leader_since = now;
    raft.voters = {1, {kA, kB, kC}, {}};
    for (NodeId node : {kA, kB, kC}) {
      Report(node);
    }
  }
  NodeReport Normal(NodeId node) {
    const Appointment& app = log.state.appointment();
    NodeReport r;
    r.node = node;
    r.boot = node == app.node ? app.boot : BootId(20 + node.value());
    r.known_epoch = log.epoch();
    r.history = {{{Timeline(1), Lsn(100)}}, Timeline(2), Lsn(500)};
    if (node == app.node) {
      r.pg = PgState::kPrimary;
      r.history.timeline = app.timeline;
      r.gate_open = true;
      r.list_epoch = log.state.rule().epoch;
      r.list_version = log.state.rule().version;
      r.list_confirmed = true;
      r.checkpointed = app.timeline;
    } else {
      r.pg = PgState::kStandby;
      r.receiver_running = true;
      r.upstream = app.node;
      r.upstream_timeline = r.receive_timeline = app.timeline;
      r.receive_lsn = Lsn(500);
      r.receive_age_ms = 5000;
    }
    return r;
  }
  void Report(NodeReport r) {
    r.worker = 1;
    r.sequence = ++sequence;
    PeerView& view = peers[r.node];
    view.report = r;
    view.received_at = now;
    view.connected = true;
    view.reset_at = 0;
  }
  void Report(NodeId node) { Report(Normal(node)); }
  void Pledge(NodeId node, Position position) {
    NodeReport r = Normal(node);
    r.pg = PgState::kStandby;
    r.boot = BootId(20 + node.value());
    r.receiver_running = false;
    r.upstream = NodeId();
    r.pledge_epoch = log.epoch();
    r.pledge_position = position;
    r.history.timeline = position.timeline;
    r.history.end = position.lsn;
    Report(r);
  }
  void Step(TimeNs later = kMs) {
    now += later;
    out = coordinator.Step({log.state, peers, raft, now, 0});
  }
  template <typename T>
  const T* Proposed() const {
    for (const Command& command : out.proposals) {
      if (const T* c = std::get_if<T>(&command)) {
        return c;
      }
    }
    return nullptr;
  }
  template <typename T>
  void ApplyProposed() {
    const T* command = Proposed<T>();
    ASSERT_NE(command, nullptr) << out.waiting_for;
    ApplyResult result = log.Apply(*command);
    ASSERT_TRUE(result.status.ok()) << result.status.ToString();
  }
  void Kill(NodeId node) {
    peers[node].connected = false;
    peers[node].reset_at = now;
    peers[node].listener_refused = true;
  }
};

TEST(Coordinator, QuietWhenAllIsWell) {
  Bench b;
  b.Step();
  EXPECT_TRUE(b.out.proposals.empty());
  EXPECT_TRUE(b.out.raft_changes.empty());
  EXPECT_EQ(b.out.waiting_for, "");
}

TEST(Coordinator, DecidesNothingBeforeItCaughtUp) {
  Bench b;
  b.Kill(kA);
  b.raft.caught_up = false;
  b.Step();
  EXPECT_TRUE(b.out.proposals.empty());
}

TEST(Coordinator, DeadPostmasterIsEnoughEvidence) {
  Bench b;
  b.Kill(kA);
  b.Step();
  ASSERT_NE(b.Proposed<Revoke>(), nullptr);
  EXPECT_EQ(b.Proposed<Revoke>()->reason, Reason::kPostmasterGone);
  b.Step();
  EXPECT_EQ(b.Proposed<Revoke>(), nullptr);  // in flight
  b.Step(600 * kMs);
  EXPECT_NE(b.Proposed<Revoke>(), nullptr);  // perhaps lost
}

TEST(Coordinator, ResetAloneIsNotEvidence) {
  Bench b;
  b.Kill(kA);
  b.peers[kA].listener_refused = false;
  b.Step();
  EXPECT_EQ(b.Proposed<Revoke>(), nullptr);
}

TEST(Coordinator, MissedHeartbeatsAndCounterEvidence) {
  Bench b;
  b.now += 1100 * kMs;
  b.Report(kB);
  b.Report(kC);
  b.Step();
  ASSERT_NE(b.Proposed<Revoke>(), nullptr);
  EXPECT_EQ(b.Proposed<Revoke>()->reason, Reason::kHeartbeatsMissed);

  Bench receiving;
  receiving.now += 1100 * kMs;
  NodeReport c = receiving.Normal(kC);
  c.receive_age_ms = 5;
  receiving.Report(c);
  receiving.Report(kB);
  receiving.Step();
  EXPECT_EQ(receiving.Proposed<Revoke>(), nullptr);
  receiving.now += 2000 * kMs;  // at most one lease
  receiving.Report(c);
  receiving.Report(kB);
  receiving.Step();
  EXPECT_NE(receiving.Proposed<Revoke>(), nullptr);

  Bench stalled;
  stalled.now += 1100 * kMs;
  NodeReport own = stalled.Normal(kB);
  own.stalled_ms = 900;
  stalled.Report(own);
  stalled.Report(kC);
  stalled.Step();
  EXPECT_EQ(stalled.Proposed<Revoke>(), nullptr);
}

TEST(Coordinator, ThePrimarysOwnWord) {
  auto reason = [](void (*spoil)(NodeReport&)) {
    Bench b;
    NodeReport a = b.Normal(kA);
    spoil(a);
    b.Report(a);
    b.Step();
    return b.Proposed<Revoke>() != nullptr ? b.Proposed<Revoke>()->reason : Reason::kNone;
  };
  EXPECT_EQ(reason([](NodeReport& r) { r.listener_ok = false; }), Reason::kListenerDead);
  EXPECT_EQ(reason([](NodeReport& r) { r.wal_writable = false; }), Reason::kWalNotWritable);
  EXPECT_EQ(reason([](NodeReport& r) { r.wants_step_down = true; }), Reason::kStepDown);
  EXPECT_EQ(reason([](NodeReport& r) { r.repair = Repair::kQuarantined; }), Reason::kStepDown);
}

TEST(Coordinator, NoRevokeWithoutEnoughVoters) {
  Bench b;
  b.Kill(kA);
  b.Kill(kC);
  b.Step();
  EXPECT_EQ(b.Proposed<Revoke>(), nullptr);
  EXPECT_NE(b.out.waiting_for, "");
  Bench off;
  off.log.Apply(SetSetting{"pgquorum.automatic_failover", "off"});
  off.Kill(kA);
  off.Step();
  EXPECT_EQ(off.Proposed<Revoke>(), nullptr);
}

TEST(Coordinator, RestartedPrimaryResumes) {
  Bench b;
  NodeReport a = b.Normal(kA);
  a.pg = PgState::kStandby;
  a.boot = BootId(99);
  b.Report(a);
  b.Step();
  EXPECT_TRUE(b.out.proposals.empty());
  a.wants_resume = true;
  b.Report(a);
  b.Step();
  ASSERT_NE(b.Proposed<Resume>(), nullptr);
  EXPECT_EQ(b.Proposed<Resume>()->boot, BootId(99));
  Bench slow;
  slow.Report(a = [&] {
    NodeReport r = a;
    r.wants_resume = false;
    return r;
  }());
  slow.Step();
  slow.now += 1200 * kMs;
  slow.Report(a);
  slow.Report(kB);
  slow.Report(kC);
  slow.Step();
  ASSERT_NE(slow.Proposed<Revoke>(), nullptr);  // the restart drags on
}

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
  given_up.Pledge(kB, {Timeline(2), Lsn(500)});
  given_up.Pledge(kC, {Timeline(2), Lsn(600)});
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

TEST(Coordinator, DeadVoterLeavesSThenV) {
  Bench b;
  b.Kill(kC);
  b.Step();
  EXPECT_EQ(b.Proposed<ChangeRule>(), nullptr);
  b.now += 5100 * kMs;
  b.Report(kA);
  b.Report(kB);
  b.Step();
  b.ApplyProposed<ChangeRule>();
  EXPECT_EQ(b.log.state.rule().sync, (std::vector<NodeId>{kB}));
  EXPECT_TRUE(b.log.state.rule().IsVoter(kC));
  NodeReport a = b.Normal(kA);
  a.list_confirmed = false;
  b.Report(a);
  b.Step();
  EXPECT_EQ(b.Proposed<ChangeRule>(), nullptr);
  b.Report(kA);
  b.Step();
  b.ApplyProposed<ChangeRule>();
  EXPECT_FALSE(b.log.state.rule().IsVoter(kC));
  // Back again: into V and S.
  b.Report(kA);
  b.Report(kC);
  b.Step();
  b.ApplyProposed<ChangeRule>();
  EXPECT_TRUE(b.log.state.rule().IsVoter(kC));
}

TEST(Coordinator, BelowTheFloorLostVotersStay) {
  Bench b;
  b.Kill(kB);
  b.Kill(kC);
  b.Step();
  b.now += 5100 * kMs;
  b.Report(kA);
  b.Step();
  const ChangeRule* change = b.Proposed<ChangeRule>();
  ASSERT_NE(change, nullptr);
  EXPECT_EQ(change->n, 1u);
  EXPECT_EQ(change->g, 1u);
}

TEST(Coordinator, RepairInPlaceWhenVCannotSpareTheVoter) {
  Bench b;
  auto both = [&b] {
    for (NodeId node : {kB, kC}) {
      NodeReport r = b.Normal(node);
      r.repair = Repair::kNeedsReclone;
      r.receiver_running = false;
      b.Report(r);
    }
    NodeReport a = b.Normal(kA);
    a.list_confirmed = false;
    b.Report(a);
  };
  both();
  b.Step();
  EXPECT_EQ(b.Proposed<AllowRepair>(), nullptr);
  b.now += 5100 * kMs;
  both();
  b.Step();
  b.ApplyProposed<AllowRepair>();
  NodeId first = b.log.state.rule().repair;
  both();
  b.Step();
  EXPECT_EQ(b.Proposed<AllowRepair>(), nullptr);  // one at a time
  b.Report(first);
  b.Step();
  b.ApplyProposed<AllowRepair>();
  EXPECT_FALSE(b.log.state.rule().repair);
}

TEST(NextRule, GrowsThenConfirmsThenRaises) {
  Rule rule;
  rule.primary = kA;
  rule.voters = {kA};
  std::optional<ChangeRule> first = NextRule(rule, {kB, kA}, 1, false);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->n, 0u);
  EXPECT_EQ(first->g, 1u);
  rule.voters = first->voters;
  rule.sync = first->sync;
  rule.g = first->g;
  EXPECT_FALSE(NextRule(rule, {kA, kB}, 1, false));
  std::optional<ChangeRule> second = NextRule(rule, {kA, kB}, 1, true);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->n, 1u);
  EXPECT_TRUE(second->confirmed);
  rule.n = 1;
  EXPECT_FALSE(NextRule(rule, {kA, kB}, 1, true));
}

struct Switch : Bench {
  void Ask(NodeId target, RequestKind kind = RequestKind::kSwitchover) {
    RequestFailover r;
    r.id = RequestId(++ids);
    r.target = target;
    r.kind = kind;
    ASSERT_TRUE(log.Apply(r).status.ok());
    Step();
  }
  uint64_t ids = 100;
};

TEST(Coordinator, SwitchoverIsRefusedWithAReason) {
  auto refusal = [](void (*spoil)(Switch&)) {
    Switch b;
    spoil(b);
    b.Ask(kC);
    const FinishRequest* finish = b.Proposed<FinishRequest>();
    return finish != nullptr ? finish->detail : "not refused";
  };
  EXPECT_EQ(refusal([](Switch& b) { b.Kill(kC); }), "node node3 does not answer");
  EXPECT_EQ(refusal([](Switch& b) {
              NodeReport r = b.Normal(kC);
              r.wal_writable = false;
              b.Report(r);
            }),
            "node node3 is not healthy");
  EXPECT_EQ(refusal([](Switch& b) {
              NodeReport r = b.Normal(kC);
              r.receiver_running = false;
              b.Report(r);
            }),
            "node node3 does not stream from the primary");
  EXPECT_NE(refusal([](Switch& b) {
              NodeReport r = b.Normal(kA);
              r.history.end = Lsn(1 << 30);
              b.Report(r);
            }).find("lags"),
            std::string::npos);
  EXPECT_EQ(refusal([](Switch& b) {
              NodeReport r = b.Normal(kA);
              r.pg = PgState::kStandby;
              b.Report(r);
            }),
            "there is no settled primary to switch over from");
}

TEST(Coordinator, SwitchoverRevokesOnlyWhenTheTargetHasEverything) {
  Switch b;
  b.Ask(NodeId());  // any
  b.ApplyProposed<BeginDrain>();
  b.Step();
  EXPECT_TRUE(b.out.proposals.empty());
  NodeId target = b.log.state.PendingRequest()->verb.target;
  NodeReport a = b.Normal(kA);
  a.gate_open = false;
  a.drained = RequestId(b.ids);
  a.drained_lsn = Lsn(600);
  b.Report(a);
  b.Step();
  EXPECT_EQ(b.Proposed<Revoke>(), nullptr);
  Switch late = b;
  NodeReport r = b.Normal(target);
  r.receive_lsn = Lsn(600);
  b.Report(r);
  b.Step();
  ASSERT_NE(b.Proposed<Revoke>(), nullptr);
  EXPECT_EQ(b.Proposed<Revoke>()->reason, Reason::kSwitchover);
  late.now += 5100 * kMs;
  late.Report(a);
  late.Report(kB);
  late.Report(kC);
  late.Step();
  ASSERT_NE(late.Proposed<FinishRequest>(), nullptr);  // everything is undone
}

TEST(Coordinator, SwitchoverFailsWithItsTarget) {
  Switch b;
  b.Ask(kC);
  b.ApplyProposed<BeginDrain>();
  b.Kill(kC);
  b.Step();
  ASSERT_NE(b.Proposed<FinishRequest>(), nullptr);
  EXPECT_EQ(b.Proposed<FinishRequest>()->outcome, RequestOutcome::kFailed);
}

TEST(Coordinator, ForcedFailoverSkipsTheChecks) {
  Switch b;
  NodeReport r = b.Normal(kC);
  r.receiver_running = false;
  b.Report(r);
  b.Ask(kC, RequestKind::kForceFailover);
  ASSERT_NE(b.Proposed<Revoke>(), nullptr);
  EXPECT_EQ(b.Proposed<Revoke>()->reason, Reason::kForced);
}

TEST(Coordinator, AcceptedLossRecruitsWhoeverAnswers) {
  Bench b;
  RequestFailover request;
  request.id = RequestId(9);
  request.kind = RequestKind::kForceFailover;
  request.accept_loss = true;
  b.log.Apply(request);
  b.Step();
  b.ApplyProposed<Revoke>();
  b.Kill(kA);
  b.Kill(kC);
  b.Pledge(kB, {Timeline(2), Lsn(500)});
  b.Step();
  b.ApplyProposed<Appoint>();
  EXPECT_TRUE(b.log.state.appointment().wait_for_leases);
}

TEST(Coordinator, MembersJoinAndLeaveRaftInOrder) {
  Bench b;
  b.log.Apply(b.log.Token('d'));
  NodeId fourth = b.log.Apply(AddMember{std::string(32, 'd'), 0, Info("node4", 5004), 20}).node;
  b.Step();
  ASSERT_EQ(b.out.raft_changes.size(), 1u);
  EXPECT_EQ(b.out.raft_changes[0], (RaftChange{RaftChange::Kind::kAddLearner, fourth}));
  b.raft.learners = {fourth};
  b.raft.last_index = 1000;
  b.raft.match[fourth] = 10;
  b.Report(fourth);
  b.Step();
  EXPECT_TRUE(b.out.raft_changes.empty());  // far behind
  b.raft.match[fourth] = 990;
  b.Step();
  ASSERT_EQ(b.out.raft_changes.size(), 1u);
  EXPECT_EQ(b.out.raft_changes[0].kind, RaftChange::Kind::kPromote);
  b.raft.change_pending = true;
  b.Step();
  EXPECT_TRUE(b.out.raft_changes.empty());
  b.raft.change_pending = false;
  b.raft.learners.clear();
  b.raft.voters.current.push_back(fourth);
  b.Step();
  b.ApplyProposed<SetMemberState>();
  b.log.Apply(SetMemberState{fourth, MemberState::kLeaving});
  b.Step();
  ASSERT_EQ(b.out.raft_changes.size(), 1u);
  EXPECT_EQ(b.out.raft_changes[0].kind, RaftChange::Kind::kRemove);
  b.raft.voters.current.pop_back();
  b.Step();
  b.ApplyProposed<ForgetMember>();
}

TEST(Coordinator, LeavingVoterStaysInRaftUntilItLeftV) {
  Bench b;
  b.log.Apply(SetMemberState{kC, MemberState::kLeaving});
  b.Step();
  EXPECT_TRUE(b.out.raft_changes.empty());
  b.ApplyProposed<ChangeRule>();
  b.Report(kA);
  b.Step();
  b.ApplyProposed<ChangeRule>();
  EXPECT_FALSE(b.log.state.IsVoterOfAnyRule(kC));
  b.Step();
  ASSERT_EQ(b.out.raft_changes.size(), 1u);
  EXPECT_EQ(b.out.raft_changes[0], (RaftChange{RaftChange::Kind::kRemove, kC}));
}

}  // namespace
}  // namespace pgquorum::failover
