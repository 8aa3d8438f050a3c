// The directory of the buckets that this instance masters: for each page who has it. An entry
// without any holder says nothing and is not kept; the number of entries is bounded, and the least
// recently used one is recalled when room is needed (gcs/block_master.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "cachefusion/grd/ring.h"
#include "cachefusion/message.h"
#include "cachefusion/types.h"

namespace pgquorum::fusion {

// A conversion under way.
struct Conversion {
  enum class Step : uint8_t { kInvalidating, kMoving, kWriting, kRecalling };

  QueuedRequest request;
  uint64_t id = 0;
  Step step = Step::kMoving;
  InstanceSet waiting;      // acknowledgements that are missing
  InstanceId source;        // who sends the page; nobody: it is read from disk
  bool in_place = false;    // the requester has a copy already
  bool pass_dirty = false;  // a former owner gave its dirty duty up for the requester
};

// What only a busy entry needs; kept apart, so that an idle one is small.
struct EntryWork {
  std::optional<Conversion> active;
  std::deque<QueuedRequest> queue;
  bool adopting = false;  // while the directory is rebuilt: an acknowledgement or a read is due
};

struct Entry {
  PageId page;
  InstanceSet sharers;              // Shared copies of others than the owner
  std::unique_ptr<EntryWork> work;  // null: idle
  std::vector<PastHolder> pasts;
  Entry* newer = nullptr;  // by last use
  Entry* older = nullptr;
  Entry* next = nullptr;  // of the same bucket
  Entry* previous = nullptr;
  InstanceId owner;         // Exclusive, or Shared with the duty to write
  bool recovering = false;  // dead redo has to be replayed before anybody gets the page

  EntryWork& Work() {
    if (!work) {
      work = std::make_unique<EntryWork>();
    }
    return *work;
  }
  bool busy() const { return work && (work->active || !work->queue.empty() || work->adopting); }
  bool held() const { return owner || !sharers.empty(); }
  // Nothing would be lost with it.
  bool empty() const { return !held() && pasts.empty() && !recovering && !busy(); }
  // Keeps the newest version of each holder.
  void AddPast(InstanceId holder, Psn psn);
};

class Directory {
 public:
  explicit Directory(std::size_t capacity) : capacity_(capacity) {}

  Entry* Find(PageId page);
  // Never fails; whether there is room is the caller's question (full()).
  Entry& Create(PageId page);
  void Erase(PageId page);
  void Touch(Entry& entry);
  void Clear();
  // The least recently used entry that is not busy, looking at no more than `limit`; null: none.
  Entry* Oldest(std::size_t limit);

  std::size_t size() const { return entries_.size(); }
  std::size_t capacity() const { return capacity_; }
  bool full() const { return entries_.size() >= capacity_; }
  // From here on entries are recalled in advance.
  bool nearly_full() const { return entries_.size() * 10 >= capacity_ * 9; }
  // In the order of the pages, so that what depends on it is the same everywhere.
  std::vector<PageId> Pages() const;
  std::vector<PageId> PagesOf(Bucket bucket) const;

 private:
  void Unlink(Entry& entry);
  void UnlinkBucket(Entry& entry);
  void LinkNewest(Entry& entry);

  std::size_t capacity_;
  std::unordered_map<PageId, Entry> entries_;
  std::unordered_map<Bucket, Entry*> buckets_;  // first entry of each that has one
  Entry* newest_ = nullptr;
  Entry* oldest_ = nullptr;
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
