// The buffer cache of one instance: frames in shared memory, found through a partitioned hash map,
// replaced by a clock sweep. One Cache object a process; all state is shared.
//
// A page is used through a PageGuard: pinned and latched, released when the guard dies. Rules:
//   - every page comes in through the gate (grd/local_gate.h), in the order that it asks for
//   - what a guard in shared mode shows never changes; in exclusive mode only a Mutation changes it
//   - a changed page is dirty from before its redo record exists until it is in its place on disk;
//     `dirty_from` is at most the address of the first record that the disk does not have yet
//   - redo before data: a page is written after the redo up to its last change is durable
// Eviction never waits for a page's latch, so it may happen while other pages are latched.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/status.h"
#include "cachefusion/grd/local_gate.h"
#include "cachefusion/page/page.h"
#include "cachefusion/page/page_change.h"
#include "cachefusion/storage/double_write.h"
#include "cachefusion/storage/latches.h"
#include "cachefusion/storage/redo_log.h"
#include "cachefusion/storage/segment_store.h"

namespace pgquorum::fusion {

struct Frame {
  std::atomic<uint32_t> state;  // pins, usage, flags: cache.cpp
  uint32_t next;                // in the hash chain; the partition's latch
  uint64_t segment;             // changes only while the frame is unlinked
  uint32_t block;
  std::atomic<uint32_t> mode;   // BlockMode granted, 0: none
  std::atomic<uint64_t> epoch;  // of the grant
  std::atomic<uint64_t> dirty_from;
  std::atomic<uint64_t> dirty_again_from;  // changed while it was being written
};
static_assert(sizeof(Frame) == 48);

struct CacheShared {
  LocalGate gate;
  std::atomic<uint64_t> hand;
  std::atomic<uint64_t> hits;
  std::atomic<uint64_t> misses;
  std::atomic<uint64_t> evictions;
  std::atomic<uint64_t> written;            // pages
  std::atomic<uint64_t> written_by_demand;  // of these, because a frame was needed
  std::atomic<uint64_t> batches;
  std::atomic<uint64_t> removals;  // segments: processes close their files when it changes
};

// Pointers into shared memory; see StorageMemory.
struct CacheMemory {
  CacheShared* shared = nullptr;
  Frame* frames = nullptr;
  uint32_t* heads = nullptr;  // hash chains, `frame_count` of them
  char* pages = nullptr;
  uint32_t frame_count = 0;
};

class Cache;

class PageGuard {
 public:
  PageGuard() = default;
  PageGuard(PageGuard&& other) noexcept
      : cache_(std::exchange(other.cache_, nullptr)), frame_(other.frame_), mode_(other.mode_) {}
  PageGuard& operator=(PageGuard&& other) noexcept {
    Release();
    cache_ = std::exchange(other.cache_, nullptr);
    frame_ = other.frame_;
    mode_ = other.mode_;
    return *this;
  }
  PageGuard(const PageGuard&) = delete;
  PageGuard& operator=(const PageGuard&) = delete;
  ~PageGuard() { Release(); }

  void Release();
  bool held() const { return cache_ != nullptr; }
  PageId id() const;
  const char* page() const;
  const PageHeader& header() const { return HeaderOf(page()); }
  // False: nobody has formatted it yet.
  bool formatted() const { return header().version != 0; }

 private:
  friend class Cache;
  friend class Mutation;
  PageGuard(Cache* cache, uint32_t frame, LatchMode mode)
      : cache_(cache), frame_(frame), mode_(mode) {}

  Cache* cache_ = nullptr;
  uint32_t frame_ = 0;
  LatchMode mode_ = LatchMode::kShared;
};

class Cache {
 public:
  Cache(CacheMemory memory, SegmentStore& segments, DoubleWrite& double_write, RedoLog& redo,
        RedoShared& redo_shared, Latches& latches);

