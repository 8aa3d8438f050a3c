// The consensus worker of a node: feeds facts to the shipped policies and carries their actions
// out.
#include <algorithm>
#include <memory>

#include "bgworkers/failover/sim/world.h"

namespace pgquorum::failover::sim {

void World::WorkerStart(Node& node) {
  ++node.life;
  node.up = true;
  node.worker_id = ++unique_;
  node.sequence = 0;
  node.peers.clear();
  node.cluster.emplace();
  if (options_.bugs.local_timelines) {
    node.cluster->LeaveTimelinesToPostgres();
  }
  node.agent.emplace(node.id, options_.bugs.agent);
  node.coordinator.emplace(node.id, options_.bugs.coordinator);
  node.lease.emplace(node.id, options_.bugs.lease);
  node.pump_due = false;
  node.wake_at = kNever;
  RaftStart(node);
  RaftApply(node);
  After(1 * kMs, node, Domain::kWorker, [this, &node] { Heartbeat(node); });
}

void World::WorkerStop(Node& node) {
  if (node.agent) {
    for (std::size_t i = 0; i < node.agent->taken().size(); ++i) {
      coverage_.transitions[i] += node.agent->taken()[i];
    }
  }
  ++node.life;
  node.up = false;
  node.agent.reset();
  NotifyReset(node);
}

// The peers' streams to this node are reset; they probe its PostgreSQL port.
void World::NotifyReset(Node& node) {
  for (Node& peer : nodes_) {
    if (peer.id == node.id || !peer.up || !Reaches(node, peer) || !Reaches(peer, node)) {
      continue;
    }
    After(Latency(node, peer), peer, Domain::kWorker, [this, &peer, &node] {
      PeerView& view = peer.peers[node.id];
      view.connected = false;
      view.reset_at = Clock(peer);
      view.listener_refused = node.pg.state == PgState::kDown && !node.witness;
      if (peer.raft.leader == node.id && peer.raft.role == Raft::kFollower) {
        peer.raft.election_at =
            std::min(peer.raft.election_at, now_ + static_cast<TimeNs>(rng_.Below(100)) * kMs);
        After(100 * kMs, peer, Domain::kWorker, [this, &peer] { RaftTick(peer); });
      }
      PumpSoon(peer);
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
    if (node.up) {
      return;
    }
    WorkerStart(node);
    if (!node.witness) {
      PgStart(node, static_cast<TimeNs>(rng_.Between(50, 500)) * kMs);
    }
  });
}

void World::Heartbeat(Node& node) {
  RaftTick(node);
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

LocalFacts World::Facts(const Node& node) {
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
  f.restored = node.restored;
  f.wal_writable = !pg.disk_full;
  f.quarantine = node.quarantine;
  f.stalled_ms = 0;
  return f;
}

void World::Pump(Node& node) {
  if (!node.up) {
    return;
  }
  TimeNs clock = Clock(node);
  Voters voters = VotersOf(node);
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
  TimeNs wake = std::min(out.wake_at, node.lease->wanted() ? node.lease->next_poll() : kNever);
  if (node.raft.role == Raft::kLeader) {
    RaftView view;
    view.term = node.raft.term;
    view.caught_up = node.raft.first_of_term <= node.raft.commit;
    view.leader_since = clock - (now_ - node.raft.leader_since);
    view.voters = voters;
    uint64_t index = 0;
    view.learners = Membership(node, &index)->learners;
    view.change_pending = index > node.raft.commit;
    view.last_index = node.raft.log.size();
    view.match = node.raft.match;
    CoordinatorInputs ci{*node.cluster, node.peers, view, clock, now_ / 1000};
    CoordinatorOutput co = node.coordinator->Step(ci);
    wake = std::min(wake, co.wake_at);
    for (Command& command : co.proposals) {
      RaftPropose(node, {0, Encode(command), std::nullopt, {}});
    }
    for (const RaftChange& change : co.raft_changes) {
      const RaftEntry* members = Membership(node);
      RaftEntry next{0, "", *members->members, members->learners};
      std::erase(next.learners, change.node);
      std::erase(next.members->current, change.node);
      if (change.kind == RaftChange::Kind::kAddLearner) {
        next.learners.push_back(change.node);
      } else if (change.kind == RaftChange::Kind::kPromote) {
        next.members->current.push_back(change.node);
      }
      RaftPropose(node, std::move(next));
    }
  }
  if (wake != kNever && (node.wake_at <= now_ || now_ + (wake - clock) < node.wake_at)) {
    node.wake_at = now_ + std::max<TimeNs>(wake - clock, 0) + kMs;
    After(node.wake_at - now_, node, Domain::kWorker, [this, &node] { Pump(node); });
  }
}

void World::SendReport(Node& node) {
  auto report = std::make_shared<const NodeReport>(node.report);
  for (Node& peer : nodes_) {
    if (peer.id == node.id || !peer.up) {
      continue;
    }
    Send(node, peer, Domain::kWorker, [this, &peer, &node, report] {
      PeerView& view = peer.peers[node.id];
      if (Accept(view, *report, Clock(peer))) {
        view.connected = true;
        view.reset_at = 0;
        view.listener_refused = false;
        PumpSoon(peer);
      }
    });
  }
}

void World::SendLease(Node& node, const LeaseRequest& request) {
  for (NodeId voter : VotersOf(node).current) {
    Node& peer = At(voter);
    Send(node, peer, Domain::kWorker, [this, &peer, &node, request] {
      Epoch revoked = options_.bugs.lease.grant_after_revoke ? Epoch() : peer.raft.revoked;
      LeaseGrant grant = Grant(peer.id, request, revoked, VotersOf(peer));
      Send(peer, node, Domain::kWorker, [this, &node, grant] {
        node.lease->OnGrant(grant, Clock(node));
        PumpSoon(node);
      });
    });
  }
}

namespace {
template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
}  // namespace

void World::Carry(Node& node, const Action& action) {
  Pg& pg = node.pg;
  auto soon = [this, &node](TimeNs low_us, TimeNs high_us, std::function<void()> run) {
    TimeNs delay = static_cast<TimeNs>(rng_.Between(static_cast<uint64_t>(low_us),
                                                    static_cast<uint64_t>(high_us))) *
                   1000;
    After(delay, node, Domain::kPg, [this, &node, run = std::move(run)] {
      run();
      PumpSoon(node);
    });
  };
  std::visit(
      Overloaded{
          [&](const CloseGate&) { pg.gate = false; },
          [&](const OpenGate&) { pg.gate = true; },
          [&](const Admit& a) { pg.admission = a.who; },
          [&](const ClearUpstream&) {
            soon(2000, 20'000, [this, &node] {
              node.pg.upstream = NodeId();
              node.pg.upstream_timeline = Timeline();
              node.pg.stream_error = StreamError::kNone;
              PgDisconnect(node);
            });
          },
          [&](const StopReceiver&) { soon(1000, 30'000, [this, &node] { PgDisconnect(node); }); },
          [&](const SettleReplay&) {
            soon(500, rng_.Chance(1, 20) ? 900'000 : 5000, [&pg] { pg.replayed = pg.wal.size(); });
          },
          [&](const WritePledge& a) {
            After(static_cast<TimeNs>(rng_.Between(200, 3000)) * 1000, node, Domain::kWorker,
                  [this, &node, a] {
                    node.pledge = std::max(node.pledge, a.epoch);
                    PumpSoon(node);
                  });
          },
          [&](const SetUpstream& a) {
            if (node.pg.state != PgState::kStandby) {
              return;
            }
            PgDisconnect(node);
            node.pg.upstream = a.node;
            node.pg.upstream_timeline = a.timeline;
            node.pg.name = a.name;
            node.pg.stream_error = StreamError::kNone;
            soon(5000, 40'000, [this, &node] { PgConnect(node); });
          },
          [&](const SetSyncList& a) {
            soon(2000, 15'000, [this, &node, a] {
              if (a.epoch == node.pg.list.epoch && a.version < node.pg.list.version) {
                return;  // the file was written again since
              }
              node.pg.list = a;
              node.pg.list_lsn = node.pg.wal.empty() ? 0 : node.pg.wal.back().end;
              CheckRule(node);
              PgRelease(node);
            });
          },
          [&](const Promote& a) { PgPromote(node, a.timeline, false); },
          [&](const WriteMarker& a) {
            soon(500, 3000, [this, &node, a] {
              if (node.pg.state == PgState::kPrimary) {
                PgWrite(node, 0);
                PgFlush(node);
                node.pg.marker = {a.timeline, Lsn(PgEnd(node))};
              }
            });
          },
          [&](const Checkpoint& a) {
            soon(20'000, 200'000, [this, &node, a] {
              if (node.pg.state == PgState::kPrimary) {
                PgWrite(node, 0);
                PgFlush(node);
                node.pg.checkpointed = node.pg.wal.back().timeline;
                node.pg.checkpoint_tag = a.tag;
              }
            });
          },
          [&](const DemoteRestart&) {
            coverage_.Count("demoted");
            TimeNs down = static_cast<TimeNs>(rng_.Between(100, 600)) * kMs;
            After(1 * kMs, node, Domain::kPg, [this, &node, down] { PgCrash(node, down); });
          },
          [&](const FastStop&) {
            if (pg.state != PgState::kPrimary) {
              return;
            }
            pg.state = PgState::kStopping;
            PgWrite(node, 0);  // the shutdown checkpoint
            PgFlush(node);
            uint64_t most = rng_.Chance(1, 6) ? 3000 : 150;  // sometimes a standby does not answer
            After(static_cast<TimeNs>(rng_.Between(20, most)) * kMs, node, Domain::kPg,
                  [this, &node] { PgCrash(node, 100 * kMs); });
          },
          [&](const EndWalsenders& a) {
            for (Node& other : nodes_) {
              if (other.id != a.except && other.pg.upstream == node.id) {
                PgDisconnect(other);
              }
            }
          },
          [&](const Rewind& a) {
            After(1 * kMs, node, Domain::kPg, [this, &node, a] { PgRepair(node, a.source, true); });
          },
          [&](const Reclone& a) {
            After(1 * kMs, node, Domain::kPg,
                  [this, &node, a] { PgRepair(node, a.source, false); });
          },
          [&](const MarkForeignTimeline& a) { node.foreign = a.timeline; },
          [&](const AcceptDataDirectory&) { node.restored = false; },
      },
      action);
  if (node.up) {
    PumpSoon(node);
  }
}

}  // namespace pgquorum::failover::sim
