// A disk that loses what was not synced and never fails otherwise: for unit tests and scenario
// scripts. The simulator uses the shipped stores (raftlog/sim/node_disk.h).
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "raftlog/log_reader.h"
#include "raftlog/output.h"
#include "raftlog/recovered_state.h"

namespace pgquorum::raft::test {

class ModelDisk : public LogReader {
 public:
  // An empty disk, as of a node that joins.
  ModelDisk() = default;
  // A founding member's.
  explicit ModelDisk(const Bootstrap& bootstrap);

  // --- writing; batches become durable in order ---
  void Queue(Persist batch) { pending_.push_back(std::move(batch)); }
  std::size_t pending() const { return pending_.size(); }
  // The oldest batch is durable now.
  Persist CompleteOne();
  // Everything unsynced is lost.
  void DropPending() { pending_.clear(); }
  // Entries from `from` on turn out to be unreadable at the next Recover().
  void LoseFrom(Index from);
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
  const std::vector<Entry>& entries() const { return entries_; }

  Result<std::vector<Entry>> Read(Index first, Index last, uint64_t max_bytes) override;

 private:
  HardState hard_state_;
  SnapshotMeta snapshot_;
  std::string snapshot_data_;
  Index first_{1};
  std::vector<Entry> entries_;
  Term refill_term_;
  Index refill_index_;

  SnapshotMeta partial_meta_;
  std::string partial_data_;
  std::deque<Persist> pending_;
};

}  // namespace pgquorum::raft::test

#include "base/pure.h"
