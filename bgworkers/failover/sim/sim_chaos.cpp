// Everything that goes wrong: what the seed plans, and the faults of one step. Those of several are
// in sim_scenarios.cpp.
#include <algorithm>
#include <string>

#include "bgworkers/failover/sim/world.h"

namespace pgquorum::failover::sim {

// A fault that finds no victim in the moment does not count as done.
struct World::Fault {
  Point point;
  uint32_t weight;
  bool (World::*run)(Node& node, Node& other);
};

std::span<const World::Fault> World::Faults() {
  using W = World;
  static const Fault kFaults[] = {
      {Point::kKillNode, 6, &W::FaultKill},
      {Point::kKillAll, 1, &W::FaultKillAll},
      {Point::kKillBackend, 2, &W::FaultBackend},
      {Point::kKillWorker, 2, &W::FaultWorkerKilled},
      {Point::kStopWorker, 2, &W::FaultWorkerStopped},
      {Point::kStopNode, 2, &W::FaultNodeStopped},
      {Point::kCutOff, 4, &W::FaultCutOff},
      {Point::kOneWayCut, 2, &W::FaultOneWay},
      {Point::kLinkCut, 2, &W::FaultLink},
      {Point::kSlowLink, 2, &W::FaultSlow},
      {Point::kPromotedByHand, 2, &W::FaultPromotedByHand},
      {Point::kPointedByHand, 2, &W::FaultPointedByHand},
      {Point::kQuarantined, 2, &W::FaultQuarantine},
      {Point::kRestored, 2, &W::FaultRestored},
      {Point::kDiskFull, 1, &W::FaultDiskFull},
      {Point::kWalRecycled, 2, &W::FaultRecycled},
      {Point::kReplayHeld, 2, &W::FaultReplayHeld},
      {Point::kSettingChanged, 1, &W::FaultSetting},
      {Point::kMemberRemoved, 1, &W::FaultMemberRemoved},
      {Point::kSwitchover, 2, &W::FaultSwitchover},
      {Point::kStuckSwitchover, 2, &W::FaultStuckSwitchover},
      {Point::kForced, 2, &W::FaultForced},
      {Point::kCandidateDies, 4, &W::FaultCandidateDies},
      {Point::kStaleVoter, 4, &W::FaultStaleVoter},
      {Point::kTrickedVoter, 4, &W::FaultTrickedVoter},
      {Point::kLastHolders, 4, &W::FaultLastHolders},
      {Point::kLongTail, 4, &W::FaultLongTail},
      {Point::kFrozenCandidate, 3, &W::FaultFrozenCandidate},
      // Planned, not drawn: the story of every fifth seed. The last needs most of a run.
      {Point::kForceQuorum, 0, &W::FaultForceQuorum},
      {Point::kForeignTail, 0, &W::FaultForeignTail},
      {Point::kAllDiverged, 0, &W::FaultAllDiverged},
      {Point::kOldBackup, 0, &W::FaultOldBackup},
  };
  return kFaults;
}

void World::Chaos() {
  uint64_t total = 0;
  for (const Fault& fault : Faults()) {
    total += fault.weight;
  }
  uint64_t drawn = rng_.Below(total);
  const Fault* chosen = Faults().data();
  while (drawn >= chosen->weight) {
    drawn -= chosen->weight;
    ++chosen;
  }
  Carry(*chosen);
}

void World::Carry(const Fault& fault) {
  Node& node = rng_.Chance(1, 2) && global_.created() ? At(global_.appointment().node) : AnyNode();
  Node& other = AnyNode();
  if ((this->*fault.run)(node, other)) {
    coverage_.Hit(fault.point);
    Trace(std::string("FAULT ") + Name(fault.point) + " (" + std::to_string(node.id.value()) +
          ", " + std::to_string(other.id.value()) + ")");
  }
}

void World::SetForAll(const std::string& key, const std::string& value) {
  Trace("set " + key + " = " + value);
  for (Node& node : nodes_) {
    if (IsLeader(node)) {
      RaftPropose(node, SetSetting{key, value});
      return;
    }
  }
}

void World::PlanChaos() {
  chaos_ = true;
  std::size_t faults = 1 + rng_.Below(9);
  bool backup_story = seed_ % 20 == 0;
  for (std::size_t i = 0; i < faults && !backup_story; ++i) {
    AfterWorld(static_cast<TimeNs>(rng_.Below(static_cast<uint64_t>(kChaos * 8 / 10))),
               [this] { Chaos(); });
  }
  if (backup_story) {
    AfterWorld(500 * kMs, [this] { Carry(Faults().back()); });
  } else if (seed_ % 5 == 0) {
    std::size_t back = seed_ / 5 % 4;
    AfterWorld(Ms(500, 6000), [this, back] { Carry(Faults()[Faults().size() - 1 - back]); });
  }
  if (rng_.Chance(1, 4)) {
    SetForAll("pgquorum.demote_timeout", "1500");
  }
  if (rng_.Chance(1, 5)) {
    SetForAll("pgquorum.minimum_acks", "0");
  }
  if (rng_.Chance(1, 10)) {
    ever_async_ = true;
    SetForAll("pgquorum.replication_mode", "async");
  }
}

TimeNs World::Ms(uint64_t low, uint64_t high) {
  return static_cast<TimeNs>(rng_.Between(low, high)) * kMs;
}

void World::Cut(const Node& from, const Node& to, TimeNs time) {
  if (from.id != to.id) {
    TimeNs& until = cuts_[{from.id.value(), to.id.value()}];
    until = std::max(until, now_ + time);
  }
}

void World::CutOff(const Node& node, TimeNs time) {
  for (const Node& peer : nodes_) {
    Cut(node, peer, time);
    Cut(peer, node, time);
  }
}

void World::Slow(const Node& from, const Node& to, TimeNs most, TimeNs time) {
  slow_[{from.id.value(), to.id.value()}] = {most, now_ + time};
}

void World::CutRaftPort(Node& node, TimeNs time) {
  Trace("raft port cut " + std::to_string(node.id.value()));
  raft_port_cut_[node.id.value()] = now_ + time;
}

bool World::FaultKill(Node& node, Node&) {
  KillNode(node, Ms(50, 5000));
  return true;
}

bool World::FaultKillAll(Node&, Node&) {
  for (Node& each : nodes_) {
    KillNode(each, Ms(100, 2000));
  }
  return true;
}

bool World::FaultBackend(Node& node, Node&) {
  if (node.witness || node.pg.state == PgState::kDown) {
    return false;
  }
  PgCrash(node, Ms(100, 900));
  return true;
}

bool World::FaultWorkerKilled(Node& node, Node&) {
  if (!node.up) {
    return false;
  }
  WorkerStop(node);
  AfterWorld(Ms(100, 800), [this, &node, life = node.life] {
    if (!node.up && node.life == life) {
      WorkerStart(node);
    }
  });
  return true;
}

bool World::FaultWorkerStopped(Node& node, Node&) {
  node.worker_paused_until = now_ + Ms(200, 6000);
  return true;
}

bool World::FaultNodeStopped(Node& node, Node&) {
  node.worker_paused_until = node.pg_paused_until = now_ + Ms(200, 6000);
  return true;
}

bool World::FaultCutOff(Node& node, Node&) {
  CutOff(node, Ms(300, 8000));
  return true;
}

bool World::FaultOneWay(Node& node, Node& other) {
  Cut(node, other, Ms(300, 8000));
  return node.id != other.id;
}

bool World::FaultLink(Node& node, Node& other) {
  TimeNs time = Ms(300, 8000);
  Cut(node, other, time);
  Cut(other, node, time);
  return node.id != other.id;
}

bool World::FaultSlow(Node& node, Node& other) {
  Slow(node, other, Ms(50, 3000), Ms(1000, 5000));
  return node.id != other.id;
}

bool World::FaultPromotedByHand(Node& node, Node&) {
  if (node.witness || node.pg.state != PgState::kStandby) {
    return false;
  }
  PgPromote(node, Timeline(), true);
  return true;
}

bool World::FaultQuarantine(Node& node, Node&) {
  // Rather one that is about to be repaired: the repair goes on afterwards.
  Node* victim = &node;
  for (Node& each : nodes_) {
    bool repairs = each.agent && each.agent->state() == AgentState::kRepairing;
    victim = repairs ? &each : victim;
  }
  Quarantine(*victim, Ms(100, 5000));
  return true;
}

void World::Quarantine(Node& node, TimeNs time) {
  node.quarantine = "simulated";
  AfterWorld(time, [this, &node] {
    node.quarantine.clear();
    PumpSoon(node);
  });
  PumpSoon(node);
}

bool World::FaultRestored(Node& node, Node& other) {
  for (Node* each : {&node, &other}) {
    if (!each->witness && each->up && each->pg.state == PgState::kStandby &&
        global_.appointment().node != each->id && !global_.recruiting() && each->pg.durable > 20) {
      Trace("restored " + std::to_string(each->id.value()));
      KillNode(*each, Ms(300, 2000));
      each->pg.wal.resize(each->pg.durable - 1 - rng_.Below(15));
      each->pg.durable = each->pg.wal.size();
      each->restored = true;
      return true;
    }
  }
  return false;
}

bool World::FaultDiskFull(Node& node, Node&) {
  node.pg.disk_full = true;
  AfterWorld(Ms(500, 4000), [this, &node] {
    node.pg.disk_full = false;
    PumpSoon(node);
  });
  PumpSoon(node);
  return !node.witness;
}

// A standby is away for so long that the primary could not keep its WAL.
bool World::FaultRecycled(Node&, Node& other) {
  Node* primary = SettledPrimary();
  if (primary == nullptr || other.witness || other.id == primary->id) {
    return false;
  }
  TimeNs time = Ms(300, 3000);
  Cut(*primary, other, time);
  Cut(other, *primary, time);
  PgDisconnect(other);
  // Often an administrator looks at it while it needs its new copy.
  bool looked_at = rng_.Chance(1, 2);
  AfterWorld(time - 10 * kMs, [this, primary, &other, looked_at] {
    primary->pg.recycled = primary->pg.durable;
    if (looked_at) {
      auto waits = [&other] {
        return other.agent && other.agent->state() == AgentState::kRepairing &&
               !other.repair_running;
      };
      Once(3000 * kMs, waits, [this, &other] { Quarantine(other, Ms(20, 300)); });
    }
  });
  return true;
}

// Replay paused, or stopped by a conflict with a long query.
bool World::FaultReplayHeld(Node&, Node& other) {
  other.pg.replay_held_until = now_ + Ms(500, 8000);
  return !other.witness && other.pg.state == PgState::kStandby;
}

bool World::FaultSetting(Node&, Node&) {
  static const std::pair<const char*, const char*> kChanges[] = {
      {"pgquorum.lease_duration", "1000"},     {"pgquorum.lease_duration", "3000"},
      {"pgquorum.failure_timeout", "600"},     {"pgquorum.synchronous_acks", "1"},
      {"pgquorum.dead_voter_timeout", "1000"}, {"pgquorum.appointment_timeout", "800"},
  };
  const auto& [key, value] = kChanges[rng_.Below(std::size(kChanges))];
  SetForAll(key, value);
  return true;
}

bool World::FaultMemberRemoved(Node&, Node& other) {
  bool spared = other.id == NodeId(1) || removed_ || nodes_.size() < 4 ||
                global_.FindMember(other.id) == nullptr;
  for (Node& node : nodes_) {
    if (!spared && IsLeader(node)) {
      removed_ = true;
      RaftPropose(node, SetMemberState{other.id, MemberState::kLeaving});
      return true;
    }
  }
  return false;
}

bool World::FaultSwitchover(Node&, Node&) {
  RequestVerb(false, false);
  return true;
}

bool World::FaultForced(Node&, Node&) {
  RequestVerb(true, rng_.Chance(1, 4));
  return true;
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
    node.promotes_from = 0;
  }
}

}  // namespace pgquorum::failover::sim
