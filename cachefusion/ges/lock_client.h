// The lock service's asking side: the locks of this instance's transactions and sessions.
//
// A lock is asked for with a wait number; every wait ends in exactly one kLockEnded: granted, timed
// out, cancelled, chosen as a deadlock's victim, or not available. A grant may win the race against
// a timeout or a cancellation: it is then reported as the grant that it is, and the caller unlocks.
// Giving up rights never waits and counts from the call on.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "cachefusion/ges/lock_modes.h"
#include "cachefusion/grd/ring.h"
#include "cachefusion/output.h"

namespace pgquorum::fusion {

inline constexpr uint64_t kForever = ~uint64_t{0};
using LockKey = std::pair<ResourceId, LockOwner>;

class LockClient {
 public:
  LockClient(Outbox& out, const BucketMap& map) : out_(out), map_(map) {}

  struct Lock {
    enum class Doing : uint8_t { kNothing, kLocking, kCancelling, kUnlocking };

    bool held = false;
    LockMode mode = LockMode::kNl;         // if held
    LockMode unconverted = LockMode::kNl;  // kLocking: what it is again without a grant
    LockValue value;                       // as of the last grant, or as written since
    Doing doing = Doing::kNothing;
    bool sent = false;             // false: waits for the unfreezing
    bool reported = false;         // kUnlocking: the new master knows it from the report
    LockPart part;                 // what is under way
    uint64_t deadline = kForever;  // tick
    LockResult reason = LockResult::kCancelled;         // kCancelling: why
    std::optional<std::pair<LockPart, uint64_t>> next;  // asked for while unlocking
  };

  // A new lock, or a conversion to a mode that is not weaker. A conversion between CW and PR gives
  // up what the new mode lacks from the call on: until the end only CR can be relied upon.
  // `timeout_ticks` 0: without waiting. One request of an owner for a resource at a time.
  void Ask(LockOwner owner, ResourceId resource, LockMode mode, WaitId wait,
           uint64_t timeout_ticks);
  void Cancel(WaitId wait);
  // To a weaker mode. The value counts only when the mode held so far may write it.
  void Downgrade(LockOwner owner, ResourceId resource, LockMode mode,
                 const std::array<char, LockValue::kSize>* value);
  void Release(LockOwner owner, ResourceId resource,
               const std::array<char, LockValue::kSize>* value);
  void Tick();

  // --- messages ---
  void OnGranted(const Message& message);
  void OnEnded(const Message& message);
  void OnUnlocked(const Message& message);
  void OnVictim(const Message& message);
  // For the deadlock detector: whose hold of, or wait for, what is ending, or has ended since the
  // last call. The masters may not know yet.
  std::vector<LockReport> TakeEnding();

  // --- reconfiguration ---
  void Freeze();
  // What is held, and what was given up without an answer. Such is known afterwards.
  std::vector<LockReport> Report();
  void Unfreeze();

  const Lock* Find(LockOwner owner, ResourceId resource) const;
  const std::map<LockKey, Lock>& locks() const { return locks_; }

 private:
  void Start(const LockKey& key, Lock& lock, const LockPart& part, uint64_t deadline);
  void End(const LockKey& key, Lock& lock, LockResult result);
  void StartCancel(const LockKey& key, LockResult reason);
  void GiveUp(LockOwner owner, ResourceId resource, LockMode mode, bool release,
              const std::array<char, LockValue::kSize>* value);
  void Send(MessageType type, const LockKey& key, const LockPart& part);
  void Unlocked(const LockKey& key);

  Outbox& out_;
  const BucketMap& map_;
  bool frozen_ = true;
  uint64_t now_ = 0;
  std::map<LockKey, Lock> locks_;
  std::map<WaitId, LockKey> waits_;
  std::set<LockKey> ending_;
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
