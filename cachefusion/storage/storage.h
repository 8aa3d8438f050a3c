// The storage of one instance, put together: files, redo, cache, checkpoint. One Storage object a
// process over one region of shared memory (zeroed bytes: closed).
//
//   the fusion worker                     every other process
//   Recover() (recovery.h)
//   Storage::Open(control)                Storage::pages().Fetch(…), Mutation, FlushRedo()
//   Checkpoint() now and then             …
//   Close()
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/status.h"
#include "base/storage/file.h"
#include "cachefusion/storage/cache.h"
#include "cachefusion/storage/format.h"
#include "cachefusion/storage/latches.h"

namespace pgquorum::fusion {

struct StorageSizes {
  uint32_t frames = 1024;  // at least kPartitions
  std::size_t redo_ring_bytes = std::size_t{4} << 20;
  std::size_t redo_file_bytes = kDefaultRedoFileBytes;

  std::size_t MemoryBytes() const;
  uint32_t LatchCount() const { return kFrameLatches + frames; }
};

// At the start of the region; frames, chains, ring and pages follow.
struct StorageShared {
  RedoShared redo;
  CacheShared cache;
  std::atomic<uint64_t> storage_id;
  std::atomic<uint64_t> control_sequence;
  std::atomic<uint64_t> checkpoint;  // where a recovery would begin now
  std::atomic<uint64_t> checkpoints;
  std::atomic<uint64_t> next_transaction;
  std::atomic<uint64_t> scn;  // the latest commit number that snapshots see
};

class Storage {
 public:
  // `memory` has MemoryBytes() and is aligned to 64. All references outlive this.
  Storage(FileSystem& fs, std::string directory, InstanceId instance, const StorageSizes& sizes,
          void* memory, Latches& latches);
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  // After recovery: begins the thread of `control.incarnation`, makes `control` durable, opens the
  // gate. `control` is what Recover() returned.
  Status Open(const ControlState& control);
  // Everything is written and the control file says so: the next start replays nothing.
  // `oldest_unresolved`: as in ControlState.
  Status Close(uint64_t oldest_unresolved);
  // Writes what is dirty and moves the place where a recovery would begin.
  Status Checkpoint(uint64_t oldest_unresolved);
  // Trims the redo that a recovery would replay to about `max_redo_bytes`, a bounded step at a
  // time. Returns the number of pages written; 0: nothing to do.
  Result<std::size_t> WriteBehind(uint64_t max_redo_bytes, std::size_t max_pages);

  // The segment's pages and files are gone, durably and for every later recovery.
  Status RemoveSegment(uint64_t segment);

  Status FlushRedo(RedoAddress to) { return redo_.Flush(to); }
  bool broken() const { return shared_.redo.broken.load(std::memory_order_acquire) != 0; }
  Cache& pages() { return cache_; }
  RedoLog& redo() { return redo_; }
  SegmentStore& segments() { return segments_; }
  StorageShared& shared() { return shared_; }
  Latches& latches() { return latches_; }

 private:
  Status WriteControl(RedoAddress checkpoint, uint64_t oldest_unresolved, bool clean);
  static CacheMemory Lay(const StorageSizes& sizes, void* memory, StorageShared& shared);

  FileSystem& fs_;
  std::string directory_;
  InstanceId instance_;
  Latches& latches_;
  StorageShared& shared_;
  SegmentStore segments_;
  DoubleWrite double_write_;
  RedoLog redo_;
  Cache cache_;
};

// The control file. The slot that is not the latest is written, so an interrupted write leaves the
// one before.
Status WriteControlSlot(FileSystem& fs, const std::string& directory, InstanceId instance,
                        const ControlState& state);
// The latest valid slot; kErrDamaged when there is none.
Result<ControlState> ReadControl(FileSystem& fs, const std::string& directory, InstanceId instance);

}  // namespace pgquorum::fusion

#include "base/pure.h"
