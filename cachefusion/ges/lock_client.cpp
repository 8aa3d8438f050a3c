#include "cachefusion/ges/lock_client.h"

#include <utility>

#include "base/check.h"

#include "base/pure.h"

namespace pgquorum::fusion {

using Doing = LockClient::Lock::Doing;

namespace {
constexpr uint64_t kRepeatCancelTicks = 4;
}  // namespace

const LockClient::Lock* LockClient::Find(LockOwner owner, ResourceId resource) const {
  auto found = locks_.find({resource, owner});
  return found == locks_.end() ? nullptr : &found->second;
}

void LockClient::Send(MessageType type, const LockKey& key, const LockPart& part) {
  Message message;
  message.type = type;
  message.to = map_.MasterOf(BucketOf(key.first));
  message.lock = part;
  out_.Send(std::move(message));
}

void LockClient::Ask(LockOwner owner, ResourceId resource, LockMode mode, WaitId wait,
                     uint64_t timeout_ticks) {
  LockKey key{resource, owner};
  Lock& lock = locks_[key];
  LockPart part;
  part.resource = resource;
  part.owner = owner;
  part.wait = wait;
  part.mode = mode;
  part.no_wait = timeout_ticks == 0;
  uint64_t deadline =
      timeout_ticks == 0 || timeout_ticks == kForever ? kForever : now_ + timeout_ticks;
  PGQUORUM_CHECK(waits_.emplace(wait, key).second);
  if (lock.doing == Doing::kUnlocking) {
    PGQUORUM_CHECK(!lock.next);
    lock.next = {part, deadline};
    return;
  }
  PGQUORUM_CHECK(lock.doing == Doing::kNothing);
  Start(key, lock, part, deadline);
}

// The master may grant CW in place of PR, and PR to others, before this instance hears of it.
void LockClient::Start(const LockKey& key, Lock& lock, const LockPart& part, uint64_t deadline) {
  lock.unconverted = lock.mode;
  if (lock.held && Incomparable(lock.mode, part.mode)) {
    lock.mode = LockMode::kCr;
  }
  lock.doing = Doing::kLocking;
  lock.part = part;
  lock.deadline = deadline;
  lock.sent = !frozen_;
  if (lock.sent) {
    Send(MessageType::kLock, key, part);
  }
}

void LockClient::End(const LockKey& key, Lock& lock, LockResult result) {
  Action& action = out_.Add(ActionType::kLockEnded);
  action.id = lock.part.wait.value();
  action.lock_result = result;
  action.message.lock = lock.part;
  action.message.lock.value = lock.value;
  waits_.erase(lock.part.wait);
  if (result != LockResult::kGranted) {
    lock.mode = lock.unconverted;
  }
  lock.doing = Doing::kNothing;
  lock.deadline = kForever;
  if (!lock.held) {
    locks_.erase(key);
  }
}

void LockClient::Cancel(WaitId wait) {
  auto found = waits_.find(wait);
  if (found != waits_.end()) {
    StartCancel(LockKey(found->second), LockResult::kCancelled);
  }
}

void LockClient::StartCancel(const LockKey& key, LockResult reason) {
  Lock& lock = locks_.at(key);
  if (lock.next) {
    // It was never sent: the end of an unlock is still awaited.
    Lock waiting;
    waiting.held = true;
    waiting.part = lock.next->first;
    lock.next.reset();
    End(key, waiting, reason);
    return;
  }
  if (lock.doing != Doing::kLocking) {
    return;
  }
  if (frozen_) {
    // The old masters are gone and the new ones have not been asked.
    End(key, lock, reason);
    return;
  }
  lock.doing = Doing::kCancelling;
  ending_.insert(key);
  lock.reason = reason;
  Send(MessageType::kLockCancel, key, lock.part);
}

void LockClient::Tick() {
  ++now_;
  std::vector<LockKey> late;
  for (const auto& [key, lock] : locks_) {
    bool waits = lock.doing == Doing::kLocking && lock.deadline <= now_;
    bool would_wait = lock.next && lock.next->second <= now_;
    if (waits || would_wait) {
      late.push_back(key);
    }
  }
  for (const LockKey& key : late) {
    StartCancel(key, LockResult::kTimeout);
  }
  // A request that former masters passed on may arrive behind its cancellation: so that is
  // repeated.
  for (const auto& [key, lock] : locks_) {
    if (lock.doing == Doing::kCancelling && !frozen_ && now_ % kRepeatCancelTicks == 0) {
      Send(MessageType::kLockCancel, key, lock.part);
    }
  }
}

void LockClient::GiveUp(LockOwner owner, ResourceId resource, LockMode mode, bool release,
                        const std::array<char, LockValue::kSize>* value) {
  LockKey key{resource, owner};
  auto found = locks_.find(key);
  PGQUORUM_CHECK(found != locks_.end());
  Lock& lock = found->second;
  PGQUORUM_CHECK(lock.held && lock.doing == Doing::kNothing);
  PGQUORUM_CHECK(release || IsDowngrade(lock.mode, mode));
  LockPart part;
  part.resource = resource;
  part.owner = owner;
  part.mode = mode;
  part.release = release;
  if (value != nullptr && WritesValue(lock.mode)) {
    lock.value.bytes = *value;
    ++lock.value.version;
    lock.value.valid = true;
    part.with_value = true;
    part.value = lock.value;
  }
  lock.mode = mode;
  lock.held = !release;
  lock.doing = Doing::kUnlocking;
  ending_.insert(key);
  lock.part = part;
  lock.reported = false;
  lock.sent = !frozen_;
  if (lock.sent) {
    Send(MessageType::kUnlock, key, part);
  }
}

void LockClient::Downgrade(LockOwner owner, ResourceId resource, LockMode mode,
                           const std::array<char, LockValue::kSize>* value) {
  GiveUp(owner, resource, mode, false, value);
}

void LockClient::Release(LockOwner owner, ResourceId resource,
                         const std::array<char, LockValue::kSize>* value) {
  GiveUp(owner, resource, LockMode::kNl, true, value);
}

void LockClient::OnGranted(const Message& message) {
  LockKey key{message.lock.resource, message.lock.owner};
  auto found = locks_.find(key);
  PGQUORUM_CHECK(found != locks_.end());
  Lock& lock = found->second;
  PGQUORUM_CHECK(lock.doing == Doing::kLocking || lock.doing == Doing::kCancelling);
  PGQUORUM_CHECK(lock.part.wait == message.lock.wait);
  lock.held = true;
  lock.mode = message.lock.mode;
  lock.value = message.lock.value;
  End(key, lock, LockResult::kGranted);
}

void LockClient::OnEnded(const Message& message) {
  LockKey key{message.lock.resource, message.lock.owner};
  auto found = locks_.find(key);
  PGQUORUM_CHECK(found != locks_.end());
  Lock& lock = found->second;
  PGQUORUM_CHECK(lock.part.wait == message.lock.wait);
  bool cancelled = lock.doing == Doing::kCancelling;
  End(key, lock, cancelled ? lock.reason : LockResult::kNotAvailable);
}

void LockClient::OnUnlocked(const Message& message) {
  LockKey key{message.lock.resource, message.lock.owner};
  auto found = locks_.find(key);
  PGQUORUM_CHECK(found != locks_.end() && found->second.doing == Doing::kUnlocking);
  Unlocked(key);
}

void LockClient::Unlocked(const LockKey& key) {
  Lock& lock = locks_.at(key);
  lock.doing = Doing::kNothing;
  lock.reported = false;
  if (!lock.next) {
    if (!lock.held) {
      locks_.erase(key);
    }
    return;
  }
  auto [part, deadline] = *lock.next;
  lock.next.reset();
  if (!lock.held) {
    lock.value = LockValue();
  }
  Start(key, lock, part, deadline);
}

void LockClient::OnVictim(const Message& message) {
  auto found = waits_.find(message.lock.wait);
  if (found != waits_.end()) {
    StartCancel(LockKey(found->second), LockResult::kDeadlock);
  }
}

std::vector<LockReport> LockClient::TakeEnding() {
  std::vector<LockReport> reports;
  for (const LockKey& key : ending_) {
    LockReport report;
    report.kind = LockReport::kReleased;
    report.resource = key.first;
    report.owner = key.second;
    reports.push_back(report);
  }
  std::erase_if(ending_, [this](const LockKey& key) {
    auto lock = locks_.find(key);
    return lock == locks_.end() ||
           (lock->second.doing != Doing::kUnlocking && lock->second.doing != Doing::kCancelling);
  });
  return reports;
}

void LockClient::Freeze() {
  frozen_ = true;
  std::vector<LockKey> cancelling;
  for (auto& [key, lock] : locks_) {
    if (lock.doing == Doing::kCancelling) {
      cancelling.push_back(key);
    }
  }
  for (const LockKey& key : cancelling) {
    Lock& lock = locks_.at(key);
    End(key, lock, lock.reason);
  }
}

std::vector<LockReport> LockClient::Report() {
  std::vector<LockReport> reports;
  for (auto& [key, lock] : locks_) {
    bool unlocking = lock.doing == Doing::kUnlocking;
    if (!lock.held && !unlocking) {
      continue;
    }
    if (unlocking) {
      lock.reported = true;
    }
    lock.unconverted = lock.mode;  // the new master knows no better
    LockReport report;
    report.kind = lock.held ? LockReport::kHeld : LockReport::kReleased;
    report.resource = key.first;
    report.owner = key.second;
    report.mode = lock.mode;
    report.value = lock.value;
    reports.push_back(report);
  }
  return reports;
}

void LockClient::Unfreeze() {
  frozen_ = false;
  std::vector<LockKey> keys;
  for (const auto& [key, lock] : locks_) {
    keys.push_back(key);
  }
  for (const LockKey& key : keys) {
    Lock& lock = locks_.at(key);
    if (lock.doing == Doing::kUnlocking && lock.reported) {
      Unlocked(key);
    } else if (lock.doing == Doing::kUnlocking) {
      lock.sent = true;
      Send(MessageType::kUnlock, key, lock.part);
    } else if (lock.doing == Doing::kLocking) {
      lock.sent = true;
      Send(MessageType::kLock, key, lock.part);
    }
  }
}

}  // namespace pgquorum::fusion
