// The holder's part of reconfiguration and replay.
#include <algorithm>
#include <utility>
#include <vector>

#include "base/check.h"
#include "cachefusion/bug.h"
#include "cachefusion/gcs/block_holder.h"

#include "base/pure.h"

namespace pgquorum::fusion {

// What others have asked for, and what was asked of others, is void. Frames stay, and go on being
// used in the mode they have.
void BlockHolder::Freeze() {
  frozen_ = true;
  held_back_.clear();
  std::vector<PageId> pages;
  pages.reserve(frames_.size());
  for (auto& [page, frame] : frames_) {
    frame.demand.reset();
    frame.wanted = BlockMode::kNull;
    if (frame.reading != 0) {
      frame.reading = 0;
      out_.Add(ActionType::kDropPage, page);  // what is being read counts no more
    }
    frame.write_requested = false;
    pages.push_back(page);
  }
  std::sort(pages.begin(), pages.end());
  for (PageId page : pages) {
    Wake(page, frames_.at(page));  // a demand may have held them back
    EraseIfEmpty(page);
  }
}

void BlockHolder::LetAsk(PageId page) {
  held_back_.erase(page);
  if (auto found = frames_.find(page); found != frames_.end()) {
    Ask(page, found->second);
  }
}

void BlockHolder::Unfreeze() {
  frozen_ = false;
  std::vector<PageId> pages;
  for (const auto& [page, frame] : frames_) {
    if (!frame.waiters.empty()) {
      pages.push_back(page);
    }
  }
  std::sort(pages.begin(), pages.end());
  for (PageId page : pages) {
    Ask(page, frames_.at(page));
  }
}

std::vector<FrameReport> BlockHolder::Report() const {
  std::vector<FrameReport> reports;
  for (const auto& [page, frame] : frames_) {
    if (frame.mode != BlockMode::kNull || frame.past) {
      reports.push_back({page, frame.mode, frame.psn, frame.dirty, frame.dirty || frame.unsaved,
                         frame.past ? frame.past->psn : Psn()});
    }
  }
  std::sort(reports.begin(), reports.end(),
            [](const FrameReport& a, const FrameReport& b) { return a.page < b.page; });
  return reports;
}

void BlockHolder::OnAdopt(const Message& message) {
  auto found = frames_.find(message.page);
  bool here = found != frames_.end() && (message.past ? found->second.past.has_value()
                                                      : found->second.mode == BlockMode::kShared);
  if (!here) {
    AnswerNoPage(message);
    return;
  }
  Frame& frame = found->second;
  if (message.past) {
    PGQUORUM_CHECK(frame.mode == BlockMode::kNull);
    frame.mode = BlockMode::kShared;
    frame.psn = frame.past->psn;
    frame.redo = frame.past->redo;
    frame.last_redo = frame.redo_after_write = RedoAddress();
    frame.past.reset();
    out_.Add(ActionType::kPromotePast, message.page).psn = frame.psn;
  }
  frame.dirty = frame.unsaved = true;
  Message adopted;
  adopted.type = MessageType::kAdopted;
  adopted.to = message.from;
  adopted.page = message.page;
  adopted.psn = frame.psn;
  adopted.past = message.past;
  out_.Send(std::move(adopted));
  Wake(message.page, frame);
}

void BlockHolder::OnShipPast(const Message& message) {
  auto found = frames_.find(message.page);
  if (found == frames_.end() || !found->second.past) {
    AnswerNoPage(message);
    return;
  }
  Message ship;
  ship.type = MessageType::kPage;
  ship.to = message.peer;
  ship.peer = message.from;
  ship.page = message.page;
  ship.psn = found->second.past->psn;
  ship.past = true;
  ship.recover = true;
  ship.conversion = message.conversion;
  out_.SendPage(std::move(ship));
}

void BlockHolder::Replayed(PageId page, uint64_t id, Psn psn, Psn on_disk) {
  auto found = frames_.find(page);
  if (found == frames_.end() || found->second.reading != id) {
    return;
  }
  Frame& frame = found->second;
  PGQUORUM_CHECK(frame.mode == BlockMode::kNull);
  frame.reading = 0;
  frame.mode = BlockMode::kExclusive;
  frame.psn = psn;
  frame.dirty = frame.unsaved = psn > on_disk;
  frame.redo = frame.last_redo = frame.redo_after_write = RedoAddress();
  Message done;
  done.type = MessageType::kDone;
  done.to = frame.master;
  done.page = page;
  done.mode = BlockMode::kExclusive;
  done.psn = psn;
  done.dirty = frame.dirty;
  done.conversion = frame.conversion;
  done.recover = true;
  out_.Send(std::move(done));
  Wake(page, frame);
  Ask(page, frame);
}

}  // namespace pgquorum::fusion
