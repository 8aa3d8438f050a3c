// The consensus worker of a node: feeds facts to the shipped policies and carries their actions
// out.
#include <algorithm>
#include <memory>

#include "bgworkers/failover/sim/world.h"

namespace pgquorum::failover::sim {

void World::WorkerStart(Node& node) {
  if (node.left) {
    return;  // switched off in the middle of a restart
  }
  ++node.life;
  node.up = true;
  node.worker_id = ++unique_;
  node.sequence = 0;
  node.peers.clear();
  node.agent.emplace(node.id);
  node.coordinator.emplace(node.id);
  node.lease.emplace(node.id);
  node.coordinated_term = 0;
  node.pump_due = false;
  node.wake_at = kNever;
  RaftStart(node);
  After(1 * kMs, node, Domain::kWorker, [this, &node] { Heartbeat(node); });
}

void World::WorkerStop(Node& node) {
  if (node.agent) {
    coverage_.HitRows(node.agent->taken());
  }
  if (bugs_.pledge_not_durable) {
    node.pledge = Epoch();
  }
  ++node.life;
  node.up = false;
  node.agent.reset();
  RaftStop(node);
  NotifyReset(node);
}

// The peers' streams to this node are reset; they probe its PostgreSQL port.
void World::NotifyReset(Node& node) {
  for (Node& peer : nodes_) {
    if (peer.id == node.id || !peer.up || !Reaches(node, peer) || !Reaches(peer, node)) {
      continue;
    }
    After(Latency(node, peer), peer, Domain::kWorker, [this, &peer, &node, dead = node.worker_id] {
      PeerView& view = peer.peers[node.id];
      if (view.report && view.report->worker > dead) {
        return;  // connected anew meanwhile
      }
      peer.dead_workers.insert(dead);
      view.connected = false;
      view.reset_at = Clock(peer);
      view.listener_refused = node.pg.state == PgState::kDown && !node.witness;
      peer.raft.core->ReportPeerDead(raft::NodeId(node.id.value()));
      RaftPump(peer);
    });
  }
}

void World::KillNode(Node& node, TimeNs down) {
  if (!node.up) {
    return;
  }
  Trace("kill " + std::to_string(node.id.value()));
  PgStop(node);
  WorkerStop(node);
  AfterWorld(down, [this, &node] {
    if (node.up || node.left) {
      return;
    }
    WorkerStart(node);
    if (!node.witness) {
      PgStart(node, static_cast<TimeNs>(rng_.Between(50, 500)) * kMs);
    }
  });
}

// What `cluster leave` ends with.
void World::SwitchOff(Node& node) {
  Trace("switched off " + std::to_string(node.id.value()));
  PgStop(node);
  if (node.up) {
    WorkerStop(node);
  }
}

void World::Heartbeat(Node& node) {
  Pump(node);
  SendReport(node);
  After(100 * kMs, node, Domain::kWorker, [this, &node] { Heartbeat(node); });
}

void World::PumpSoon(Node& node) {
  if (node.pump_due || !node.up) {
    return;
  }
  node.pump_due = true;
  After(200'000, node, Domain::kWorker, [this, &node] {
    node.pump_due = false;
    Pump(node);
  });
}

LocalFacts World::Facts(Node& node) {
  LocalFacts f;
  f.witness = node.witness;
  if (node.witness) {
    return f;
  }
  const Pg& pg = node.pg;
  f.boot = pg.boot;
  f.pg = pg.state;
  f.pledge_epoch = node.pledge;
  f.gate_open = pg.gate;
  f.admission = pg.admission;
  f.upstream = pg.upstream;
  f.upstream_timeline = pg.upstream_timeline;
  f.receiver_running = pg.connection != 0;
  f.receiver_streaming = f.receiver_running;
  f.receive_timeline = pg.receive_timeline;
  f.receive_lsn = Lsn(pg.receive_lsn);
  f.receive_age_ms =
      static_cast<uint32_t>(std::min<TimeNs>((now_ - pg.received_at) / kMs, 1'000'000));
  f.stream_error = pg.stream_error;
  f.history = PgHistory(node);
  f.replay_settled = pg.state == PgState::kStandby && !pg.upstream && pg.connection == 0 &&
                     pg.replayed == pg.wal.size();
  f.boot_end = Lsn(pg.boot_end);
  f.list_epoch = pg.list.epoch;
  f.list_version = pg.list.version;
  std::size_t confirmed = 0;
  for (const auto& [id, sender] : pg.senders) {
    bool listed =
        std::find(pg.list.names.begin(), pg.list.names.end(), sender.name) != pg.list.names.end();
    confirmed += listed && sender.flushed >= pg.list_lsn ? 1 : 0;
  }
  f.list_confirmed = confirmed >= pg.list.g;
  f.marker = pg.marker;
  f.checkpointed = pg.checkpointed;
  f.checkpoint_tag = pg.checkpoint_tag;
  f.commits_in_flight = static_cast<uint32_t>(pg.commits.size());
  f.repair_running = node.repair_running;
  f.repair_interrupted = node.repair_interrupted;
  f.repair_attempts = node.repair_attempts;
  f.foreign_timeline = node.foreign;
  f.ordered_timeline = node.ordered;
  node.mark_compared = node.mark_compared || f.replay_settled;
  f.restored = node.restored && node.mark_compared && !bugs_.no_mark;
  f.wal_writable = !pg.disk_full;
  f.quarantine = node.quarantine;
  if (now_ - node.stalled_at < 1000 * kMs) {
    f.stalled_ms = static_cast<uint32_t>(node.stalled / kMs);
  }
  return f;
}

