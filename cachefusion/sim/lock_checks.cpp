// The checker's half about locks.
#include <algorithm>
#include <array>

#include "cachefusion/sim/checker.h"
#include "cachefusion/sim/violation.h"

#include "base/pure.h"

namespace pgquorum::fusion::sim {
namespace {

// The matrix once more, in other words: read access and write access, one's own and others'.
bool GoTogether(LockMode a, LockMode b) {
  struct Rights {
    bool reads, writes, lets_read, lets_write;
  };
  static constexpr std::array<Rights, 6> kRights = {{
      {false, false, true, true},  // NL
      {true, false, true, true},   // CR
      {true, true, true, true},    // CW
      {true, false, true, false},  // PR
      {true, true, true, false},   // PW
      {true, true, false, false},  // EX
  }};
  const Rights& x = kRights[static_cast<std::size_t>(a)];
  const Rights& y = kRights[static_cast<std::size_t>(b)];
  // CR asks for nothing but that it is let read: "protected" modes shut writers out but not it.
  auto lets = [](const Rights& one, const Rights& other, LockMode mode) {
    if (mode == LockMode::kCr) {
      return one.lets_read;
    }
    return (!other.reads || one.lets_read) && (!other.writes || one.lets_write);
  };
  return lets(x, y, b) && lets(y, x, a);
}

}  // namespace

void Checker::LockGranted(const std::vector<const Instance*>& instances, const LockPart& lock) {
  for (const Instance* instance : instances) {
    for (const auto& [key, other] : instance->locks().locks()) {
      bool same = key.first == lock.resource && key.second != lock.owner && other.held;
      if (same && !GoTogether(other.mode, lock.mode)) {
        Violated("two incompatible locks are held: modes " +
                 std::to_string(static_cast<int>(other.mode)) + " and " +
                 std::to_string(static_cast<int>(lock.mode)));
      }
    }
  }
  // NL and CR go with a writer: they may see the value before its change, or before its death.
  bool protects = lock.mode != LockMode::kNl && lock.mode != LockMode::kCr;
  if (!lock.value.valid || !protects) {
    return;
  }
  const Truth& truth = values_[lock.resource];
  if (truth.late.contains(lock.value.bytes)) {
    return;
  }
  if (truth.tainted) {
    Violated("a value block is read as valid after its writer has died");
  }
  if (!truth.written || truth.bytes != lock.value.bytes) {
    Violated("a value block is not what was written last");
  }
}

void Checker::ValueWritten(ResourceId resource, const std::array<char, LockValue::kSize>& bytes,
                           bool late) {
  if (late) {
    values_[resource].late.insert(bytes);
  } else {
    values_[resource] = {bytes, false, true, {}};
  }
}

void Checker::ReleasedLate(ResourceId resource) {
  Truth& truth = values_[resource];
  if (truth.written) {
    truth.late.insert(truth.bytes);
  }
}

void Checker::HolderDied(const LockClient& locks) {
  for (const auto& [key, lock] : locks.locks()) {
    if (lock.held && (lock.mode == LockMode::kPw || lock.mode == LockMode::kEx)) {
      values_[key.first].tainted = true;
    }
  }
}

// Who waited before and has the lock now came before all that still wait.
void Checker::Order(const std::vector<LockWaiter>& before, const std::vector<LockWaiter>& now,
                    const Queue& then, const LockQueue& queue) {
  auto waits = [&now](const LockWaiter& waiter) {
    return std::find(now.begin(), now.end(), waiter) != now.end();
  };
  bool somebody_waits = false;
  std::size_t position = 0;
  for (const LockWaiter& waiter : before) {
    if (waits(waiter)) {
      somebody_waits = true;
      if (position >= now.size() || !(now[position] == waiter)) {
        Violated("a lock queue has changed its order");
      }
      ++position;
      continue;
    }
    bool holds = std::any_of(queue.holders().begin(), queue.holders().end(), [&](const auto& h) {
      return h.owner == waiter.owner && h.mode == waiter.mode;
    });
    if (somebody_waits && holds && !then.holders.contains(waiter.owner)) {
      Violated("a lock was granted before one that waits for longer");
    }
  }
}

void Checker::Queues(const Instance& master) {
  auto& [epoch, known] = queues_[master.self()];
  if (epoch != master.epoch() || master.frozen()) {
    known.clear();
    epoch = master.epoch();
  }
  std::map<ResourceId, Queue> now;
  for (const auto& [resource, queue] : master.lock_master().resources()) {
    Queue& state = now[resource];
    for (const LockHolder& holder : queue.holders()) {
      state.holders.insert(holder.owner);
    }
    state.converting.assign(queue.converting().begin(), queue.converting().end());
    state.waiting.assign(queue.waiting().begin(), queue.waiting().end());
    for (const LockWaiter& waiter : state.waiting) {
      if (state.holders.contains(waiter.owner)) {
        Violated("a conversion waits behind new locks");
      }
    }
    auto before = known.find(resource);
    if (before == known.end()) {
      continue;
    }
    Order(before->second.converting, state.converting, before->second, queue);
    Order(before->second.waiting, state.waiting, before->second, queue);
    // A newcomer holds although somebody has waited all the time.
    auto lasting = [](const std::vector<LockWaiter>& then, const std::vector<LockWaiter>& still) {
      return !then.empty() && !still.empty() && then.front() == still.front();
    };
    bool waited = lasting(before->second.waiting, state.waiting) ||
                  lasting(before->second.converting, state.converting);
    for (LockOwner owner : state.holders) {
      bool queued = std::any_of(before->second.waiting.begin(), before->second.waiting.end(),
                                [owner](const LockWaiter& w) { return w.owner == owner; });
      if (waited && !before->second.holders.contains(owner) && !queued) {
        Violated("a new lock was granted while others waited");
      }
    }
  }
  known = std::move(now);
}

void Checker::Cycles(const std::vector<const Instance*>& instances) {
  std::vector<WaitEdge> edges;
  for (const Instance* master : instances) {
    for (const WaitEdge& edge : master->lock_master().Edges()) {
      // An unlock under way is as good as done.
      bool ending = false;
      for (const Instance* client : instances) {
        const LockClient::Lock* lock = client->locks().Find(edge.holder, edge.resource);
        ending = ending || (lock != nullptr && lock->doing == LockClient::Lock::Doing::kUnlocking);
      }
      if (!ending) {
        edges.push_back(edge);
      }
    }
  }
  for (const WaitEdge& start : edges) {
    std::set<LockOwner> reached{start.holder};
    for (bool grows = true; grows;) {
      grows = false;
      for (const WaitEdge& edge : edges) {
        grows = (reached.contains(edge.waiter) && reached.insert(edge.holder).second) || grows;
      }
    }
    if (reached.contains(start.waiter)) {
      in_cycle_.insert(start.wait);
    }
  }
}

void Checker::Victim(WaitId wait) const {
  if (!in_cycle_.contains(wait)) {
    Violated("a deadlock's victim was never in a cycle");
  }
}

void Checker::WaitBegins(WaitId wait) {
  waits_.insert(wait);
}

void Checker::WaitEnds(WaitId wait) {
  if (waits_.erase(wait) == 0) {
    Violated("a wait ended twice");
  }
}

}  // namespace pgquorum::fusion::sim
