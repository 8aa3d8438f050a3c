// The disk of a simulated node: the shipped stores (raftlog/storage) over a file system that loses
// power, runs full, reports errors and forgets (base/storage/memory_file.h). Does what the
// runtime's writer and files threads do, one step at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/storage/memory_file.h"
#include "raftlog/log_terms.h"
#include "raftlog/storage/log_store.h"
#include "raftlog/storage/snapshot_store.h"
#include "raftlog/storage/state_directory.h"

namespace pgquorum::raft::sim {

// Defects of the storage rather than of the core; see raftlog/bug.h.
struct DiskBugs {
  bool forget_vote = false;              // hard state is not written (PySyncObj #84)
  bool forget_synced_tail = false;       // syncs are lies (etcd #10166)
  bool half_installed_snapshot = false;  // the log says so before the file is there (etcd #10219)
};

// What the next write of the log runs into.
enum class DiskFault : uint8_t {
  kNone,
  kWriteError,
  kNoSpace,
  kShortWrite,
  kSyncError,
  kLaterError,  // making or renaming a segment, releasing one
};

// What befell bytes that had been durable.
enum class Damage : uint8_t { kNone, kBitFlip, kLostWrite, kSnapshot };

// As the runtime's LogJob.
struct DiskJob {
  std::optional<Persist> persist;
  bool refill_done = false;
  std::optional<SnapshotMeta> mark;
  Index release;
  SnapshotMeta keep;
};

class NodeDisk {
 public:
  NodeDisk(NodeId id, const Bootstrap* founding, const DiskBugs& bugs, uint32_t spare_segments);

  // The process starts. Returns the broken promise of the disk, or nothing: what was reported
  // durable is there or known to be missing, and only damage is called damage.
  std::string Open();
  // The process ends, in the middle of the group under way if there is one, and with the power or
  // without. True: a part of that group was written.
  bool Crash(Random& random, MemoryLoss loss);

  const RecoveredState& recovered() const { return log_->recovered(); }
  bool found_damage() const { return !log_->damage().empty(); }
  bool found_torn() const { return log_->torn_bytes() > 0; }
  LogReader& reader() { return *log_; }
  uint64_t segments_recycled() const { return log_->stats().segments_recycled; }

  // --- the writer's thread ---
  void Queue(DiskJob job) { queue_.push_back(std::move(job)); }
  bool idle() const { return queue_.empty() && group_.empty(); }
  // Everything that waits goes into the next write and sync; a marker or a release stands alone.
  void BeginGroup();
  // Carries the group out. Not ok: the disk has failed, the process must end.
  Status FinishGroup(std::vector<DiskJob>& done);
  // To be told of each job of a finished group, in order: an entry may have been acknowledged and
  // replaced by one and the same write.
  void NoteDurable(const DiskJob& job);
  Status Prove();

  // --- the files thread ---
  Status Save(const SnapshotMeta& meta, std::string_view data, bool no_space);
  Result<uint64_t> WritePiece(const SnapshotWrite& piece);
  Result<std::string> ReadPiece(const SnapshotMeta& meta, uint64_t offset, uint64_t max_bytes);
  Result<std::string> Load(const SnapshotMeta& meta) { return snapshots_->Load(meta); }
  Status PrepareSpare() { return log_->PrepareSpare(); }

  // --- faults ---
  void FailNextWrite(DiskFault fault) { planned_ = fault; }
  // Which one a failed group ran into.
  DiskFault failed_with() const { return failed_with_; }
  // Spoils something that the log itself proves durable, so that it must be noticed. With `dies`
  // the process has to end at once.
  Damage Spoil(Random& random, bool& dies);

  // --- what is durable, for the checker ---
  Index last() const { return terms_.last(); }
  Index snapshot_index() const { return snapshot_index_; }
  // The durable log or the snapshot includes this entry; or the node has lost it, knows that, and
  // makes up for it: it takes no part in elections before its log is as up-to-date again.
  bool Vouches(Index index, Term term) const;

 private:
  struct Range {
    std::string path;
    uint64_t begin;
    uint64_t end;
    bool newest;  // segment
  };

  Status OpenStores();
  std::string CheckPromises();
  Status Carry();
  Status CarryBatches();
  std::vector<Range> ProvenRanges();

  NodeId id_;
  const Bootstrap* founding_;
  DiskBugs bugs_;
  uint32_t spare_segments_;
  std::string path_;
  MemoryFileSystem fs_;
  std::unique_ptr<StateDirectory> directory_;
  std::unique_ptr<SnapshotStore> snapshots_;
  std::unique_ptr<LogStore> log_;
  std::deque<DiskJob> queue_;
  std::vector<DiskJob> group_;
  DiskFault planned_ = DiskFault::kNone;
  DiskFault failed_with_ = DiskFault::kNone;

  // As it was reported durable.
  LogTerms terms_;
  Index snapshot_index_;
  HardState hard_state_;
  Refill refill_;
  std::size_t unnoted_ = 0;  // jobs of the latest group whose fate is not known to all
  bool unsure_ = true;       // writes were under way when the process ended
  bool spoiled_ = false;     // and damage may be found
};

}  // namespace pgquorum::raft::sim

#include "base/pure.h"