void World::Pump(Node& node) {
  if (!node.up) {
    return;
  }
  TimeNs clock = Clock(node);
  uint64_t life = node.life;
  TimeNs wake = StepAgent(node, clock);
  if (node.life == life && IsLeader(node)) {
    wake = std::min(wake, StepCoordinator(node, clock));
  } else if (node.coordinated_term != 0) {
    node.coordinator->Reset();
    node.coordinated_term = 0;
  }
  if (wake != kNever && (node.wake_at <= now_ || now_ + (wake - clock) < node.wake_at)) {
    node.wake_at = now_ + std::max<TimeNs>(wake - clock, 0) + kMs;
    After(node.wake_at - now_, node, Domain::kWorker, [this, &node] { Pump(node); });
  }
}

TimeNs World::StepAgent(Node& node, TimeNs clock) {
  node.cluster = node.raft.machine->published();
  Voters voters = node.raft.machine->voters();
  LocalFacts facts = Facts(node);
  const Settings& settings = node.cluster->settings();
  if (node.lease->wanted() || facts.pg != PgState::kPrimary) {
    node.pg.deadline = std::max(node.pg.deadline, node.lease->Deadline(settings, voters));
  }
  AgentInputs in{*node.cluster, facts, node.peers, clock, node.pg.deadline, node.raft.current};
  AgentOutput out = node.agent->Step(in);
  for (const Action& action : out.actions) {
    Trace("  " + std::to_string(node.id.value()) + " " + ToString(node.agent->state()) + ": " +
          ToString(action));
    Carry(node, action);
  }
  node.report = out.report;
  node.report.worker = node.worker_id;
  PeerView& self = node.peers[node.id];
  node.report.sequence = ++node.sequence;
  Accept(self, node.report, clock);
  self.connected = true;
  if (out.report_now) {
    SendReport(node);
  }
  if (out.lease_epoch) {
    node.lease->Want(out.lease_epoch, facts.boot);
  } else {
    node.lease->Drop();
  }
  if (std::optional<LeaseRequest> request = node.lease->Poll(settings, voters, clock)) {
    SendLease(node, *request);
  }
  return std::min(out.wake_at, node.lease->wanted() ? node.lease->next_poll() : kNever);
}

TimeNs World::StepCoordinator(Node& node, TimeNs clock) {
  RaftView view = ViewRaft(node);
  if (node.coordinated_term != view.term) {
    node.coordinator->Reset();
    node.coordinated_term = view.term;
  }
  CoordinatorInputs in{*node.cluster, node.peers, view, clock, now_ / 1000};
  CoordinatorOutput out = node.coordinator->Step(in);
  if (out.waiting_for != node.waiting_for) {
    node.waiting_for = out.waiting_for;
    Trace("  " + std::to_string(node.id.value()) + " coordinator waits for " + out.waiting_for);
  }
  for (const Command& command : out.proposals) {
    RaftPropose(node, command);
  }
  for (const RaftChange& change : out.raft_changes) {
    RaftChangeMembers(node, change);
  }
  if (out.hand_over) {
    [[maybe_unused]] Status status =
        node.raft.core->TransferLeadership(consensus::ToRaft(out.hand_over));
    RaftPump(node);
  }
  return out.wake_at;
}

void World::SendReport(Node& node) {
  auto report = std::make_shared<const NodeReport>(node.report);
  for (Node& peer : nodes_) {
    if (peer.id == node.id || !peer.up) {
      continue;
    }
    Send(node, peer, Domain::kWorker, [this, &peer, &node, report] {
      PeerView& view = peer.peers[node.id];
      // A connection that was reset delivers nothing any more.
      bool from_the_dead = peer.dead_workers.contains(report->worker);
      if (!from_the_dead && Accept(view, *report, Clock(peer))) {
        view.connected = true;
        view.reset_at = 0;
        view.listener_refused = false;
        PumpSoon(peer);
      }
    });
  }
}

void World::SendLease(Node& node, const LeaseRequest& request) {
  Voters voters = node.raft.machine->voters();
  std::set<NodeId> asked(voters.current.begin(), voters.current.end());
  asked.insert(voters.outgoing.begin(), voters.outgoing.end());
  for (NodeId voter : asked) {
    Node& peer = At(voter);
    Send(node, peer, Domain::kWorker, [this, &peer, &node, request] {
      if (!peer.up) {
        return;
      }
      Epoch revoked = peer.raft.machine->revoked();
      LeaseGrant grant = Grant(peer.id, request, revoked, peer.raft.machine->voters());
      Send(peer, node, Domain::kWorker, [this, &node, grant] {
        node.lease->OnGrant(grant, Clock(node));
        PumpSoon(node);
      });
    });
  }
}

}  // namespace pgquorum::failover::sim
