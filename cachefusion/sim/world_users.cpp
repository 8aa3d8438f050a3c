// Users of pages and of locks.
#include <algorithm>
#include <utility>

#include "cachefusion/sim/violation.h"
#include "cachefusion/sim/world.h"

#include "base/pure.h"

namespace pgquorum::fusion::sim {
namespace {

constexpr std::size_t kUsesAtOnce = 4;
constexpr uint64_t kResources = 4;
constexpr uint64_t kValueSpace = 2;

LockMode RandomMode(Random& random) {
  return static_cast<LockMode>(random.Below(kLockModes));
}

}  // namespace

void World::UsePage(Node& node) {
  if (node.uses.size() >= kUsesAtOnce) {
    return;
  }
  PageId page = RandomPage(node);
  BlockMode mode = random_.Chance(1, 2) ? BlockMode::kExclusive : BlockMode::kShared;
  uint64_t waiter = next_id_++;
  node.uses[waiter] = {page, mode, false};
  node.core->blocks().Acquire(page, mode, waiter);
  Apply(node);
  if (random_.Chance(1, 15)) {
    AtNode(node, random_.Between(1, 100), [this, waiter, page](Node& n) {
      auto use = n.uses.find(waiter);
      if (use != n.uses.end() && !use->second.granted) {
        coverage_.Hit(Point::kWithdrawn);
        n.core->blocks().Withdraw(page, waiter);
        n.uses.erase(waiter);
        Apply(n);
      }
    });
  }
}

void World::PageGranted(Node& node, uint64_t waiter) {
  auto use = node.uses.find(waiter);
  if (use == node.uses.end() || use->second.granted) {
    Violated("a grant for nobody");
  }
  use->second.granted = true;
  if (!storage_.fenced.contains(node.life)) {
    Checker::Modes(Living(), use->second.page);
  }
  AtNode(node, random_.Between(1, 15), [this, waiter](Node& n) { Touch(n, waiter); });
}

void World::Touch(Node& node, uint64_t waiter) {
  PageUse use = node.uses.at(waiter);
  bool zombie = storage_.fenced.contains(node.life);
  Content content = node.frames.at(use.page);
  Trace(node, "uses " + Name(use.page) + " in version " + std::to_string(content.psn.value()));
  if (!zombie) {
    checker_.Used(use.page, content);
  }
  if (use.mode == BlockMode::kExclusive) {
    for (uint64_t changes = random_.Between(0, 3); changes > 0; --changes) {
      content = node.frames.at(use.page);
      Content after{content.psn + 1, random_.Next()};
      RedoAddress at = node.next_redo;
      ++node.next_redo;
      node.core->blocks().Changed(use.page, after.psn, at);
      node.frames[use.page] = after;
      if (!zombie) {
        Thread& thread = storage_.threads[node.life];
        thread.next = node.next_redo;
        thread.records.push_back({at, use.page, content.psn, after.psn, after.value});
        checker_.Changed(node.life, use.page, content, after);
      }
    }
    if (random_.Chance(1, 3)) {
      StartFlush(node);  // a commit
    }
  }
  node.uses.erase(waiter);
  node.core->blocks().Release(use.page, use.mode);
  Apply(node);
}

void World::StartLockUser(Node& node) {
  LockOwner owner = MakeOwner(node.id, next_id_++);
  LockUser user;
  user.keeps = random_.Chance(1, 3);
  if (user.keeps) {
    user.plan.push_back({{kValueSpace, random_.Below(2)}, LockMode::kNl});
    user.rounds = static_cast<int>(random_.Between(1, 8));
  } else {
    uint64_t steps = random_.Between(1, 5);
    for (uint64_t i = 0; i < steps; ++i) {
      user.plan.push_back({{1, random_.Below(kResources)}, RandomMode(random_)});
    }
  }
  node.lock_users[owner] = user;
  NextLock(node, owner);
}

void World::NextLock(Node& node, LockOwner owner) {
  LockUser& user = node.lock_users.at(owner);
  if (user.next == user.plan.size()) {
    FinishLocks(node, owner);
    return;
  }
  if (!user.keeps && random_.Chance(1, 3)) {
    ReleaseOne(node, owner);  // as a transaction that goes back to a savepoint
  }
  LockStep step = user.plan[user.next];
  const LockClient::Lock* lock = node.core->locks().Find(owner, step.resource);
  if (lock != nullptr && lock->held) {
    if (IsDowngrade(lock->mode, step.mode)) {
      ++user.next;
      NextLock(node, owner);
      return;
    }
    coverage_.Hit(Point::kConversion);
  }
  user.wait = WaitId(next_id_++);
  checker_.WaitBegins(user.wait);
  uint64_t timeout = kForever;
  if (random_.Chance(1, 6)) {
    timeout = random_.Between(0, 40);
  }
  node.core->locks().Ask(owner, step.resource, step.mode, user.wait, timeout);
  if (random_.Chance(1, 8)) {
    AtNode(node, random_.Between(1, 200), [this, wait = user.wait](Node& n) {
      n.core->locks().Cancel(wait);
      Apply(n);
    });
  }
  Apply(node);
}

void World::ReleaseOne(Node& node, LockOwner owner) {
  LockUser& user = node.lock_users.at(owner);
  if (user.held.empty()) {
    return;
  }
  ResourceId resource = user.held.front();
  const LockClient::Lock* lock = node.core->locks().Find(owner, resource);
  if (lock == nullptr || !lock->held || lock->doing != LockClient::Lock::Doing::kNothing) {
    return;
  }
  node.core->locks().Release(owner, resource, nullptr);
  user.held.erase(user.held.begin());
}

void World::LockEnded(Node& node, const Action& action) {
  checker_.WaitEnds(WaitId(action.id));
  const LockPart& lock = action.message.lock;
  Trace(node, "wait " + std::to_string(action.id) + " ended " +
                  std::to_string(static_cast<int>(action.lock_result)) + " resource " +
                  std::to_string(lock.resource.space) + "/" + std::to_string(lock.resource.key) +
                  " mode " + std::to_string(static_cast<int>(lock.mode)) + " owner " +
                  std::to_string(AgeOf(lock.owner)) + " value " +
                  std::to_string(lock.value.version) + (lock.value.valid ? " valid" : ""));
  bool granted = action.lock_result == LockResult::kGranted;
  static constexpr Point kPoints[] = {Point::kLockGranted, Point::kLockTimeout,
                                      Point::kLockCancelled, Point::kDeadlock,
                                      Point::kLockNotAvailable};
  coverage_.Hit(kPoints[static_cast<std::size_t>(action.lock_result)]);
  if (!storage_.fenced.contains(node.life)) {
    if (granted) {
      checker_.LockGranted(Living(), lock);
      bool known = lock.value.version != 0;
      coverage_.Hit(Point::kValueRead, known && lock.value.valid ? 1 : 0);
      coverage_.Hit(Point::kValueInvalid, known && !lock.value.valid ? 1 : 0);
    }
    if (action.lock_result == LockResult::kDeadlock) {
      checker_.Victim(WaitId(action.id));
    }
  }
  AtNode(node, random_.Between(1, 40), [this, owner = lock.owner, granted](Node& n) {
    auto user = n.lock_users.find(owner);
    if (user == n.lock_users.end()) {
      return;
    }
    if (!granted) {
      user->second.plan.resize(user->second.next);
    } else {
      LockUser& u = user->second;
      ResourceId resource = u.plan[u.next].resource;
      if (std::find(u.held.begin(), u.held.end(), resource) == u.held.end()) {
        u.held.push_back(resource);
      }
      ++u.next;
      if (u.keeps) {
        UseValue(n, owner);
        return;
      }
    }
    NextLock(n, owner);
  });
}

// Writes the value block when it may, gives the mode down to NL, and converts up again.
void World::UseValue(Node& node, LockOwner owner) {
  LockUser& user = node.lock_users.at(owner);
  ResourceId resource = user.plan[0].resource;
  const LockClient::Lock* lock = node.core->locks().Find(owner, resource);
  if (lock->mode != LockMode::kNl) {
    std::array<char, LockValue::kSize> bytes{};
    for (char& byte : bytes) {
      byte = static_cast<char>(random_.Below(256));
    }
    bool writes = WritesValue(lock->mode) && random_.Chance(3, 4);
    if (writes) {
      checker_.ValueWritten(resource, bytes, storage_.fenced.contains(node.life));
    } else if (storage_.fenced.contains(node.life)) {
      checker_.ReleasedLate(resource);
    }
    node.core->locks().Downgrade(owner, resource, LockMode::kNl, writes ? &bytes : nullptr);
  }
  Apply(node);
  if (--user.rounds > 0 && chaos_) {
    user.plan.push_back({resource, RandomMode(random_)});
  }
  AtNode(node, random_.Between(1, 60), [this, owner](Node& n) {
    if (n.lock_users.contains(owner)) {
      NextLock(n, owner);
    }
  });
}

// Releases what is held, one after the other; comes again while an unlock is under way.
void World::FinishLocks(Node& node, LockOwner owner) {
  LockUser& user = node.lock_users.at(owner);
  std::vector<ResourceId> later;
  for (ResourceId resource : user.held) {
    const LockClient::Lock* lock = node.core->locks().Find(owner, resource);
    if (lock != nullptr && lock->held && lock->doing == LockClient::Lock::Doing::kNothing) {
      if (storage_.fenced.contains(node.life)) {
        checker_.ReleasedLate(resource);
      }
      node.core->locks().Release(owner, resource, nullptr);
    } else if (lock != nullptr && lock->held) {
      later.push_back(resource);
    }
  }
  user.held = later;
  bool done = later.empty();
  if (done) {
    node.lock_users.erase(owner);
  }
  Apply(node);
  if (!done) {
    AtNode(node, 10, [this, owner](Node& n) {
      if (n.lock_users.contains(owner)) {
        FinishLocks(n, owner);
      }
    });
  }
}

void World::CheckLocks(Node& node) {
  if (storage_.fenced.contains(node.life)) {
    return;
  }
  checker_.Queues(*node.core);
  std::size_t waits = 0;
  for (const auto& [resource, queue] : node.core->lock_master().resources()) {
    waits += queue.converting().size() + queue.waiting().size();
  }
  bool more = waits > 0;
  node.master_waits = waits;
  if (more) {
    checker_.Cycles(Living());
  }
}

}  // namespace pgquorum::fusion::sim
