// The lock service's deciding side: the resources of the buckets that this instance masters.
#pragma once

#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

#include "cachefusion/ges/lock_queue.h"
#include "cachefusion/grd/ring.h"
#include "cachefusion/output.h"

namespace pgquorum::fusion {

struct LockCounters {
  uint64_t requests = 0;
  uint64_t granted_at_once = 0;
  uint64_t granted_later = 0;
  uint64_t refused = 0;
  uint64_t cancelled = 0;
  uint64_t values_invalidated = 0;
};

class LockMaster {
 public:
  explicit LockMaster(Outbox& out) : out_(out) {}

  // --- messages ---
  void OnLock(const Message& message);
  void OnCancel(const Message& message);
  void OnUnlock(const Message& message);

  // Who waits for whom here.
  std::vector<WaitEdge> Edges() const;

  // --- reconfiguration ---
  // Keeps nothing but value blocks, for Values(), until the next unfreezing. `dead`: members that
  // are no more; what they may have changed is marked.
  void Freeze(InstanceSet dead);
  // What this instance knows as a former master; reports without owner.
  std::vector<LockReport> Values() const;
  void AddReports(const std::vector<LockReport>& reports);
  // `deaths`: a member has died since all were last unfrozen.
  void Rebuild(bool deaths);
  void Unfreeze();

  // --- remastering ---
  // The values are remembered until Arrived(): a bucket on its way may be lost with its epoch.
  std::vector<ResourceState> Extract(Bucket bucket);
  void Arrived(Bucket bucket);
  void Install(const std::vector<ResourceState>& states);

  const std::map<ResourceId, LockQueue>& resources() const { return resources_; }
  const LockCounters& counters() const { return counters_; }

 private:
  LockQueue& QueueOf(ResourceId resource);
  void Tell(const LockQueue& queue, ResourceId resource,
            const std::vector<LockQueue::Granted>& granted);
  void EraseIfEmpty(ResourceId resource);

  Outbox& out_;
  std::map<ResourceId, LockQueue> resources_;
  std::vector<Message> held_;  // came before this member was unfrozen
  bool frozen_ = true;
  struct Carried {
    LockValue value;
    bool vouched = false;  // nobody can have changed it since without a mark in `value`
  };
  std::map<ResourceId, Carried> carried_;
  std::map<Bucket, std::map<ResourceId, LockValue>> on_their_way_;
  std::map<ResourceId, std::vector<LockReport>> reports_;
  LockCounters counters_;
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
