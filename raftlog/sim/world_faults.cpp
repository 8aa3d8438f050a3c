#include <algorithm>
#include <utility>

#include "raftlog/sim/world.h"

#include "base/pure.h"

namespace pgquorum::raft::sim {

void World::ScheduleFault() {
  At(now_ + random_.Below(2 * plan_.fault_gap_us), [this] {
    if (chaos_) {
      InjectFault();
      ScheduleFault();
    }
  });
}

World::Node* World::RandomUp() {
  std::vector<Node*> up;
  for (auto& [id, node] : nodes_) {
    if (node->core != nullptr && !node->paused) {
      up.push_back(node.get());
    }
  }
  return up.empty() ? nullptr : up[random_.Below(up.size())];
}

void World::InjectFault() {
  Node* node = RandomUp();
  Node* leader = Leader();
  if (leader != nullptr && !leader->paused && random_.Chance(1, 3)) {
    node = leader;
  }
  switch (random_.Below(11)) {
    case 10:
      if (plan_.disk_damage) {
        SpoilSome(node);
      }
      return;
    case 9:
      if (node != nullptr && plan_.disk_errors) {
        node->disk->FailNextWrite(static_cast<DiskFault>(random_.Between(1, 5)));
      }
      return;
    case 8:
      if (leader != nullptr) {  // one follower stops hearing a leader that everybody else hears
        coverage_.Hit(Point::kOneWayCut);
        cuts_.insert({leader->id, NodeId(1 + random_.Below(nodes_.size()))});
      }
      return;
    case 0:
    case 1:
      if (node != nullptr) {
        Crash(*node);
      }
      return;
    case 2:
    case 3:
      CutSome();
      return;
    case 4:
      Heal();
      return;
    case 5:
      if (node != nullptr && plan_.pauses) {
        Pause(*node);
      }
      return;
    case 6:
      if (node != nullptr) {
        coverage_.Hit(Point::kDiskStuck);
        node->disk_stuck_until = now_ + random_.Below(800'000);
        Trace("disk stuck " + std::to_string(node->id.value()));
      }
      return;
    case 7:
      if (leader != nullptr && !leader->paused) {
        NodeId target(random_.Below(nodes_.size() + 1));
        if (leader->core->TransferLeadership(target).ok()) {
          coverage_.Hit(Point::kTransfer);
          Trace("transfer to " + std::to_string(target.value()));
        }
        Pump(*leader);
      }
      return;
    default:
      return;
  }
}

void World::Crash(Node& node) {
  Trace("crash " + std::to_string(node.id.value()));
  // The process is killed, or the power goes.
  Down(node, random_.Chance(1, 2)   ? MemoryLoss::kRandom
             : random_.Chance(1, 2) ? MemoryLoss::kAll
                                    : MemoryLoss::kNone);
}

void World::Down(Node& node, MemoryLoss loss) {
  const Metrics& metrics = node.core->metrics();
  coverage_.Hit(Point::kTruncation, metrics.entries_truncated);
  coverage_.Hit(Point::kConfigRolledBack, metrics.configurations_rolled_back);
  coverage_.Hit(Point::kSteppedDown, metrics.stepped_down_quorum + metrics.stepped_down_disk);
  node.core.reset();
  node.paused = false;
  node.backlog.clear();
  coverage_.Hit(Point::kCrashInWrite, node.disk->Crash(random_, loss) ? 1 : 0);
  NodeId id = node.id;
  uint64_t incarnation = ++node.incarnation;
  At(now_ + random_.Between(5'000, plan_.restart_us_max), [this, id, incarnation] {
    if (NodeOf(id).core == nullptr && NodeOf(id).incarnation == incarnation) {
      Start(NodeOf(id));
    }
  });
  if (random_.Chance(1, 2)) {
    return;
  }
  // The others see its connections reset, and its host refuse new ones.
  for (auto& [other, peer] : nodes_) {
    if (peer->core != nullptr && other != id && !Cut(id, other)) {
      coverage_.Hit(Point::kPeerDead);
      OnNode(other, now_ + random_.Below(3'000),
             [id](Node& witness) { witness.core->ReportPeerDead(id); });
    }
  }
}

void World::Pause(Node& node) {
  coverage_.Hit(Point::kPause);
  Trace("pause " + std::to_string(node.id.value()));
  node.paused = true;
  node.paused_at = now_;
  NodeId id = node.id;
  uint64_t incarnation = node.incarnation;
  At(now_ + random_.Between(10'000, 700'000), [this, id, incarnation] {
    Node& sleeper = NodeOf(id);
    if (sleeper.paused && sleeper.incarnation == incarnation) {
      Resume(sleeper);
    }
  });
}

void World::Resume(Node& node) {
  Trace("resume " + std::to_string(node.id.value()));
  node.paused = false;
  uint64_t incarnation = node.incarnation;
  // A client is served before the node has noticed anything: the hardest moment for a lease.
  Read(node);
  if (random_.Chance(1, 2)) {
    node.core->NoteStall((now_ - node.paused_at) / node.tick_us);
  }
  Pump(node);
  for (auto& action : std::exchange(node.backlog, {})) {
    if (node.incarnation == incarnation) {
      action();
    }
  }
}

void World::CutSome() {
  std::vector<NodeId> ids;
  for (auto& [id, node] : nodes_) {
    ids.push_back(id);
  }
  auto both = [this](NodeId a, NodeId b) {
    cuts_.insert({a, b});
    cuts_.insert({b, a});
  };
  NodeId one = ids[random_.Below(ids.size())];
  Node* leader = Leader();
  if (leader != nullptr && random_.Chance(1, 2)) {
    one = leader->id;
  }
  Trace("cut around " + std::to_string(one.value()));
  switch (random_.Below(5)) {
    case 0:  // isolated
      for (NodeId id : ids) {
        if (id != one) {
          both(one, id);
        }
      }
      return;
    case 1:  // hears nothing, or is heard by nobody
      coverage_.Hit(Point::kOneWayCut);
      for (NodeId id : ids) {
        if (id != one) {
          cuts_.insert(random_.Chance(1, 2) ? std::make_pair(one, id) : std::make_pair(id, one));
        }
      }
      return;
    case 2: {  // two halves that meet in one node only
      coverage_.Hit(Point::kBridgeCut);
      for (NodeId a : ids) {
        for (NodeId b : ids) {
          if (a != one && b != one && a.value() % 2 == 0 && b.value() % 2 == 1) {
            both(a, b);
          }
        }
      }
      return;
    }
    case 3:  // a few links, one way
      coverage_.Hit(Point::kOneWayCut);
      for (std::size_t i = 0; i < ids.size(); ++i) {
        cuts_.insert({ids[random_.Below(ids.size())], ids[random_.Below(ids.size())]});
      }
      return;
    default:  // a random split
      for (NodeId a : ids) {
        for (NodeId b : ids) {
          if ((a.value() * 7 + now_) % 3 != (b.value() * 7 + now_) % 3) {
            both(a, b);
          }
        }
      }
      return;
  }
}

void World::Heal() {
  Trace("heal");
  cuts_.clear();
}

void World::EndChaos() {
  Trace("--- calm ---");
  chaos_ = false;
  Heal();
  for (auto& [id, node] : nodes_) {
    node->disk_stuck_until = 0;
    if (node->core != nullptr && node->spoiled && !node->core->refilling()) {
      Down(*node, MemoryLoss::kNone);  // what is damaged comes to light now, not in the calm
    }
    if (node->core == nullptr) {
      Start(*node);
    } else if (node->paused) {
      Resume(*node);
    }
  }
  if (!plan_.lasting_cut || !checker_.failure().empty()) {
    return;
  }
  // A lasting fault of a minority must not stop the rest (the old-raft-rs #27 and openraft #2080
  // shapes): one node cannot hear, or cannot be heard by, the others.
  std::vector<NodeId> candidates;
  for (auto& [id, node] : nodes_) {
    candidates.push_back(id);
  }
  NodeId one = candidates[random_.Below(candidates.size())];
  // Any configuration that is still in some log may be the one that has to decide: each must have a
  // majority without this node.
  for (auto& [id, node] : nodes_) {
    if (node->core == nullptr || node->spoiled) {
      return;
    }
    const Configuration& c = node->core->configuration();
    if (c.joint() || (c.IsVoter(one) && c.voters.size() < 3)) {
      return;
    }
  }
  coverage_.Hit(Point::kLastingCut);
  cut_off_ = one;
  bool deaf = random_.Chance(1, 2);
  for (auto& [id, node] : nodes_) {
    if (id != one) {
      cuts_.insert(deaf ? std::make_pair(id, one) : std::make_pair(one, id));
    }
  }
  Trace(std::string(deaf ? "deaf " : "mute ") + std::to_string(one.value()));
}

}  // namespace pgquorum::raft::sim
