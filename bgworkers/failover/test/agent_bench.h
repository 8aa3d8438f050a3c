// An agent at a bench: facts and the log are turned by hand.
#pragma once

#include <gtest/gtest.h>

#include "bgworkers/failover/test/fixture.h"

namespace pgquorum::failover {

// One agent (node 2 unless said otherwise) with facts that a test changes between steps.
struct AgentBench {
  Log log;
  NodeId self;
  Agent agent;
  LocalFacts facts;
  PeerViews peers;
  TimeNs now = 1'000'000 * kMs;
  TimeNs lease = 0;
  bool current = true;
  AgentOutput out;

  explicit AgentBench(NodeId node = kB) : self(node), agent(node) {
    log.Group();
    facts.boot = BootId(20 + node.value());
    facts.pg = PgState::kStandby;
    facts.history = {{{Timeline(1), Lsn(100)}}, Timeline(2), Lsn(500)};
    facts.boot_end = Lsn(500);
    facts.replay_settled = true;
    facts.ordered_timeline = Timeline();
  }
  AgentState Step() {
    now += 10 * kMs;
    AgentInputs in{log.state, facts, peers, now, lease, current};
    out = agent.Step(in);
    return agent.state();
  }
  template <typename T>
  bool Wants() const {
    for (const Action& action : out.actions) {
      if (std::holds_alternative<T>(action)) {
        return true;
      }
    }
    return false;
  }
  // The primary of the appointment reports that it is promoted.
  void PrimaryReports() {
    const Appointment& app = log.state.appointment();
    NodeReport report;
    report.node = app.node;
    report.boot = app.boot;
    report.worker = 1;
    report.sequence = ++sequence;
    report.pg = PgState::kPrimary;
    report.known_epoch = app.epoch;
    report.history = {{{Timeline(1), Lsn(100)}}, Timeline(2), Lsn(900)};
    if (app.timeline != Timeline(2)) {
      report.history = {{{Timeline(1), Lsn(100)}, {Timeline(2), Lsn(500)}}, app.timeline, Lsn(900)};
    }
    report.checkpointed = app.timeline;
    peers[app.node].report = report;
    peers[app.node].received_at = now;
  }
  void Follow() {
    PrimaryReports();
    ASSERT_EQ(Step(), AgentState::kFollowing);
    facts.upstream = log.state.appointment().node;
    facts.upstream_timeline = log.state.appointment().timeline;
    facts.receiver_running = true;
    facts.receiver_streaming = true;
    facts.replay_settled = false;
    facts.receive_timeline = facts.upstream_timeline;
    facts.receive_lsn = Lsn(900);
    Step();
  }
  void Stopped() {
    facts.upstream = NodeId();
    facts.upstream_timeline = Timeline();
    facts.receiver_running = false;
    facts.receiver_streaming = false;
    facts.replay_settled = true;
  }
  void Pledge() {
    log.RevokeIt();
    Step();
    Stopped();
    Step();
    facts.pledge_epoch = log.epoch();
    ASSERT_EQ(Step(), AgentState::kPledged);
  }
  // This node is appointed and becomes a settled primary.
  void Lead() {
    Pledge();
    Appoint appoint = log.AppointmentOf(self, {kB, kC}, 1);
    appoint.boot = facts.boot;
    ASSERT_TRUE(log.Apply(appoint).status.ok());
    ASSERT_EQ(Step(), AgentState::kPreparing);
    facts.list_epoch = log.epoch();
    facts.list_version = log.state.rule().version;
    ASSERT_EQ(Step(), AgentState::kPromoting);
    ASSERT_TRUE(Wants<Promote>());
    Timeline t = log.state.appointment().timeline;
    facts.ordered_timeline = t;
    facts.pg = PgState::kPrimary;
    facts.history = {{{Timeline(1), Lsn(100)}, {Timeline(2), Lsn(500)}}, t, Lsn(600)};
    ASSERT_EQ(Step(), AgentState::kMarking);
    ASSERT_TRUE(Wants<WriteMarker>());
    facts.marker = {t, Lsn(600)};
    ASSERT_EQ(Step(), AgentState::kBarrier);
    EXPECT_FALSE(Wants<OpenGate>());
    log.SettleIt();
    lease = now + 2000 * kMs;
    ASSERT_EQ(Step(), AgentState::kPrimary);
    ASSERT_TRUE(Wants<OpenGate>());
    facts.gate_open = true;
    facts.admission = Admission::kClients;
    facts.checkpointed = t;
    Step();
  }
  uint64_t sequence = 0;
};

}  // namespace pgquorum::failover
