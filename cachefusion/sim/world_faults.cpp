// Fate: crashes, pauses, evictions, joins; and the group's membership.
#include <algorithm>
#include <iterator>
#include <utility>

#include "cachefusion/sim/violation.h"
#include "cachefusion/sim/world.h"

#include "base/pure.h"

namespace pgquorum::fusion::sim {

void World::Fate() {
  if (!chaos_) {
    // Everybody comes back, and nothing happens any more.
    for (auto& [id, node] : nodes_) {
      if (node->paused) {
        At(0, [this, i = id, life = node->life] { Resume(i, life); });
      }
    }
    Join();
    At(200, [this] { Fate(); });
    return;
  }
  bool regrouping = std::any_of(nodes_.begin(), nodes_.end(),
                                [](const auto& n) { return n.second->core->frozen(); });
  if (!nodes_.empty()) {
    auto victim = std::next(nodes_.begin(), static_cast<long>(random_.Below(nodes_.size())));
    uint64_t dice = random_.Below(20);
    if (dice < 6) {
      Crash(*victim->second);
    } else if (dice < 8) {
      Pause(*victim->second);
    } else if (dice == 8) {
      while (!nodes_.empty()) {
        Crash(*nodes_.begin()->second);
      }
      coverage_.Hit(Point::kAllDead);
    }
  }
  if (nodes_.size() < plan_.instances && random_.Chance(2, 3)) {
    Join();
  }
  // A crash often comes while the one before is being dealt with.
  uint64_t pause =
      regrouping || random_.Chance(1, 3) ? random_.Between(5, 150) : random_.Between(100, 700);
  At(pause, [this] { Fate(); });
}

void World::Join() {
  std::vector<InstanceId> free;
  members_wanted_.ForEach([&](InstanceId id) {
    if (!nodes_.contains(id)) {
      free.push_back(id);
    }
  });
  if (free.empty()) {
    return;
  }
  InstanceId id = free[random_.Below(free.size())];
  if (membership_.members.Has(id)) {
    return;  // its earlier life is not evicted yet
  }
  auto node = std::make_unique<Node>();
  node->id = id;
  node->life = Incarnation(next_life_++);
  InstanceOptions options;
  options.directory_entries = plan_.directory;
  options.affinity.remote_accesses = 6;
  options.affinity_interval_ticks = 8;
  options.deadlock_interval_ticks = 4;
  node->core = std::make_unique<Instance>(id, node->life, options);
  members_wanted_.ForEach([&](InstanceId peer) {
    if (peer != id) {
      node->sessions.emplace(peer, Session(id, node->life, peer, SessionOptions()));
    }
  });
  storage_.threads[node->life] = Thread();
  Incarnation life = node->life;
  Node& placed = *(nodes_[id] = std::move(node));
  coverage_.Hit(Point::kJoin);
  AtNode(placed, random_.Between(1, 25), [this](Node& n) { Tick(n); });
  At(random_.Between(1, 60), [this] { Regroup(); });
  At(random_.Between(1, 100), [this, id, life] { Background(id, life); });
}

void World::CountCrash(const Node& node) {
  coverage_.Hit(Point::kCrash);
  if (node.core->frozen()) {
    coverage_.Hit(Point::kCrashWhileFrozen);
  }
  switch (node.core->recovery().phase()) {
    case Recovery::Phase::kScanning:
      coverage_.Hit(Point::kCrashWhileScanning);
      break;
    case Recovery::Phase::kReplaying:
      coverage_.Hit(Point::kCrashWhileReplaying, node.core->recovery().pages_left() > 0 ? 1 : 0);
      break;
    case Recovery::Phase::kRetiring:
      coverage_.Hit(Point::kCrashWhileRetiring);
      break;
    default:
      break;
  }
  if (!node.writing.empty()) {
    coverage_.Hit(Point::kCrashInWrite);
  }
  for (const auto& [page, content] : node.writing) {
    auto on_disk = storage_.pages.find(page);
    if (on_disk != storage_.pages.end() && on_disk->second.torn) {
      coverage_.Hit(Point::kTornPage);
    }
  }
}

void World::Crash(Node& node) {
  Trace(node, "crashes");
  CountCrash(node);
  InstanceId id = node.id;
  Incarnation life = node.life;
  for (auto& [owner, user] : node.lock_users) {
    const auto& locks = node.core->locks().locks();
    bool waits = std::any_of(locks.begin(), locks.end(), [&](const auto& lock) {
      bool next = lock.second.next && lock.second.next->first.wait == user.wait;
      return next || (lock.second.part.wait == user.wait &&
                      lock.second.doing != LockClient::Lock::Doing::kNothing &&
                      lock.second.doing != LockClient::Lock::Doing::kUnlocking);
    });
    if (user.wait && waits) {
      checker_.WaitEnds(user.wait);
    }
  }
  Count(node);
  Evict(id, life);
  checker_.ForgetQueues(id);
  nodes_.erase(id);
}

// From here on the storage refuses this life; its end is proved, so its redo can be recovered.
void World::Evict(InstanceId id, Incarnation life) {
  if (storage_.fenced.contains(life)) {
    return;
  }
  Node& node = *nodes_.at(id);
  storage_.fenced.insert(life);
  checker_.HolderDied(node.core->locks());
  checker_.Lost(life);
  Thread& thread = storage_.threads[life];
  while (!thread.records.empty() && thread.records.back().at > thread.durable) {
    thread.records.pop_back();
  }
  storage_.dead.insert(life);
  At(random_.Between(1, 100), [this] { Regroup(); });
}

void World::Pause(Node& node) {
  if (node.paused || storage_.fenced.contains(node.life)) {
    return;
  }
  Trace(node, "pauses");
  node.paused = true;
  InstanceId id = node.id;
  Incarnation life = node.life;
  if (random_.Chance(2, 3)) {
    At(random_.Between(20, 100), [this, id, life] {
      if (Node* there = Find(id, life); there != nullptr && there->paused) {
        Trace(*there, "is evicted");
        coverage_.Hit(Point::kZombie);
        Evict(id, life);
      }
    });
  }
  At(random_.Between(50, 400), [this, id, life] { Resume(id, life); });
}

// What was put off happens now. An evicted instance does not know that it is.
void World::Resume(InstanceId id, Incarnation life) {
  Node* node = Find(id, life);
  if (node == nullptr || !node->paused) {
    return;
  }
  Trace(*node, "resumes");
  node->paused = false;
  std::vector<std::function<void(Node&)>> deferred = std::move(node->deferred);
  node->deferred.clear();
  for (auto& run : deferred) {
    run(*node);
  }
  if (!storage_.fenced.contains(life)) {
    return;
  }
  for (const auto& [page, content] : node->frames) {
    At(1, [this, id, life, p = page] {
      if (Node* there = Find(id, life)) {
        there->core->blocks().Write(p);
        Apply(*there);
      }
    });
  }
  // It learns of its end at the latest now.
  At(random_.Between(30, 120), [this, id, life] {
    if (Node* there = Find(id, life)) {
      Crash(*there);
    }
  });
}

// Consensus decides the next membership if the present one is not what there is.
void World::Regroup() {
  Membership next;
  for (const auto& [id, node] : nodes_) {
    if (!storage_.fenced.contains(node->life)) {
      next.members.Add(id);
      next.incarnations[id.value() - 1U] = node->life;
    }
  }
  if (next.members == membership_.members && next.incarnations == membership_.incarnations) {
    return;
  }
  next.epoch = membership_.epoch + 1;
  next.dead_threads.assign(storage_.dead.begin(), storage_.dead.end());
  membership_ = next;
  for (auto& [id, node] : nodes_) {
    if (next.members.Has(id) && next.IncarnationOf(id) == node->life) {
      AtNode(*node, random_.Between(1, 50), [this, next](Node& n) { GiveMembership(n, next); });
    }
  }
}

void World::GiveMembership(Node& node, const Membership& membership) {
  if (membership.epoch <= node.core->epoch()) {
    return;
  }
  node.membership = membership;
  for (auto& [peer, session] : node.sessions) {
    if (membership.members.Has(peer)) {
      session.PeerIs(membership.IncarnationOf(peer));
    } else {
      session.PeerIsGone();
    }
  }
  Trace(node, "enters epoch " + std::to_string(membership.epoch.value()));
  node.core->NewMembership(membership);
  Apply(node);
}

}  // namespace pgquorum::fusion::sim
