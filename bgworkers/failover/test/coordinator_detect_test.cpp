// Is the primary gone?
#include "bgworkers/failover/coordinator.h"

#include <gtest/gtest.h>

#include "bgworkers/failover/test/coordinator_fixture.h"

namespace pgquorum::failover {
namespace {

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

}  // namespace
}  // namespace pgquorum::failover
