#include "cachefusion/storage/cache.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/storage/errors.h"
#include "cachefusion/storage/frame_state.h"

#include "base/pure.h"

namespace pgquorum::fusion {

using namespace frame_state;  // lint: allow(using) the bits of Frame::state, used on every line

Cache::Cache(CacheMemory memory, SegmentStore& segments, DoubleWrite& double_write, RedoLog& redo,
             RedoShared& redo_shared, Latches& latches)
    : memory_(memory),
      segments_(segments),
      double_write_(double_write),
      redo_(redo),
      redo_shared_(redo_shared),
      latches_(latches) {}

LatchId Cache::PartitionOf(PageId id) {
  return kPartitionLatches + static_cast<LatchId>(std::hash<PageId>{}(id) % kPartitions);
}

uint32_t& Cache::HeadOf(PageId id) {
  // A multiple of the partitions, so that a chain belongs to one of them.
  std::size_t chains = memory_.frame_count / kPartitions * kPartitions;
  return memory_.heads[std::hash<PageId>{}(id) % chains];
}

uint32_t Cache::FindAndPin(PageId id) {
  for (uint32_t at = HeadOf(id); at != 0; at = memory_.frames[at - 1].next) {
    Frame& frame = memory_.frames[at - 1];
    if (frame.segment == id.segment && frame.block == id.block) {
      uint32_t state = frame.state.load(std::memory_order_relaxed);
      uint32_t next;
      do {
        next = state + kOnePin;
        if (UsageOf(state) < kMaxUsage) {
          next += kOneUsage;
        }
      } while (!frame.state.compare_exchange_weak(state, next, std::memory_order_acq_rel));
      return at - 1;
    }
  }
  return kNoFrame;
}

void Cache::Unlink(uint32_t frame) {
  uint32_t* link = &HeadOf(IdOf(frame));
  while (*link != frame + 1) {
    PGQUORUM_CHECK(*link != 0);
    link = &memory_.frames[*link - 1].next;
  }
  *link = memory_.frames[frame].next;
}

void Cache::Unpin(uint32_t frame) {
  uint32_t before = memory_.frames[frame].state.fetch_sub(kOnePin, std::memory_order_acq_rel);
  PGQUORUM_CHECK(PinsOf(before) > 0);
}

bool Cache::Evict(uint32_t frame) {
  Frame& f = memory_.frames[frame];
  uint32_t state = f.state.load(std::memory_order_acquire);
  if (!Idle(state) || !f.state.compare_exchange_strong(state, state + kOnePin)) {
    return false;
  }
  if ((state & kLinked) == 0) {
    return true;
  }
  LatchHold hold(latches_, PartitionOf(IdOf(frame)), LatchMode::kExclusive);
  state = f.state.load(std::memory_order_acquire);
  // New pins come through the map, so from here on nobody can appear.
  if (PinsOf(state) != 1 || (state & (kDirty | kWriting)) != 0) {
    Unpin(frame);
    return false;
  }
  Unlink(frame);
  f.state.store(kOnePin, std::memory_order_release);
  if (f.mode.exchange(0) != 0) {
    memory_.shared->gate.Returned();
  }
  memory_.shared->evictions.fetch_add(1, std::memory_order_relaxed);
  return true;
}

Result<uint32_t> Cache::TakeFrame() {
  // Enough turns to wear every usage count down.
  uint64_t tries = uint64_t{memory_.frame_count} * (kMaxUsage + 2);
  bool writing = false;
  for (uint64_t i = 0; i < tries; ++i) {
    auto at = static_cast<uint32_t>(memory_.shared->hand.fetch_add(1, std::memory_order_relaxed) %
                                    memory_.frame_count);
    Frame& frame = memory_.frames[at];
    uint32_t state = frame.state.load(std::memory_order_acquire);
    if ((state & kWriting) != 0) {
      writing = true;
    } else if (PinsOf(state) != 0) {
      continue;
    } else if (UsageOf(state) > 0) {
      frame.state.compare_exchange_strong(state, state - kOneUsage);
    } else {
      if ((state & kDirty) != 0) {
        Status written = WriteOnDemand(at);
        if (!written.ok()) {
          return written;
        }
      }
      if (Evict(at)) {
        return at;
      }
    }
    if (i + 1 == tries && writing) {
      // What others write will be free when they are done; they wait for nobody meanwhile.
      LatchHold wait(latches_, kDoubleWriteLatch, LatchMode::kExclusive);
      writing = false;
      i = 0;
    }
  }
  return Status::Error("53200", "all pages of the fusion cache are in use")
      .WithHint("Increase pgquorum.fusion_cache.");
}

Result<uint32_t> Cache::PinPage(PageId id) {
  LatchId partition = PartitionOf(id);
  {
    LatchHold hold(latches_, partition, LatchMode::kShared);
    uint32_t found = FindAndPin(id);
    if (found != kNoFrame) {
      memory_.shared->hits.fetch_add(1, std::memory_order_relaxed);
      return found;
    }
  }
  memory_.shared->misses.fetch_add(1, std::memory_order_relaxed);
  Result<uint32_t> taken = TakeFrame();
  if (!taken.ok()) {
    return taken;
  }
  Frame& frame = memory_.frames[taken.value()];
  LatchHold hold(latches_, partition, LatchMode::kExclusive);
  uint32_t found = FindAndPin(id);
  if (found != kNoFrame) {
    frame.state.store(0, std::memory_order_release);
    return found;
  }
  frame.segment = id.segment;
  frame.block = id.block;
  frame.next = HeadOf(id);
  HeadOf(id) = taken.value() + 1;
  frame.state.store(kLinked | kOnePin | kOneUsage, std::memory_order_release);
  return taken;
}

Status Cache::Load(uint32_t frame) {
  Frame& f = memory_.frames[frame];
  if (f.mode.load() == 0) {
    GateGrant grant = memory_.shared->gate.Ask(BlockMode::kExclusive);
    if (grant.answer != GateAnswer::kGranted) {
      return Status::Error(kErrStorageClosed, "fusion storage is not open")
          .WithHint("It opens when its recovery has finished; the server's log tells.");
    }
    f.epoch.store(grant.epoch.value());
    f.mode.store(static_cast<uint32_t>(grant.mode));
  }
  NoticeRemovals();
  Result<PageCheck> check = segments_.Read(IdOf(frame), PageOf(frame));
  if (!check.ok()) {
    return check.status();
  }
  if (check.value() == PageCheck::kDamaged) {
    return Status::Error(kErrDamaged, "page " + std::to_string(f.block) + " of fusion segment " +
                                          SegmentFileName(f.segment, f.block / kSegmentPartBlocks) +
                                          " does not verify");
  }
  f.state.fetch_or(kValid, std::memory_order_acq_rel);
  return Status::Ok();
}

Status Cache::LatchPage(uint32_t frame, LatchMode mode) {
  std::atomic<uint32_t>& state = memory_.frames[frame].state;
  LatchId latch = kFrameLatches + frame;
  latches_.Acquire(latch, mode);
  if ((state.load(std::memory_order_acquire) & kValid) != 0) {
    return Status::Ok();
  }
  if (mode == LatchMode::kShared) {
    latches_.Release(latch);
    latches_.Acquire(latch, LatchMode::kExclusive);
  }
  if ((state.load(std::memory_order_acquire) & kValid) == 0) {
    Status loaded = Load(frame);
    if (!loaded.ok()) {
      latches_.Release(latch);
      return loaded;
    }
  }
  if (mode == LatchMode::kShared) {
    latches_.Release(latch);
    latches_.Acquire(latch, LatchMode::kShared);  // pinned, so it stays valid
  }
  return Status::Ok();
}

Result<PageGuard> Cache::Fetch(PageId id, LatchMode mode) {
  Result<uint32_t> frame = PinPage(id);
  if (!frame.ok()) {
    return frame.status();
  }
  Status latched = LatchPage(frame.value(), mode);
  if (!latched.ok()) {
    Unpin(frame.value());
    return latched;
  }
  return PageGuard(this, frame.value(), mode);
}

void Cache::NoticeRemovals() {
  uint64_t removals = memory_.shared->removals.load(std::memory_order_acquire);
  if (removals != removals_seen_) {
    segments_.CloseFiles();
    removals_seen_ = removals;
  }
}

void Cache::Forget(uint64_t segment) {
  for (uint32_t i = 0; i < memory_.frame_count;) {
    Frame& frame = memory_.frames[i];
    bool again = false;
    if ((frame.state.load(std::memory_order_acquire) & kLinked) != 0 && frame.segment == segment) {
      PageId id = IdOf(i);
      LatchHold hold(latches_, PartitionOf(id), LatchMode::kExclusive);
      uint32_t state = frame.state.load(std::memory_order_acquire);
      bool ours = (state & kLinked) != 0 && IdOf(i) == id && id.segment == segment;
      again = ours && (PinsOf(state) != 0 || (state & kWriting) != 0 ||
                       !frame.state.compare_exchange_strong(state, kOnePin));
      if (ours && !again) {
        Unlink(i);
        if (frame.mode.exchange(0) != 0) {
          memory_.shared->gate.Returned();
        }
        frame.state.store(0, std::memory_order_release);
      }
    }
    if (again) {
      // Somebody writes it out; a write lasts as long as this latch is held.
      LatchHold wait(latches_, kDoubleWriteLatch, LatchMode::kExclusive);
    } else {
      ++i;
    }
  }
  memory_.shared->removals.fetch_add(1, std::memory_order_release);
}

Cache::Usage Cache::Count() const {
  Usage usage;
  usage.frames = memory_.frame_count;
  for (uint32_t i = 0; i < memory_.frame_count; ++i) {
    uint32_t state = memory_.frames[i].state.load(std::memory_order_relaxed);
    usage.used += (state & kLinked) != 0 ? 1 : 0;
    usage.dirty += (state & kDirty) != 0 ? 1 : 0;
    usage.pinned += PinsOf(state) != 0 ? 1 : 0;
  }
  return usage;
}

void PageGuard::Release() {
  if (cache_ != nullptr) {
    cache_->latches_.Release(kFrameLatches + frame_);
    cache_->Unpin(frame_);
    cache_ = nullptr;
  }
}

PageId PageGuard::id() const {
  return cache_->IdOf(frame_);
}

const char* PageGuard::page() const {
  return cache_->PageOf(frame_);
}

}  // namespace pgquorum::fusion
