// A disk that loses what was not synced. Used by the simulator, the scenario scripts and tests.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "base/random.h"
#include "raftlog/log_reader.h"
#include "raftlog/output.h"
#include "raftlog/recovered_state.h"

namespace pgquorum::raft::sim {

// Defects of the storage rather than of the core; see raftlog/bug.h.
struct DiskBugs {
  bool forget_vote = false;              // hard state is not synced (PySyncObj #84, sofa-jraft #96)
  bool forget_synced_tail = false;       // a crash drops durable entries too (etcd #10166)
  bool half_installed_snapshot = false;  // the old log survives a new snapshot (etcd #10219)
};

class ModelDisk : public LogReader {
 public:
  // An empty disk, as of a node that joins.
  ModelDisk() = default;
  // A founding member's.
  explicit ModelDisk(const Bootstrap& bootstrap);

  DiskBugs bugs;

  // --- writing; batches become durable in order ---
  void Queue(Persist batch) { pending_.push_back(std::move(batch)); }
  std::size_t pending() const { return pending_.size(); }
  // The oldest batch is durable now.
  Persist CompleteOne();
  // Everything unsynced is lost, but for what happened to reach the platter: some whole batches and
  // a part of the next.
  void Crash(Random& random);
  // Everything unsynced is lost, without exception.
  void DropPending() { pending_.clear(); }
  RecoveredState Recover() const;

  // --- snapshots ---
  // A piece of a received snapshot. Returns the offset for Core::SnapshotWritten.
  uint64_t WritePiece(const SnapshotWrite& piece);
  // A snapshot of the own state machine, durable at once.
  void SaveSnapshot(const SnapshotMeta& meta, std::string data);
  void Compact(Index through);
  const SnapshotMeta& snapshot() const { return snapshot_; }
  const std::string& snapshot_data() const { return snapshot_data_; }

  // --- what is durable ---
  const HardState& hard_state() const { return hard_state_; }
  Index first() const { return first_; }
  Index last() const { return first_ + entries_.size() - 1; }
  // True when the durable log, or the snapshot, includes this entry.
  bool Holds(Index index, Term term) const;
  const std::vector<Entry>& entries() const { return entries_; }

  Result<std::vector<Entry>> Read(Index first, Index last, uint64_t max_bytes) override;

 private:
  void Apply(const Persist& batch, bool torn, Random* random);

  HardState hard_state_;
  SnapshotMeta snapshot_;
  std::string snapshot_data_;
  Index first_{1};
  std::vector<Entry> entries_;

  SnapshotMeta partial_meta_;
  std::string partial_data_;
  std::deque<Persist> pending_;
};

}  // namespace pgquorum::raft::sim

#include "base/pure.h"
