// The holder's dealings with disk and redo.
#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"
#include "cachefusion/bug.h"
#include "cachefusion/gcs/block_holder.h"

#include "base/pure.h"

namespace pgquorum::fusion {

void BlockHolder::Changed(PageId page, Psn psn, RedoAddress redo) {
  auto found = frames_.find(page);
  PGQUORUM_CHECK(found != frames_.end());
  Frame& frame = found->second;
  PGQUORUM_CHECK(frame.mode == BlockMode::kExclusive && frame.pins_exclusive > 0);
  PGQUORUM_CHECK(psn == frame.psn + 1 && redo && redo > frame.last_redo);
  frame.psn = psn;
  frame.dirty = frame.unsaved = true;
  if (!frame.redo) {
    frame.redo = redo;
  }
  if (frame.writing && !frame.redo_after_write) {
    frame.redo_after_write = redo;
  }
  frame.last_redo = redo;
}

// Redo before ship: the explicit dependency. Asks for the flush once.
bool BlockHolder::RedoIsDurable(Frame& frame) {
  if (frame.last_redo <= durable_ || PGQUORUM_FUSION_BUG(kNoRedoBeforeShip)) {
    return true;
  }
  if (!frame.demand->flush_asked) {
    frame.demand->flush_asked = true;
    out_.Add(ActionType::kFlushRedo).redo = frame.last_redo;
  }
  return false;
}

void BlockHolder::RedoDurable(RedoAddress durable) {
  durable_ = std::max(durable_, durable);
  // Few frames wait for redo at a time, but which is not worth an index: flushes are grouped.
  std::vector<PageId> waiting;
  for (const auto& [page, frame] : frames_) {
    if (frame.demand || frame.write_asked) {
      waiting.push_back(page);
    }
  }
  std::sort(waiting.begin(), waiting.end());
  for (PageId page : waiting) {
    if (auto found = frames_.find(page); found != frames_.end()) {
      TryWrite(page, found->second);
    }
    if (auto found = frames_.find(page); found != frames_.end()) {
      Serve(page, found->second);
    }
  }
}

void BlockHolder::Write(PageId page) {
  auto found = frames_.find(page);
  if (found == frames_.end()) {
    return;
  }
  Frame& frame = found->second;
  if (frame.dirty) {
    frame.write_asked = true;
    TryWrite(page, frame);
  } else if (frame.past && !frame.write_requested && !frozen_) {
    frame.write_requested = true;
    Message request;
    request.type = MessageType::kWriteRequest;
    request.to = map_.MasterOf(page);
    request.page = page;
    request.psn = frame.past->psn;
    out_.Send(std::move(request));
  }
}

// The version that is written is the one of this moment, and its redo has to be durable now.
void BlockHolder::TryWrite(PageId page, Frame& frame) {
  if (!frame.write_asked || frame.writing) {
    return;
  }
  if (!frame.dirty) {
    frame.write_asked = false;
    return;
  }
  if (frame.pins_exclusive > 0) {
    return;
  }
  if (frame.last_redo > durable_ && !PGQUORUM_FUSION_BUG(kNoRedoBeforeWrite)) {
    out_.Add(ActionType::kFlushRedo).redo = frame.last_redo;
    return;
  }
  frame.writing = true;
  frame.writing_psn = frame.psn;
  frame.redo_after_write = RedoAddress();
  out_.Add(ActionType::kWritePage, page).psn = frame.psn;
}

void BlockHolder::PageWritten(PageId page, Psn psn) {
  auto found = frames_.find(page);
  if (found == frames_.end() || !found->second.writing) {
    PGQUORUM_CHECK(PGQUORUM_FUSION_BUG(kShipWhileWriting));
    return;
  }
  Frame& frame = found->second;
  frame.writing = false;
  frame.write_asked = false;
  ++counters_.written;
  if (frame.psn == psn) {
    frame.dirty = frame.unsaved = false;
    frame.redo = RedoAddress();
  } else {
    frame.redo = frame.redo_after_write;
  }
  if (frame.past && frame.past->psn <= psn) {
    DropPast(page, frame);
  }
  bool demanded = frame.demand && frame.demand->type == MessageType::kWrite;
  Message wrote;
  wrote.type = MessageType::kWrote;
  wrote.to = demanded ? frame.demand->master : map_.MasterOf(page);
  wrote.page = page;
  wrote.psn = psn;
  wrote.conversion = demanded ? frame.demand->conversion : 0;
  out_.Send(std::move(wrote));
  if (demanded) {
    frame.demand.reset();
    Wake(page, frame);
    Ask(page, frame);
  } else {
    Serve(page, frame);
  }
}

EvictResult BlockHolder::Evict(PageId page) {
  auto found = frames_.find(page);
  if (found == frames_.end() || found->second.mode == BlockMode::kNull) {
    return EvictResult::kGone;
  }
  Frame& frame = found->second;
  if (frame.pins() > 0 || frame.demand || frame.wanted != BlockMode::kNull || frame.writing ||
      frame.reading != 0 || !frame.waiters.empty()) {
    return EvictResult::kBusy;
  }
  if (frame.dirty) {
    frame.write_asked = true;
    TryWrite(page, frame);
    return EvictResult::kWriting;
  }
  // While the directory is rebuilt nobody knows yet whether this is the only copy.
  if (frozen_ && frame.unsaved && !PGQUORUM_FUSION_BUG(kDropUnsavedWhileFrozen)) {
    return EvictResult::kBusy;
  }
  LeaveNull(page, frame, false);
  return EvictResult::kGone;
}

void BlockHolder::DropPast(PageId page, Frame& frame) {
  frame.past.reset();
  frame.write_requested = false;
  ++counters_.past_dropped;
  out_.Add(ActionType::kDropPast, page);
}

void BlockHolder::OnOnDisk(const Message& message) {
  auto found = frames_.find(message.page);
  if (found == frames_.end()) {
    return;
  }
  Frame& frame = found->second;
  frame.write_requested = false;
  if (frame.past && frame.past->psn <= message.psn) {
    DropPast(message.page, frame);
    EraseIfEmpty(message.page);
  }
}

RedoAddress BlockHolder::CheckpointAddress() const {
  RedoAddress least;
  auto take = [&least](RedoAddress redo) {
    if (redo && (!least || redo < least)) {
      least = redo;
    }
  };
  for (const auto& [page, frame] : frames_) {
    take(frame.redo);
    if (frame.past && !PGQUORUM_FUSION_BUG(kCheckpointIgnoresPast)) {
      take(frame.past->redo);
    }
  }
  return least;
}

}  // namespace pgquorum::fusion
