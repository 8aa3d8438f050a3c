// One resource: who holds it, who converts, who waits.
//
// Conversions come before new locks, each in the order of arrival: a new lock is granted only when
// nobody converts and nobody waits before it. A conversion to a weaker mode is granted at once.
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "cachefusion/ges/lock_modes.h"
#include "cachefusion/message.h"

namespace pgquorum::fusion {

class LockQueue {
 public:
  explicit LockQueue(ResourceId resource) : resource_(resource) {}

  struct Granted {
    LockOwner owner;
    LockMode mode = LockMode::kNl;
    WaitId wait;
  };

  // A new lock, or a conversion when the owner holds one. What can be granted now is in `granted`.
  // With `no_wait` a request that would have to wait is not queued; false is returned.
  bool Request(const LockWaiter& request, bool no_wait, std::vector<Granted>& granted);
  // True: it was waiting and is gone.
  bool Cancel(LockOwner owner, WaitId wait, std::vector<Granted>& granted);
  // To a weaker mode, or (`release`) to nothing.
  void Unlock(LockOwner owner, LockMode mode, bool release, std::vector<Granted>& granted);
  // For rebuilding: as the holder says.
  void Restore(LockOwner owner, LockMode mode);
  // What can be granted, in order.
  void Grant(std::vector<Granted>& granted);

  // Whom each wait waits for, directly.
  void Edges(std::vector<WaitEdge>& edges) const;
  bool empty() const { return holders_.empty() && converting_.empty() && waiting_.empty(); }
  bool waits() const { return !converting_.empty() || !waiting_.empty(); }
  const std::vector<LockHolder>& holders() const { return holders_; }
  const std::deque<LockWaiter>& converting() const { return converting_; }
  const std::deque<LockWaiter>& waiting() const { return waiting_; }

  LockValue& value() { return value_; }
  const LockValue& value() const { return value_; }

  ResourceState State() const;
  static LockQueue FromState(const ResourceState& state);

 private:
  LockHolder* HolderOf(LockOwner owner);
  bool FitsHolders(LockOwner owner, LockMode mode) const;

  ResourceId resource_;
  std::vector<LockHolder> holders_;
  std::deque<LockWaiter> converting_;
  std::deque<LockWaiter> waiting_;
  LockValue value_;
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
