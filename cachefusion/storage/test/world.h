// A storage over the file system that loses power, its shared memory and its latches.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <new>
#include <shared_mutex>
#include <string>
#include <vector>

#include "base/storage/memory_file.h"
#include "cachefusion/storage/recovery.h"
#include "cachefusion/storage/storage.h"

namespace pgquorum::fusion {

// Latches of threads.
class ThreadLatches : public Latches {
 public:
  explicit ThreadLatches(uint32_t count) : latches_(count) {}

  void Acquire(LatchId latch, LatchMode mode) override {
    Latch& l = latches_[latch];
    if (mode == LatchMode::kShared) {
      l.mutex.lock_shared();
    } else {
      l.mutex.lock();
      l.exclusive = true;
    }
  }
  bool TryAcquire(LatchId latch, LatchMode mode) override {
    Latch& l = latches_[latch];
    if (mode == LatchMode::kShared) {
      return l.mutex.try_lock_shared();
    }
    if (!l.mutex.try_lock()) {
      return false;
    }
    l.exclusive = true;
    return true;
  }
  void Release(LatchId latch) override {
    Latch& l = latches_[latch];
    if (l.exclusive) {  // only its exclusive holder can see it set
      l.exclusive = false;
      l.mutex.unlock();
    } else {
      l.mutex.unlock_shared();
    }
  }
  bool AcquireOrWait(LatchId latch) override {
    if (TryAcquire(latch, LatchMode::kExclusive)) {
      return true;
    }
    Acquire(latch, LatchMode::kExclusive);
    Release(latch);
    return false;
  }

 private:
  struct Latch {
    std::shared_mutex mutex;
    bool exclusive = false;
  };
  std::vector<Latch> latches_;
};

inline const char* const kDir = "shared";
inline constexpr InstanceId kInstance{1};

inline StorageSizes SmallSizes() {
  StorageSizes sizes;
  sizes.frames = kPartitions;
  sizes.redo_file_bytes = 16 * 1024 + kRedoFileHeaderBytes;
  return sizes;
}

// Shared memory of one life of an instance.
class Memory {
 public:
  explicit Memory(const StorageSizes& sizes)
      : latches(sizes.LatchCount()), bytes_(sizes.MemoryBytes() / 64 + 1) {
    std::memset(bytes_.data(), 0, bytes_.size() * sizeof(Line));
  }
  void* get() { return bytes_.data(); }

  ThreadLatches latches;

 private:
  struct alignas(64) Line {
    char bytes[64];
  };
  std::vector<Line> bytes_;
};

// One life: recovered and open, or `status` says why not.
struct Life {
  explicit Life(FileSystem& fs, const StorageSizes& sizes = SmallSizes())
      : memory(sizes), storage(fs, kDir, kInstance, sizes, memory.get(), memory.latches) {
    RecoveryOptions options;
    options.redo_file_bytes = sizes.redo_file_bytes;
    options.max_pages_in_memory = 8;  // so that recovery, too, writes in the middle
    Result<RecoveryReport> recovered = Recover(fs, kDir, kInstance, options);
    status = recovered.status();
    if (status.ok()) {
      report = recovered.value();
      status = storage.Open(report.control);
    }
  }

  Memory memory;
  Storage storage;
  RecoveryReport report;
  Status status;
};

inline Status MakeStorage(FileSystem& fs) {
  Status made = fs.MakeDirectory(kDir);
  StorageIdentity identity;
  identity.storage_id = 0x5107A6E;
  identity.system_identifier = 42;
  return made.ok() ? CreateStorage(fs, kDir, identity, kInstance) : made;
}

// A change of one page: `size` bytes of `fill` at a fixed place. Formats the page when it is new.
inline Status Fill(Storage& storage, PageId id, char fill, std::size_t size = 200) {
  Result<PageGuard> guard = storage.pages().Fetch(id, LatchMode::kExclusive);
  if (!guard.ok()) {
    return guard.status();
  }
  Mutation mutation(storage.pages(), 0);
  PageChange& change = mutation.Change(guard.value());
  if (!guard.value().formatted()) {
    change.Format(PageKind::kTable);
  }
  change.Write(1000, std::string(size, fill));
  return mutation.Commit().status();
}

}  // namespace pgquorum::fusion
