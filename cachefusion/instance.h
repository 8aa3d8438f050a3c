// One instance of a fusion group: everything it does for others and itself, in one thread.
//
// The runtime's loop:
//   feed inputs (a delivered message, a use of a page, a completed read, a tick, a new membership)
//   for each action of Take(), in order: carry it out (output.h)
//
// A runtime with several threads runs one of these in each, with the buckets divided among them.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "cachefusion/gcs/block_holder.h"
#include "cachefusion/gcs/block_master.h"
#include "cachefusion/ges/deadlock.h"
#include "cachefusion/ges/lock_client.h"
#include "cachefusion/ges/lock_master.h"
#include "cachefusion/grd/affinity.h"
#include "cachefusion/grd/ring.h"
#include "cachefusion/membership.h"
#include "cachefusion/output.h"
#include "cachefusion/reconfig/recovery.h"

namespace pgquorum::fusion {

struct InstanceOptions {
  std::size_t directory_entries = 1'000'000;  // up to 10,000,000
  AffinityOptions affinity;
  uint64_t affinity_interval_ticks = 600;
  uint64_t drain_cap_ticks = 2;  // a bucket that can not be drained so fast stays
  uint64_t deadlock_interval_ticks = 10;
};

class Instance {
 public:
  Instance(InstanceId self, Incarnation life, const InstanceOptions& options);
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  // --- inputs ---
  // A later one than before. Not among the members: this instance is fenced for ever.
  void NewMembership(const Membership& membership);
  void Deliver(const Message& message);
  void Tick();
  BlockHolder& blocks() { return blocks_; }
  LockClient& locks() { return locks_; }
  void VersionRead(PageId page, uint64_t id, Psn psn);
  void Replayed(PageId page, uint64_t id, Psn psn, Psn on_disk);
  void RedoScanned(Incarnation thread, uint64_t id, const std::vector<PageMark>& marks);
  // Waits outside of the lock service (the server's own lock manager): taken into every sample.
  void SetLocalEdges(std::vector<WaitEdge> edges) { local_edges_ = std::move(edges); }

  // --- output ---
  std::vector<Action> Take();

  // --- state, for views and checkers ---
  InstanceId self() const { return out_.self; }
  Incarnation life() const { return life_; }
  Epoch epoch() const { return out_.epoch; }
  bool fenced() const { return fenced_; }
  bool frozen() const { return frozen_; }
  const BlockHolder& blocks() const { return blocks_; }
  BlockMaster& block_master() { return block_master_; }
  const LockMaster& lock_master() const { return lock_master_; }
  const LockClient& locks() const { return locks_; }
  const Recovery& recovery() const { return recovery_; }
  const BucketMap& map() const { return map_; }
  uint64_t remastered() const { return remastered_; }
  uint64_t passed_on() const { return passed_on_; }

 private:
  static constexpr std::size_t kReportsPerMessage = 4096;

  struct HandOver {
    Bucket bucket;
    InstanceId to;
    uint64_t deadline = 0;
  };

  void Dispatch(const Message& message);
  void DispatchBlock(const Message& message);
  void DispatchLock(const Message& message);
  void DispatchRebuild(const Message& message);
  bool PassOn(const Message& message);
  void SendReports();
  void TryRebuild();
  void TryReady();
  void OnUnfreeze();
  void OnEdges(const Message& message);
  void AnswerEdges(const Message& message);
  void StartHandOver();
  void TryHandOver();
  void OnHandOver(const Message& message);

  Incarnation life_;
  InstanceOptions options_;
  Outbox out_;
  BucketMap map_;
  BlockHolder blocks_;
  BlockMaster block_master_;
  LockMaster lock_master_;
  LockClient locks_;
  DeadlockDetector detector_;
  Affinity affinity_;
  Recovery recovery_;

  Membership membership_;
  bool fenced_ = false;
  bool frozen_ = true;
  bool deaths_ = false;  // since this member was last unfrozen
  bool reported_deaths_ = false;
  bool ready_sent_ = false;
  bool rebuild_begun_ = false;
  bool marks_complete_ = false;
  InstanceSet reports_missing_;
  std::vector<Message> early_;  // of epochs that this instance has not entered yet
  std::vector<WaitEdge> local_edges_;
  std::optional<HandOver> hand_over_;
  uint64_t now_ = 0;
  uint64_t remastered_ = 0;
  uint64_t passed_on_ = 0;
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