  // kErrStorageClosed when the gate grants nothing, kErrDamaged, kErrIo, and 53200 when every frame
  // is in use.
  Result<PageGuard> Fetch(PageId id, LatchMode mode);

  // Writes dirty pages whose first unwritten change is older than `before`, waiting for their
  // latches; at most `max_pages`. Returns how many. The caller holds no latch.
  Result<std::size_t> WriteOlderThan(RedoAddress before, std::size_t max_pages);
  // The redo from here on is needed to rebuild what the disk does not have; `end` when all is
  // clean.
  RedoAddress OldestDirty(RedoAddress end) const;
  // Throws a segment's pages away, dirty or not. Nobody uses the segment any more.
  void Forget(uint64_t segment);

  struct Usage {
    uint32_t frames = 0;
    uint32_t used = 0;
    uint32_t dirty = 0;
    uint32_t pinned = 0;
  };
  Usage Count() const;
  const CacheShared& shared() const { return *memory_.shared; }

 private:
  friend class PageGuard;
  friend class Mutation;

  struct Copy {
    uint32_t frame;
    PageId id;
  };

  static LatchId PartitionOf(PageId id);
  uint32_t& HeadOf(PageId id);
  char* PageOf(uint32_t frame) const { return memory_.pages + std::size_t{frame} * kPageBytes; }
  PageId IdOf(uint32_t frame) const {
    return {memory_.frames[frame].segment, memory_.frames[frame].block};
  }
  // A frame of the map, pinned; kNoFrame. The partition's latch is held.
  uint32_t FindAndPin(PageId id);
  void Unlink(uint32_t frame);
  void Unpin(uint32_t frame);
  // A frame that is pinned by us alone and not in the map.
  Result<uint32_t> TakeFrame();
  bool Evict(uint32_t frame);
  Result<uint32_t> PinPage(PageId id);
  Status LatchPage(uint32_t frame, LatchMode mode);
  Status Load(uint32_t frame);
  void MarkDirty(uint32_t frame);

  enum class CopyResult : uint8_t {
    kCopied = 0,
    kNotWanted = 1,  // clean, younger, or being written
    kBusy = 2,       // latched by somebody; only without `wait`
  };
  // Copies a dirty page for writing and marks it. Whoever waits must hold no marked page: its
  // latch's holder may be waiting for a frame that is marked.
  CopyResult CopyForWrite(uint32_t frame, bool wait, RedoAddress before, char* to);
  // A writer marks only a part of the frames, so that others find some.
  std::size_t BatchPages() const;
  Status WriteCopies(const std::vector<Copy>& copies, char* pages);
  void FinishWrite(uint32_t frame);
  Status WriteOnDemand(uint32_t first);
  void NoticeRemovals();

  CacheMemory memory_;
  SegmentStore& segments_;
  DoubleWrite& double_write_;
  RedoLog& redo_;
  RedoShared& redo_shared_;
  Latches& latches_;
  uint64_t removals_seen_ = 0;
};

// An atomic change of up to kMaxRedoPages pages: one redo record. The pages' guards are exclusive
// and stay held until Commit().
class Mutation {
 public:
  // `transaction`: 0 for changes of the storage itself.
  Mutation(Cache& cache, uint64_t transaction) : cache_(cache), transaction_(transaction) {}
  // A change that was begun must be committed: the page would differ from its redo.
  ~Mutation();
  Mutation(const Mutation&) = delete;
  Mutation& operator=(const Mutation&) = delete;

  PageChange& Change(PageGuard& guard);
  // The end of the record, up to which redo must be flushed to make the change durable. After an
  // error the storage is broken: the pages are never written, and only a recovery helps.
  Result<RedoAddress> Commit();

 private:
  struct Part {
    uint32_t frame;
    PageChange change;
  };

  Cache& cache_;
  uint64_t transaction_;
  std::vector<std::unique_ptr<Part>> parts_;
  bool committed_ = false;
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
