// The administrator's verbs.
#include "bgworkers/failover/coordinator.h"

#include <gtest/gtest.h>

#include "bgworkers/failover/test/coordinator_fixture.h"

namespace pgquorum::failover {
namespace {

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
              b.log.Apply(SetMemberState{kC, MemberState::kLeaving});
            }),
            "node node3 is leaving the cluster");
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

}  // namespace
}  // namespace pgquorum::failover
