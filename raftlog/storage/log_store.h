// The durable log of one Raft instance: entries, term and vote, snapshot markers, in checksummed
// records in zero-filled, recycled segments. Format: FORMAT.md; rules: README.md.
//
// Threads: Write, MarkSnapshot, Release and Prove from one thread (the log writer); Read, the
// observers and PrepareSpare from any. An error of the disk is final: every later call returns it,
// nothing is retried, and the node must stop voting and acknowledging.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "raftlog/log_reader.h"
#include "raftlog/output.h"
#include "raftlog/recovered_state.h"
#include "raftlog/storage/log_format.h"
#include "raftlog/storage/log_index.h"
#include "raftlog/storage/log_recovery.h"
#include "raftlog/storage/segment_pool.h"
#include "raftlog/storage/snapshot_store.h"
#include "raftlog/storage/state_directory.h"

namespace pgquorum::raft {

struct LogStoreOptions {
  uint64_t segment_bytes = uint64_t{16} << 20;  // 64 KiB to 1 GiB, a multiple of 4096
  uint32_t spare_segments = 2;                  // made ahead; 0 to 16
  Status Validate() const;
};

struct LogStoreStats {
  Index first;  // the log on disk
  Index last;
  uint64_t segments = 0;
  uint64_t bytes = 0;  // of all segments, records and dead ones alike
  uint64_t writes = 0;
  uint64_t syncs = 0;
  uint64_t bytes_written = 0;
  uint64_t segments_made = 0;
  uint64_t segments_recycled = 0;
};

class LogStore : public LogReader {
 public:
  // `directory` and `snapshots` outlive the store. Damage is not an error here but a node that must
  // be refilled: see recovered(), damage().
  static Result<std::unique_ptr<LogStore>> Open(StateDirectory& directory, SnapshotStore& snapshots,
                                                const LogStoreOptions& options);

  // As found at Open (or just bootstrapped).
  const RecoveredState& recovered() const { return recovered_; }
  // What was damaged, for the log; empty: nothing.
  const std::string& damage() const { return image_damage_; }
  // Bytes of an unfinished write that were dropped at Open.
  uint64_t torn_bytes() const { return torn_bytes_; }
  // Nothing was ever written here: neither a term nor an entry.
  bool pristine() const;
  // The first contents of a founding member. Precondition: pristine().
  Status WriteBootstrap(const Bootstrap& bootstrap);

  // Behind the log as it was found (raftlog/force.h). Before anything else is written.
  Status WriteForced(const Bootstrap& forced);

  // Everything of `batches`, in order, durable on return, under one sync where it fits into the
  // segment. Snapshots that they install must be published already (SnapshotStore::Publish).
  Status Write(std::span<const Persist* const> batches);
  // The snapshot is published; the log may be released up to it from now on.
  Status MarkSnapshot(const SnapshotMeta& meta);
  // Frees whole segments without a live entry above `through`, which is at most the newest
  // marker's index.
  Status Release(Index through);
  // Records, without a sync, that all before is durable: call when idle, so that damage to the last
  // write is recognized as such and not taken for a torn one. Does nothing twice.
  Status Prove();
  // The core has got back what was lost (Core::refilling() turned false).
  void RefillDone() { refill_ = {}; }
  // One step towards a spare segment (SegmentPool::Replenish), while missing_spares() is not 0.
  Status PrepareSpare() { return pool_->Replenish(); }
  uint32_t missing_spares() const { return pool_->missing(); }

  Result<std::vector<Entry>> Read(Index first, Index last, uint64_t max_bytes) override;
  LogStoreStats stats() const;
  // The index of the newest marker. Writer's thread only.
  Index marked_snapshot() const { return marker_.index; }

 private:
  // Something written, to enter the index when it is durable.
  struct Pending {
    RecordType type = RecordType::kEntry;
    EntryType entry_type = EntryType::kNoOp;
    Term term;
    Index index;
    uint64_t offset = 0;
  };

  LogStore(StateDirectory& directory, SnapshotStore& snapshots, const LogStoreOptions& options);

  Status WriteAtStart(const Bootstrap& write);
  Status Recover();
  Status AdoptImage(LogImage image);
  Status WriteTailAgain(const LogSegment& newest, uint64_t synced);
  Status ResolveSnapshot(LogImage& image);
  Status BuildRecovered();
  Status Fail(Status status);

  Status Add(RecordType type, EntryType entry_type, Term term, Index index,
             std::string_view payload);
  void AddHead();
  Status AddMarker(RecordType type, const SnapshotMeta& meta);
  Status Flush();
  void Publish();
  Status StartSegment(std::size_t record_bytes);
  SegmentHeader HeaderFor(uint64_t sequence) const;
  uint32_t SeedOf(const LogSegment& segment) const;

  StateDirectory& directory_;
  SnapshotStore& snapshots_;
  const LogStoreOptions options_;
  std::unique_ptr<SegmentPool> pool_;
  RecoveredState recovered_;
  std::string image_damage_;
  uint64_t torn_bytes_ = 0;

  // The writer's.
  Status fatal_;
  HardState hard_state_;
  Refill refill_;
  SnapshotMeta marker_;  // position of the newest durable or pending marker
  bool needs_segment_ = true;
  uint64_t last_sequence_ = 0;
  std::shared_ptr<File> file_;  // of the newest segment
  uint32_t seed_ = 0;
  uint64_t capacity_ = 0;
  uint64_t written_ = 0;  // records end here, the next one begins
  uint64_t durable_ = 0;  // the watermark
  // The log's end as pending records leave it.
  Index end_;
  Term end_term_;
  std::string buffer_;
  std::vector<Pending> pending_;

  mutable std::mutex mutex_;  // guards what follows, against readers
  LogIndex index_;
  LogStoreStats stats_;
};

}  // namespace pgquorum::raft

#include "base/pure.h"
