// Shared by the coordinator's tests.
#pragma once

#include <gtest/gtest.h>

#include "bgworkers/failover/coordinator.h"
#include "bgworkers/failover/test/fixture.h"

namespace pgquorum::failover {

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

}  // namespace pgquorum::failover
