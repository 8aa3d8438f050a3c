// Faults of several steps, aimed at the moments that matter.
#include <algorithm>

#include "bgworkers/failover/bug.h"
#include "bgworkers/failover/sim/world.h"

namespace pgquorum::failover::sim {

// Looks every millisecond, for `patience` at most, and runs `then` once `when` holds.
void World::Once(TimeNs patience, std::function<bool()> when, std::function<void()> then) {
  if (!chaos_ || patience <= 0) {
    return;
  }
  if (when()) {
    then();
    return;
  }
  AfterWorld(kMs, [this, patience, when = std::move(when), then = std::move(then)]() mutable {
    Once(patience - kMs, std::move(when), std::move(then));
  });
}

// Unless the faults have ended by then.
void World::InChaos(TimeNs delay, std::function<void()> run) {
  AfterWorld(delay, [this, run = std::move(run)] {
    if (chaos_) {
      run();
    }
  });
}

std::vector<Node*> World::Standbys() {
  std::vector<Node*> standbys;
  for (Node& node : nodes_) {
    if (!node.witness && node.id != global_.appointment().node &&
        node.pg.state == PgState::kStandby) {
      standbys.push_back(&node);
    }
  }
  return standbys;
}

// The primary's worker is cut off while its PostgreSQL goes on and has waiters; a voter that may
// have pledged restarts, also cut off from the Raft leader, and must not help the old primary.
bool World::FaultStaleVoter(Node&, Node& voter) {
  if (!global_.created() || global_.recruiting()) {
    return false;
  }
  Node& primary = At(global_.appointment().node);
  CutRaftPort(primary, Ms(500, 7000));
  if (rng_.Chance(1, 2)) {  // an administrator does not wait for the evidence
    InChaos(Ms(50, 900), [this] { RequestVerb(true, false); });
  }
  if (rng_.Chance(2, 3) && voter.id != primary.id) {
    InChaos(Ms(800, 4500), [this, &voter] {
      KillNode(voter, Ms(20, 400));
      CutRaftPort(voter, Ms(300, 3000));
    });
  }
  return true;
}

// Some standbys lag, the primary dies, and the next candidate dies between its appointment and its
// barrier.
bool World::FaultCandidateDies(Node&, Node&) {
  Node& primary = At(global_.appointment().node);
  for (int i = 0; i < 2; ++i) {
    Slow(primary, AnyNode(), Ms(20, 400), 500 * kMs);
  }
  InChaos(Ms(50, 400), [this] { KillNode(At(global_.appointment().node), Ms(300, 6000)); });
  KillAppointed(global_.highest_epoch());
  return true;
}

void World::KillAppointed(Epoch epoch) {
  Once(
      6000 * kMs,
      [this, epoch] { return global_.highest_epoch() != epoch && !global_.recruiting(); },
      [this] {
        // Any time up to the barrier, and a little after it.
        bool settled = global_.appointment().settled;
        InChaos(Ms(0, settled ? 10 : 250),
                [this, down = Ms(300, 6000)] { KillNode(At(global_.appointment().node), down); });
      });
}

// The primary is cut off with commits that wait; a voter restarts the moment it has pledged, with
// an old view of the log, and now reaches the old primary alone.
bool World::FaultTrickedVoter(Node&, Node& voter) {
  if (!global_.created() || global_.recruiting()) {
    return false;
  }
  Node& primary = At(global_.appointment().node);
  if (voter.id == primary.id || voter.witness) {
    return false;
  }
  CutOff(primary, 6000 * kMs);
  Epoch epoch = global_.highest_epoch();
  Once(
      4000 * kMs,
      [this, &voter, epoch] {
        return global_.highest_epoch() != epoch && voter.agent &&
               voter.agent->state() == AgentState::kPledged;
      },
      [this, &primary, &voter] {
        InChaos(Ms(0, 10), [this, &primary, &voter] {
          Trace("tricked " + std::to_string(voter.id.value()));
          CutOff(voter, 3000 * kMs);
          cuts_.erase({voter.id.value(), primary.id.value()});
          cuts_.erase({primary.id.value(), voter.id.value()});
          KillNode(voter, 20 * kMs);
        });
      });
  return true;
}

// What was acknowledged is on the primary and on few standbys. The primary dies, and as soon as the
// others are told to pledge, or one of them is appointed, those few die too.
bool World::FaultLastHolders(Node&, Node&) {
  std::vector<Node*> standbys = Standbys();
  if (SettledPrimary() == nullptr || standbys.size() < 2) {
    return false;
  }
  Node& primary = *SettledPrimary();
  std::size_t holders = std::max<std::size_t>(1, global_.rule().n);
  for (std::size_t i = standbys.size(); i-- > 1;) {
    std::swap(standbys[i], standbys[rng_.Below(i + 1)]);
  }
  for (std::size_t i = holders; i < standbys.size(); ++i) {
    Slow(primary, *standbys[i], 3000 * kMs, 700 * kMs);
  }
  standbys.resize(std::min(standbys.size(), holders));
  bool first_is_appointed = rng_.Chance(1, 2);
  Epoch epoch = global_.highest_epoch();
  InChaos(Ms(150, 600), [this, &primary] { KillNode(primary, Ms(1500, 6000)); });
  for (std::size_t i = 0; i < standbys.size(); ++i) {
    Node& holder = *standbys[i];
    bool until_appointed = first_is_appointed && i == 0;
    Once(
        4000 * kMs,
        [this, &holder, epoch, until_appointed] {
          return global_.highest_epoch() != epoch &&
                 (!until_appointed || global_.appointment().node == holder.id);
        },
        [this, &holder] { KillNode(holder, Ms(1000, 6000)); });
  }
  if (first_is_appointed) {
    KillAppointed(epoch);
  }
  return true;
}

// The old primary wrote much that nobody acknowledged (a bulk load), and is back just when the next
// primary, whose history is shorter, dies too.
bool World::FaultLongTail(Node&, Node&) {
  Node* primary = SettledPrimary();
  if (primary == nullptr) {
    return false;
  }
  CutOff(*primary, 8000 * kMs);
  for (int i = 0; i < 20; ++i) {
    PgWrite(*primary, 0);
    primary->pg.wal.back().end += 20'000;
  }
  PgFlush(*primary);
  RequestVerb(true, false);
  Epoch epoch = global_.highest_epoch();
  bool another_dies = rng_.Chance(1, 2);
  auto later_settled = [this, epoch] {
    return global_.highest_epoch() != epoch && !global_.recruiting() &&
           global_.appointment().settled;
  };
  Once(6000 * kMs, later_settled, [this, primary, another_dies] {
    for (const Node& peer : nodes_) {
      cuts_.erase({primary->id.value(), peer.id.value()});
      cuts_.erase({peer.id.value(), primary->id.value()});
    }
    InChaos(Ms(20, 900), [this, primary, another_dies] {
      Node& next = At(global_.appointment().node);
      for (Node* standby : Standbys()) {
        if (another_dies && standby != primary) {
          KillNode(*standby, Ms(500, 5000));
          break;
        }
      }
      if (next.id != primary->id) {
        KillNode(next, Ms(100, 3000));
      }
    });
  });
  return true;
}

// The appointed node stops to run, or cannot begin its promotion, and comes back to a log that has
// gone on.
bool World::FaultFrozenCandidate(Node&, Node&) {
  Epoch epoch = global_.highest_epoch();
  KillNode(At(global_.appointment().node), Ms(300, 4000));
  bool stuck = rng_.Chance(1, 2);
  Once(
      4000 * kMs,
      [this, epoch] { return global_.highest_epoch() != epoch && !global_.recruiting(); },
      [this, stuck] {
        Node& node = At(global_.appointment().node);
        node.promotes_from = stuck ? now_ + 5000 * kMs : now_;
        InChaos(stuck ? Ms(5, 100) : static_cast<TimeNs>(rng_.Below(12'000'000)),
                [this, &node] { node.worker_paused_until = now_ + Ms(2500, 5000); });
      });
  return true;
}

// The target loses its stream after the drain has begun: all is undone.
bool World::FaultStuckSwitchover(Node&, Node& target) {
  Node* primary = SettledPrimary();
  if (primary == nullptr || primary->id == target.id || !global_.rule().IsVoter(target.id)) {
    return false;
  }
  RequestFailover request;
  request.id = RequestId(++unique_);
  request.target = target.id;
  request.now_us = now_ / 1000;
  RaftPropose(*primary, request);
  Once(
      1000 * kMs,
      [this, id = request.id] {
        const FailoverRequest* pending = global_.FindRequest(id);
        return pending != nullptr && pending->draining;
      },
      [this, primary, &target] {
        coverage_.Hit(Point::kSwitchoverInterrupted);
        CutRaftPort(target, Ms(1100, 2000));
        Cut(*primary, target, Ms(1100, 2000));
        Cut(target, *primary, Ms(1100, 2000));
      });
  return true;
}

// A voter that waits for its repair, on a timeline that somebody else may know.
Node* World::DivergedVoter() {
  if (At(global_.appointment().node).pg.state != PgState::kPrimary) {
    return nullptr;
  }
  for (Node& node : nodes_) {
    bool repairs = node.agent && node.agent->state() == AgentState::kRepairing &&
                   node.pg.state == PgState::kStandby && !node.pg.upstream;
    if (repairs && global_.rule().IsSync(node.id) &&
        global_.IsAssigned(node.pg.wal.back().timeline)) {
      return &node;
    }
  }
  return nullptr;
}

// Somebody writes a connection to the primary by hand, under the name that the node had last.
bool World::FaultPointedByHand(Node& node, Node& other) {
  Once(
      8000 * kMs, [this] { return DivergedVoter() != nullptr; },
      [this] {
        Node& victim = *DivergedVoter();
        coverage_.Hit(Point::kDivergedPointed);
        Trace("pointed by hand " + std::to_string(victim.id.value()) + " as " + victim.pg.name);
        victim.pg.upstream = global_.appointment().node;
        victim.pg.upstream_timeline = Timeline();
        victim.pg.stream_error = StreamError::kNone;
        PgConnect(victim);
        PumpSoon(victim);
      });
  return FaultLongTail(node, other);
}

// Every standby is promoted by hand, and then the primary is asked to go.
bool World::FaultAllDiverged(Node&, Node&) {
  if (SettledPrimary() == nullptr || Standbys().empty()) {
    return false;
  }
  for (Node* standby : Standbys()) {
    InChaos(Ms(1, 300), [this, standby] { PgPromote(*standby, Timeline(), true); });
  }
  InChaos(Ms(200, 2500), [this] { RequestVerb(true, false); });
  return true;
}

// Of the standbys only this one hears from the primary in time.
void World::KeepUp(const Node& primary, const Node& holder) {
  for (Node* standby : Standbys()) {
    if (standby != &holder) {
      Slow(primary, *standby, 3000 * kMs, 700 * kMs);
    }
  }
}

// The standby that alone has the newest rows is promoted by hand, and the primary dies before
// anybody could repair it. Later the next primary dies too, and again only one has the newest rows.
bool World::FaultForeignTail(Node&, Node&) {
  Node* primary = SettledPrimary();
  std::vector<Node*> standbys = Standbys();
  if (primary == nullptr || standbys.empty()) {
    return false;
  }
  Node& holder = *standbys[rng_.Below(standbys.size())];
  KeepUp(*primary, holder);
  Epoch epoch = global_.highest_epoch();
  InChaos(Ms(150, 400), [this, &holder] { PgPromote(holder, Timeline(), true); });
  InChaos(Ms(450, 900), [this, primary] { KillNode(*primary, Ms(500, 2500)); });
  auto joined = [this, epoch] {
    return global_.highest_epoch() != epoch && SettledPrimary() != nullptr && AllJoined();
  };
  Once(9000 * kMs, joined, [this] {
    Node& next = *SettledPrimary();
    std::vector<Node*> left = Standbys();
    if (left.empty()) {
      return;
    }
    KeepUp(next, *left[rng_.Below(left.size())]);
    InChaos(Ms(200, 600), [this, &next] { KillNode(next, Ms(2000, 5000)); });
  });
  return true;
}

// An old primary has been rewound and is a voter again. Then somebody restores what it was before,
// longer than the history that won, and lets it stream under the name of those days.
bool World::FaultOldBackup(Node&, Node&) {
  Node* old = SettledPrimary();
  if (old == nullptr) {
    return false;
  }
  CutOff(*old, 3000 * kMs);
  for (int i = 0; i < 20; ++i) {
    PgWrite(*old, 0);
    old->pg.wal.back().end += 20'000;
  }
  PgFlush(*old);
  RequestVerb(true, false);
  auto voter_again = [this, old] {
    return !old->pg.backup.empty() && old->up && old->pg.state == PgState::kStandby &&
           !old->repair_running && global_.rule().IsSync(old->id) && !global_.recruiting();
  };
  auto waits = [this, old] {
    return old->restored && old->pg.state == PgState::kStandby && !old->pg.upstream &&
           global_.rule().IsSync(old->id) &&
           At(global_.appointment().node).pg.state == PgState::kPrimary;
  };
  Once(11'000 * kMs, voter_again, [this, old, waits] {
    // Nobody takes it out of the list meanwhile.
    for (Node& each : nodes_) {
      each.worker_paused_until = each.id != old->id ? now_ + 1500 * kMs : 0;
    }
    KillNode(*old, 20 * kMs);
    old->pg.wal = old->pg.backup;
    old->pg.durable = old->pg.wal.size();
    Timeline then = old->pg.wal.back().timeline;
    old->pg.name = StandbyName(global_.NameOf(old->id),
                               PGQUORUM_FAILOVER_BUG(kNamesWithoutTimeline) ? Timeline() : then);
    old->restored = true;
    Once(3000 * kMs, waits, [this, old] {
      coverage_.Hit(Point::kOldBackupPointed);
      old->pg.upstream = global_.appointment().node;
      PgConnect(*old);
      PumpSoon(*old);
    });
  });
  return true;
}

}  // namespace pgquorum::failover::sim
