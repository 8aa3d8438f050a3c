// Dirty pages: becoming dirty, being written, becoming clean.
//
// A page is copied under a shared latch and marked kWriting; its latch is then free, and a change
// that happens before the copy is on disk sets kRedirtied and remembers where its redo begins. One
// copy of a page is under way at a time, so an older one never follows a newer one.
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "cachefusion/storage/cache.h"
#include "cachefusion/storage/frame_state.h"

#include "base/pure.h"

namespace pgquorum::fusion {

using namespace frame_state;  // lint: allow(using) the bits of Frame::state, used on every line

void Cache::MarkDirty(uint32_t frame) {
  Frame& f = memory_.frames[frame];
  // Before the record exists, so at most its address; we hold the page exclusively.
  uint64_t from = redo_.end().value();
  uint32_t state = f.state.load(std::memory_order_acquire);
  for (;;) {
    uint32_t next = state;
    if ((state & kDirty) == 0) {
      f.dirty_from.store(from, std::memory_order_relaxed);
      next |= kDirty;
    } else if ((state & kWriting) != 0 && (state & kRedirtied) == 0) {
      f.dirty_again_from.store(from, std::memory_order_relaxed);
      next |= kRedirtied;
    } else {
      return;
    }
    if (f.state.compare_exchange_weak(state, next, std::memory_order_acq_rel)) {
      return;
    }
  }
}

void Cache::FinishWrite(uint32_t frame) {
  Frame& f = memory_.frames[frame];
  uint32_t state = f.state.load(std::memory_order_acquire);
  for (;;) {
    uint32_t next = state & ~kWriting;
    if ((state & kRedirtied) != 0) {
      f.dirty_from.store(f.dirty_again_from.load(std::memory_order_relaxed),
                         std::memory_order_relaxed);
      next &= ~kRedirtied;
    } else {
      next &= ~kDirty;
    }
    if (f.state.compare_exchange_weak(state, next, std::memory_order_acq_rel)) {
      return;
    }
  }
}

std::size_t Cache::BatchPages() const {
  return std::min<std::size_t>(kDoubleWritePages, memory_.frame_count / 8);
}

Cache::CopyResult Cache::CopyForWrite(uint32_t frame, bool wait, RedoAddress before, char* to) {
  Frame& f = memory_.frames[frame];
  uint32_t state = f.state.load(std::memory_order_acquire);
  auto wanted = [&] {
    return (state & kDirty) != 0 && (state & kWriting) == 0 &&
           f.dirty_from.load(std::memory_order_relaxed) < before.value();
  };
  // A pin without usage: writing a page does not make it worth keeping.
  do {
    if (!wanted()) {
      return CopyResult::kNotWanted;
    }
  } while (!f.state.compare_exchange_weak(state, state + kOnePin, std::memory_order_acq_rel));
  LatchId latch = kFrameLatches + frame;
  if (wait) {
    latches_.Acquire(latch, LatchMode::kShared);
  } else if (!latches_.TryAcquire(latch, LatchMode::kShared)) {
    Unpin(frame);
    return CopyResult::kBusy;
  }
  state = f.state.load(std::memory_order_acquire);
  bool ours = false;
  while (!ours && wanted()) {
    ours = f.state.compare_exchange_weak(state, state | kWriting, std::memory_order_acq_rel);
  }
  if (ours) {
    std::memcpy(to, PageOf(frame), kPageBytes);
  }
  latches_.Release(latch);
  if (!ours) {
    Unpin(frame);
  }
  return ours ? CopyResult::kCopied : CopyResult::kNotWanted;
}

Status Cache::WriteCopies(const std::vector<Copy>& copies, char* pages) {
  uint64_t redo = 0;
  std::vector<PageImage> images;
  for (std::size_t i = 0; i < copies.size(); ++i) {
    char* page = pages + i * kPageBytes;
    if (HeaderOf(page).redo_incarnation == redo_.incarnation().value()) {
      redo = std::max(redo, HeaderOf(page).redo_address);
    }
    images.push_back({copies[i].id, page});
  }
  Status status = redo_.Flush(RedoAddress(redo));
  if (status.ok()) {
    NoticeRemovals();
    LatchHold hold(latches_, kDoubleWriteLatch, LatchMode::kExclusive);
    status = double_write_.WriteBatch(segments_, images);
  }
  if (!status.ok()) {
    // What is on disk is not known: nothing may be written or acknowledged any more, and the frames
    // stay dirty.
    redo_shared_.broken.store(1, std::memory_order_release);
  }
  for (const Copy& copy : copies) {
    if (status.ok()) {
      FinishWrite(copy.frame);
    }
    Unpin(copy.frame);
  }
  if (status.ok()) {
    memory_.shared->written.fetch_add(copies.size(), std::memory_order_relaxed);
    memory_.shared->batches.fetch_add(1, std::memory_order_relaxed);
  }
  return status;
}

Status Cache::WriteOnDemand(uint32_t first) {
  std::vector<Copy> copies;
  std::vector<char> pages(kDoubleWritePages * kPageBytes);
  // The page whose frame is needed, and those that the hand will meet next: one set of syncs for
  // all of them.
  uint32_t look_at = std::min<uint32_t>(memory_.frame_count, 4 * kDoubleWritePages);
  for (uint32_t i = 0; i < look_at && copies.size() < BatchPages(); ++i) {
    uint32_t frame = (first + i) % memory_.frame_count;
    uint32_t state = memory_.frames[frame].state.load(std::memory_order_acquire);
    if (PinsOf(state) == 0 && UsageOf(state) <= 1 &&
        CopyForWrite(frame, false, RedoAddress(UINT64_MAX),
                     pages.data() + copies.size() * kPageBytes) == CopyResult::kCopied) {
      copies.push_back({frame, IdOf(frame)});
    }
  }
  if (copies.empty()) {
    return Status::Ok();
  }
  memory_.shared->written_by_demand.fetch_add(copies.size(), std::memory_order_relaxed);
  return WriteCopies(copies, pages.data());
}

Result<std::size_t> Cache::WriteOlderThan(RedoAddress before, std::size_t max_pages) {
  std::vector<Copy> copies;
  std::vector<char> pages(kDoubleWritePages * kPageBytes);
  std::size_t written = 0;
  Status status = Status::Ok();
  auto write = [&] {
    if (!copies.empty()) {
      status = WriteCopies(copies, pages.data());
      written += copies.size();
      copies.clear();
    }
    return status.ok();
  };
  auto copy = [&](uint32_t frame, bool wait) {
    CopyResult result =
        CopyForWrite(frame, wait, before, pages.data() + copies.size() * kPageBytes);
    if (result == CopyResult::kCopied) {
      copies.push_back({frame, IdOf(frame)});
    }
    return result;
  };
  for (uint32_t frame = 0; frame < memory_.frame_count && written < max_pages; ++frame) {
    if (copy(frame, false) == CopyResult::kBusy) {
      if (!write()) {
        return status;
      }
      copy(frame, true);
    }
    if (copies.size() == std::min(BatchPages(), max_pages - written) && !write()) {
      return status;
    }
  }
  return write() ? Result<std::size_t>(written) : status;
}

RedoAddress Cache::OldestDirty(RedoAddress end) const {
  uint64_t oldest = end.value();
  for (uint32_t i = 0; i < memory_.frame_count; ++i) {
    const Frame& frame = memory_.frames[i];
    if ((frame.state.load(std::memory_order_acquire) & kDirty) != 0) {
      oldest = std::min(oldest, frame.dirty_from.load(std::memory_order_relaxed));
    }
  }
  return RedoAddress(oldest);
}

Mutation::~Mutation() {
  PGQUORUM_CHECK(committed_ || parts_.empty());
}

PageChange& Mutation::Change(PageGuard& guard) {
  PGQUORUM_CHECK(guard.held() && guard.mode_ == LatchMode::kExclusive && !committed_);
  for (const std::unique_ptr<Part>& part : parts_) {
    if (part->frame == guard.frame_) {
      return part->change;
    }
  }
  PGQUORUM_CHECK(parts_.size() < kMaxRedoPages);
  cache_.MarkDirty(guard.frame_);
  parts_.push_back(
      std::make_unique<Part>(Part{guard.frame_, PageChange(cache_.PageOf(guard.frame_))}));
  return parts_.back()->change;
}

Result<RedoAddress> Mutation::Commit() {
  PGQUORUM_CHECK(!committed_ && !parts_.empty());
  committed_ = true;
  RedoRecord record;
  record.transaction = transaction_;
  record.pages = parts_.size();
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    const Part& part = *parts_[i];
    record.page[i] = {cache_.IdOf(part.frame), Psn(part.change.header().psn), part.change.delta()};
  }
  std::string bytes = EncodeRecord(record);
  Result<RedoRange> range = cache_.redo_.Append(bytes);
  if (!range.ok()) {
    return range.status();
  }
  for (const std::unique_ptr<Part>& part : parts_) {
    PageId id = cache_.IdOf(part->frame);
    PageHeader& header = HeaderOf(cache_.PageOf(part->frame));
    header.version = kPageFormatVersion;
    header.segment = id.segment;
    header.block = id.block;
    header.psn += 1;
    header.redo_incarnation = cache_.redo_.incarnation().value();
    header.redo_address = range.value().end.value();
  }
  return range.value().end;
}

}  // namespace pgquorum::fusion
