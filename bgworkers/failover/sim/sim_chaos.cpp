// Clients, administrators and everything that goes wrong.
#include <algorithm>

#include "bgworkers/failover/sim/world.h"

namespace pgquorum::failover::sim {

void World::AddClients() {
  AfterWorld(static_cast<TimeNs>(rng_.Between(5, 40)) * kMs, [this] {
    for (Node& node : nodes_) {
      if (node.pg.state == PgState::kPrimary && node.pg_paused_until <= now_) {
        ClientWrite(node);
      }
    }
    AddClients();
  });
  if (clients_) {
    return;
  }
  clients_ = true;
  // The first node: create the cluster; then one token and one member after the other.
  AfterWorld(100 * kMs, [this] {
    CreateCluster create;
    create.name = "sim";
    create.cluster_id = 7;
    create.system_identifier = 9;
    create.generation = 1;
    create.timeline = Timeline(1);
    create.first.name = "node1";
    create.first.listen_host = create.first.raft_host = "h1";
    create.first.listen_port = 5432;
    create.first.raft_port = 7000;
    RaftCampaign(nodes_[0]);
    RaftPropose(nodes_[0], {0, Encode(create), std::nullopt, {}});
  });
  for (std::size_t i = 1; i < nodes_.size(); ++i) {
    AfterWorld(static_cast<TimeNs>(600 + 400 * i) * kMs, [this, i] { Join(nodes_[i]); });
  }
}

// What `cluster join` does; repeated until the member is there.
void World::Join(Node& node) {
  Node* primary = SettledPrimary();
  std::string number = std::to_string(node.id.value());
  if (global_.FindMember("node" + number) != nullptr && node.up) {
    return;
  }
  AfterWorld(300 * kMs, [this, &node] { Join(node); });
  // Node ids are given in the order of joining.
  if (primary == nullptr || global_.members().size() < node.id.value() - 1) {
    return;
  }
  if (global_.FindMember("node" + number) != nullptr) {
    WorkerStart(node);
    if (!node.witness) {  // the base backup
      const Pg& from = primary->pg;
      node.pg.wal.assign(from.wal.begin(),
                         from.wal.begin() + static_cast<std::ptrdiff_t>(from.durable));
      node.pg.durable = node.pg.wal.size();
      PgStart(node, 100 * kMs);
    }
    return;
  }
  IssueToken token;
  token.token_hash = std::string(24, 'h') + std::to_string(10'000'000 + ++unique_ % 10'000'000);
  token.token_hash.resize(32, 'x');
  token.kind = node.witness ? MemberKind::kWitness : MemberKind::kData;
  token.now_us = now_ / 1000;
  token.expires_us = token.now_us + 10'000'000;
  AddMember add;
  add.token_hash = token.token_hash;
  add.now_us = token.now_us;
  add.info.name = "node" + number;
  add.info.listen_host = add.info.raft_host = "h" + number;
  add.info.listen_port = 5432;
  add.info.raft_port = 7000;
  add.info.kind = token.kind;
  add.info.priority = static_cast<uint32_t>(rng_.Chance(1, 3) ? rng_.Between(50, 200) : 100);
  for (Node& leader : nodes_) {
    if (leader.up && leader.raft.role == Raft::kLeader) {
      RaftPropose(leader, {0, Encode(token), std::nullopt, {}});
      RaftPropose(leader, {0, Encode(add), std::nullopt, {}});
      return;
    }
  }
}

void World::RequestVerb(bool force, bool accept_loss) {
  RequestFailover request;
  request.id = RequestId(++unique_);
  request.kind = force ? RequestKind::kForceFailover : RequestKind::kSwitchover;
  if (rng_.Chance(4, 5)) {
    request.target = NodeId(rng_.Between(1, nodes_.size()));
  }
  request.accept_loss = accept_loss;
  request.now_us = now_ / 1000;
  Node& asked = nodes_[rng_.Below(nodes_.size())];
  if (asked.up) {
    coverage_.Count(force ? "verb: force failover" : "verb: switchover");
    ProposeFrom(asked, request);
  }
}

void World::PlanChaos() {
  chaos_ = true;
  recycles_wal_ = rng_.Chance(1, 6);
  settings_text_ = std::to_string(nodes_.size()) + " nodes";
  std::size_t faults = 1 + rng_.Below(9);
  for (std::size_t i = 0; i < faults; ++i) {
    AfterWorld(static_cast<TimeNs>(rng_.Below(static_cast<uint64_t>(options_.chaos * 8 / 10))),
               [this] { Chaos(); });
  }
  if (rng_.Chance(1, 4)) {
    for (Node& node : nodes_) {
      if (node.raft.role == Raft::kLeader) {
        RaftPropose(node,
                    {0, Encode(SetSetting{"pgquorum.demote_timeout", "1500"}), std::nullopt, {}});
      }
    }
  }
  if (rng_.Chance(1, 8)) {
    ever_async_ = true;
    for (Node& node : nodes_) {
      if (node.raft.role == Raft::kLeader) {
        RaftPropose(
            node, {0, Encode(SetSetting{"pgquorum.replication_mode", "async"}), std::nullopt, {}});
      }
    }
  }
}

void World::Chaos() {
  Node& node = rng_.Chance(1, 2) && global_.created() ? At(global_.appointment().node)
                                                      : nodes_[rng_.Below(nodes_.size())];
  Node& other = nodes_[rng_.Below(nodes_.size())];
  auto ms = [this](uint64_t low, uint64_t high) {
    return static_cast<TimeNs>(rng_.Between(low, high)) * kMs;
  };
  auto cut = [this](const Node& a, const Node& b, TimeNs time) {
    std::pair<uint64_t, uint64_t> link{a.id.value(), b.id.value()};
    if (a.id != b.id && cuts_.insert(link).second) {
      AfterWorld(time, [this, link] { cuts_.erase(link); });
    }
  };
  std::string id = std::to_string(node.id.value());
  switch (rng_.Below(24)) {
    case 0:
    case 1:
    case 2:
      coverage_.Count("fault: kill -9 of a node");
      KillNode(node, ms(50, 5000));
      break;
    case 3:
      coverage_.Count("fault: backend killed");
      Trace("backend crash on " + id);
      if (!node.witness && node.pg.state != PgState::kDown) {
        PgCrash(node, ms(100, 900));
      }
      break;
    case 4:
      if (node.up) {
        coverage_.Count("fault: worker killed");
        Trace("worker killed on " + id);
        WorkerStop(node);
        uint64_t life = node.life;
        AfterWorld(ms(100, 800), [this, &node, life] {
          if (!node.up && node.life == life) {
            WorkerStart(node);
          }
        });
      }
      break;
    case 5:
    case 6: {
      coverage_.Count("fault: node cut off");
      Trace("cut off " + id);
      TimeNs time = ms(300, 8000);
      for (const Node& peer : nodes_) {
        cut(node, peer, time);
        cut(peer, node, time);
      }
      break;
    }
    case 7:
      coverage_.Count("fault: one-way cut");
      Trace("cut " + id + " -> " + std::to_string(other.id.value()));
      cut(node, other, ms(300, 8000));
      break;
    case 8: {
      coverage_.Count("fault: link cut");
      TimeNs time = ms(300, 8000);
      cut(node, other, time);
      cut(other, node, time);
      break;
    }
    case 9:
      coverage_.Count("fault: worker stopped");
      Trace("SIGSTOP worker " + id);
      node.worker_paused_until = now_ + ms(200, 6000);
      break;
    case 10:
      coverage_.Count("fault: node stopped");
      Trace("SIGSTOP node " + id);
      node.worker_paused_until = node.pg_paused_until = now_ + ms(200, 6000);
      break;
    case 11: {
      coverage_.Count("fault: slow link");
      std::pair<uint64_t, uint64_t> link{node.id.value(), other.id.value()};
      slow_[link] = ms(50, 3000);
      AfterWorld(ms(1000, 5000), [this, link] { slow_.erase(link); });
      break;
    }
    case 12:
      coverage_.Count("fault: promoted by hand");
      Trace("promoted by hand " + id);
      PgPromote(node, Timeline(), true);
      break;
    case 22:
    case 23:
      coverage_.Count("fault: candidate dies around its barrier");
      // Some standbys lag before, so that their positions differ.
      for (int i = 0; i < 2; ++i) {
        std::pair<uint64_t, uint64_t> link{global_.appointment().node.value(),
                                           1 + rng_.Below(nodes_.size())};
        slow_[link] = ms(20, 400);
        AfterWorld(500 * kMs, [this, link] { slow_.erase(link); });
      }
      AfterWorld(ms(50, 400),
                 [this, down = ms(300, 6000)] { KillNode(At(global_.appointment().node), down); });
      KillAppointed(global_.highest_epoch(), 6000);
      break;
    case 20:
    case 21:
      ChaosTrickedVoter();
      break;
    case 18:
    case 19:
      ChaosStaleVoter();
      break;
    case 16:
      coverage_.Count("fault: quarantined");
      node.quarantine = "simulated";
      AfterWorld(ms(500, 5000), [this, &node] {
        node.quarantine.clear();
        PumpSoon(node);
      });
      PumpSoon(node);
      break;
    case 17:
      if (!node.witness && node.up && node.pg.state == PgState::kStandby &&
          global_.appointment().node != node.id && !global_.recruiting() && node.pg.durable > 20) {
        coverage_.Count("fault: directory restored from a backup");
        Trace("restored " + id);
        KillNode(node, ms(300, 2000));
        node.pg.wal.resize(node.pg.durable - 1 - rng_.Below(15));
        node.pg.durable = node.pg.wal.size();
        node.restored = true;
      }
      break;
    case 13:
      RequestVerb(false, false);
      break;
    case 14:
      RequestVerb(!rng_.Chance(1, 2), rng_.Chance(1, 4));
      break;
    case 15:
      if (rng_.Chance(1, 2)) {
        coverage_.Count("fault: WAL disk full");
        node.pg.disk_full = true;
        AfterWorld(ms(500, 4000), [this, &node] {
          node.pg.disk_full = false;
          PumpSoon(node);
        });
        PumpSoon(node);
      } else {
        for (Node& each : nodes_) {
          coverage_.Count("fault: all nodes killed");
          KillNode(each, ms(100, 2000));
        }
      }
      break;
  }
}

// The primary's worker is cut off while its PostgreSQL goes on and has waiters; a voter that may
// have pledged restarts, also cut off from the Raft leader, and must not help the old primary.
void World::ChaosStaleVoter() {
  if (!global_.created() || global_.recruiting()) {
    return;
  }
  coverage_.Count("fault: raft port of the primary cut");
  auto cut_port = [this](Node& node, TimeNs time) {
    Trace("raft port cut " + std::to_string(node.id.value()));
    raft_port_cut_.insert(node.id.value());
    uint64_t id = node.id.value();
    AfterWorld(time, [this, id] { raft_port_cut_.erase(id); });
  };
  Node& primary = At(global_.appointment().node);
  cut_port(primary, static_cast<TimeNs>(rng_.Between(500, 7000)) * kMs);
  if (rng_.Chance(1, 2)) {  // an administrator does not wait for the evidence
    AfterWorld(static_cast<TimeNs>(rng_.Between(50, 900)) * kMs,
               [this] { RequestVerb(true, false); });
  }
  if (rng_.Chance(1, 3)) {
    return;
  }
  Node& voter = nodes_[rng_.Below(nodes_.size())];
  if (voter.id == primary.id) {
    return;
  }
  AfterWorld(static_cast<TimeNs>(rng_.Between(800, 4500)) * kMs, [this, &voter, cut_port] {
    KillNode(voter, static_cast<TimeNs>(rng_.Between(20, 400)) * kMs);
    cut_port(voter, static_cast<TimeNs>(rng_.Between(300, 3000)) * kMs);
  });
}

// The next candidate dies between its appointment and its barrier.
void World::KillAppointed(Epoch epoch, int polls) {
  if (polls == 0 || !chaos_) {
    return;
  }
  if (global_.highest_epoch() == epoch || global_.recruiting()) {
    AfterWorld(1 * kMs, [this, epoch, polls] { KillAppointed(epoch, polls - 1); });
    return;
  }
  TimeNs down = static_cast<TimeNs>(rng_.Between(300, 6000)) * kMs;
  if (global_.appointment().settled) {
    AfterWorld(static_cast<TimeNs>(rng_.Below(10)) * kMs,
               [this, down] { KillNode(At(global_.appointment().node), down); });
  } else if (rng_.Chance(1, 60)) {  // some time before
    KillNode(At(global_.appointment().node), down);
  } else {
    AfterWorld(2 * kMs, [this, epoch, polls] { KillAppointed(epoch, polls - 1); });
  }
}

// The primary is cut off with commits that wait; a voter restarts the moment it has pledged, with
// an old view of the log, and now reaches the old primary alone.
void World::ChaosTrickedVoter() {
  if (!global_.created() || global_.recruiting()) {
    return;
  }
  Node& primary = At(global_.appointment().node);
  Node& voter = nodes_[rng_.Below(nodes_.size())];
  if (voter.id == primary.id || voter.witness) {
    return;
  }
  coverage_.Count("fault: voter restarted right after its pledge");
  for (const Node& peer : nodes_) {
    if (peer.id != primary.id) {
      cuts_.insert({primary.id.value(), peer.id.value()});
      cuts_.insert({peer.id.value(), primary.id.value()});
    }
  }
  AfterWorld(6000 * kMs, [this] { cuts_.clear(); });
  TrickVoter(primary, voter, global_.highest_epoch(), 4000);
}

void World::TrickVoter(Node& primary, Node& voter, Epoch epoch, int polls) {
  if (polls == 0 || !chaos_) {
    return;
  }
  bool pledged = global_.highest_epoch() != epoch && voter.agent &&
                 voter.agent->state() == AgentState::kPledged;
  if (!pledged) {
    AfterWorld(1 * kMs, [this, &primary, &voter, epoch, polls] {
      TrickVoter(primary, voter, epoch, polls - 1);
    });
    return;
  }
  AfterWorld(static_cast<TimeNs>(rng_.Below(10)) * kMs, [this, &primary, &voter] {
    Trace("tricked " + std::to_string(voter.id.value()));
    for (const Node& peer : nodes_) {
      std::pair<uint64_t, uint64_t> to{voter.id.value(), peer.id.value()};
      std::pair<uint64_t, uint64_t> from{peer.id.value(), voter.id.value()};
      if (peer.id == primary.id) {
        cuts_.erase(to);
        cuts_.erase(from);
      } else if (peer.id != voter.id) {
        cuts_.insert(to);
        cuts_.insert(from);
      }
    }
    KillNode(voter, 20 * kMs);
  });
}

void World::Heal() {
  Trace("heal");
  chaos_ = false;
  cuts_.clear();
  slow_.clear();
  raft_port_cut_.clear();
  for (Node& node : nodes_) {
    node.pg.disk_full = false;
    node.quarantine.clear();
  }
}

}  // namespace pgquorum::failover::sim
