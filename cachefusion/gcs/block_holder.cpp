// Uses, conversions and what the master demands. Files of the holder: this one, block_writes.cpp
// (disk and redo), block_rebuild.cpp (reconfiguration).
#include "cachefusion/gcs/block_holder.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "cachefusion/bug.h"

#include "base/pure.h"

namespace pgquorum::fusion {

const Frame* BlockHolder::Find(PageId page) const {
  auto found = frames_.find(page);
  return found == frames_.end() ? nullptr : &found->second;
}

// New uses in `mode` have to wait until the demand is served: else a busy page never leaves.
bool BlockHolder::Blocks(const Frame& frame, BlockMode mode) {
  if (!frame.demand) {
    return false;
  }
  bool shared_goes_on =
      frame.demand->type == MessageType::kWrite ||
      (frame.demand->type == MessageType::kShip && frame.demand->mode == BlockMode::kShared);
  return mode == BlockMode::kExclusive || !shared_goes_on;
}

void BlockHolder::Acquire(PageId page, BlockMode mode, uint64_t waiter) {
  PGQUORUM_CHECK(mode != BlockMode::kNull);
  Frame& frame = frames_[page];
  if (frame.waiters.empty() && frame.mode >= mode && !Blocks(frame, mode)) {
    ++counters_.grants_local;
  }
  frame.waiters.push_back({waiter, mode});
  Wake(page, frame);
  Ask(page, frame);
}

void BlockHolder::Withdraw(PageId page, uint64_t waiter) {
  auto found = frames_.find(page);
  if (found == frames_.end()) {
    return;
  }
  std::erase_if(found->second.waiters, [waiter](const Waiter& w) { return w.id == waiter; });
  Wake(page, found->second);
  EraseIfEmpty(page);
}

void BlockHolder::Release(PageId page, BlockMode mode) {
  auto found = frames_.find(page);
  PGQUORUM_CHECK(found != frames_.end());
  Frame& frame = found->second;
  uint32_t& pins = mode == BlockMode::kExclusive ? frame.pins_exclusive : frame.pins_shared;
  PGQUORUM_CHECK(pins > 0);
  --pins;
  TryWrite(page, frame);
  Serve(page, frame);
}

// In the order of arrival; the first that has to wait stops those behind it.
void BlockHolder::Wake(PageId page, Frame& frame) {
  while (!frame.waiters.empty()) {
    Waiter waiter = frame.waiters.front();
    if (frame.mode < waiter.mode || Blocks(frame, waiter.mode)) {
      return;
    }
    frame.waiters.pop_front();
    ++(waiter.mode == BlockMode::kExclusive ? frame.pins_exclusive : frame.pins_shared);
    Action& action = out_.Add(ActionType::kGranted, page);
    action.id = waiter.id;
    action.mode = waiter.mode;
    action.psn = frame.psn;
  }
}

void BlockHolder::Ask(PageId page, Frame& frame) {
  if (frozen_ || held_back_.contains(page) || frame.demand || frame.wanted != BlockMode::kNull) {
    return;
  }
  BlockMode strongest = BlockMode::kNull;
  for (const Waiter& waiter : frame.waiters) {
    strongest = std::max(strongest, waiter.mode);
  }
  if (strongest <= frame.mode) {
    return;
  }
  frame.wanted = strongest;
  ++counters_.requests;
  Message request;
  request.type = MessageType::kRequest;
  request.to = map_.MasterOf(page);
  request.page = page;
  request.mode = strongest;
  request.have = frame.mode;
  out_.Send(std::move(request));
}

void BlockHolder::AnswerNoPage(const Message& demand) {
  Message answer;
  answer.type = MessageType::kNoPage;
  answer.to = demand.from;
  answer.page = demand.page;
  answer.conversion = demand.conversion;
  out_.Send(std::move(answer));
}

void BlockHolder::OnDemand(const Message& message) {
  auto found = frames_.find(message.page);
  bool here = found != frames_.end() && found->second.mode != BlockMode::kNull;
  if (!here) {
    // A clean copy may be dropped silently, so this is no error.
    if (message.type == MessageType::kShip || message.type == MessageType::kWrite) {
      AnswerNoPage(message);
      return;
    }
    Demand demand{message.type, BlockMode::kNull, message.from, {}, message.conversion, false};
    Answer(
        message.type == MessageType::kRecall ? MessageType::kRecalled : MessageType::kInvalidated,
        message.page, demand, Frame());
    return;
  }
  Frame& frame = found->second;
  PGQUORUM_CHECK(!frame.demand);  // the master runs one conversion at a time
  frame.demand =
      Demand{message.type, message.mode, message.from, message.peer, message.conversion, false};
  Serve(message.page, frame);
}

void BlockHolder::Serve(PageId page, Frame& frame) {
  if (!frame.demand) {
    return;
  }
  switch (frame.demand->type) {
    case MessageType::kShip:
      if (frame.demand->mode == BlockMode::kShared) {
        ShipShared(page, frame);
      } else {
        ShipExclusive(page, frame);
      }
      return;
    case MessageType::kInvalidate:
      GiveUp(page, frame);
      return;
    case MessageType::kRecall:
      Recall(page, frame);
      return;
    default:
      PGQUORUM_CHECK(frame.demand->type == MessageType::kWrite);
      if (!frame.dirty && !frame.writing) {
        Demand demand = *frame.demand;
        frame.demand.reset();
        Answer(MessageType::kWrote, page, demand, frame);
        Wake(page, frame);
        Ask(page, frame);
        return;
      }
      frame.write_asked = true;
      TryWrite(page, frame);
  }
}

void BlockHolder::CountShip(const Frame& frame) {
  if (!frame.last_redo) {
    ++counters_.shipped_clean;
  } else if (frame.demand->flush_asked) {
    ++counters_.shipped_after_flush;
  } else {
    ++counters_.shipped_durable;
  }
}

void BlockHolder::ShipShared(PageId page, Frame& frame) {
  if (frame.pins_exclusive > 0 || !RedoIsDurable(frame)) {
    return;
  }
  CountShip(frame);
  Demand demand = *frame.demand;
  frame.demand.reset();
  frame.mode = BlockMode::kShared;
  Message ship;
  ship.type = MessageType::kPage;
  ship.to = demand.peer;
  ship.peer = demand.master;
  ship.page = page;
  ship.mode = BlockMode::kShared;
  ship.psn = frame.psn;
  ship.unsaved = frame.dirty || frame.unsaved;
  ship.conversion = demand.conversion;
  out_.SendPage(std::move(ship));
  Wake(page, frame);
  Ask(page, frame);
}

void BlockHolder::ShipExclusive(PageId page, Frame& frame) {
  // A write under way must land first: it would overwrite what the next owner writes.
  bool writing = frame.writing && !PGQUORUM_FUSION_BUG(kShipWhileWriting);
  if (frame.pins() > 0 || writing || !RedoIsDurable(frame)) {
    return;
  }
  CountShip(frame);
  Demand demand = *frame.demand;
  bool keep_past = frame.dirty && !PGQUORUM_FUSION_BUG(kNoPastImage);
  Message ship;
  ship.type = MessageType::kPage;
  ship.to = demand.peer;
  ship.peer = demand.master;
  ship.page = page;
  ship.mode = BlockMode::kExclusive;
  ship.psn = frame.psn;
  ship.dirty = frame.dirty;
  ship.unsaved = frame.dirty;
  ship.past = keep_past;
  ship.conversion = demand.conversion;
  out_.SendPage(std::move(ship));
  LeaveNull(page, frame, keep_past);
}

void BlockHolder::GiveUp(PageId page, Frame& frame) {
  if (frame.pins() > 0 || frame.writing || !RedoIsDurable(frame)) {
    return;
  }
  Demand demand = *frame.demand;
  bool keep_past = frame.dirty && !PGQUORUM_FUSION_BUG(kNoPastImage);
  Answer(MessageType::kInvalidated, page, demand, frame);
  LeaveNull(page, frame, keep_past);
}

void BlockHolder::Recall(PageId page, Frame& frame) {
  if (frame.dirty && !PGQUORUM_FUSION_BUG(kRecallLosesDirty)) {
    frame.write_asked = true;
    TryWrite(page, frame);
    return;
  }
  if (frame.pins() > 0 || frame.writing) {
    return;
  }
  Demand demand = *frame.demand;
  Answer(MessageType::kRecalled, page, demand, frame);
  LeaveNull(page, frame, false);
}

// The frame has lost its mode. Its version lives on as a past image if `keep_past`: the disk has
// nothing as new, and the redo from here on may have to be applied to it.
void BlockHolder::LeaveNull(PageId page, Frame& frame, bool keep_past) {
  if (keep_past) {
    RedoAddress redo = frame.redo;
    if (frame.past && frame.past->redo && (!redo || frame.past->redo < redo)) {
      redo = frame.past->redo;  // getting a page again does not move its checkpoint address
    }
    frame.past = PastImage{frame.psn, redo};
    ++counters_.past_kept;
    out_.Add(ActionType::kKeepPast, page).psn = frame.psn;
  } else {
    out_.Add(ActionType::kDropPage, page);
  }
  frame.demand.reset();
  frame.mode = BlockMode::kNull;
  frame.psn = Psn();
  frame.dirty = frame.unsaved = frame.write_asked = false;
  frame.redo = frame.last_redo = frame.redo_after_write = RedoAddress();
  Ask(page, frame);
  EraseIfEmpty(page);
}

void BlockHolder::Answer(MessageType type, PageId page, const Demand& demand, const Frame& frame) {
  Message answer;
  answer.type = type;
  answer.to = demand.master;
  answer.page = page;
  answer.psn = frame.psn;
  answer.dirty = frame.dirty;
  answer.past = frame.dirty && !PGQUORUM_FUSION_BUG(kNoPastImage);
  answer.conversion = demand.conversion;
  out_.Send(std::move(answer));
}

// `about` is the message that brought the page, or the right to read it.
void BlockHolder::Installed(PageId page, Frame& frame, const Message& about) {
  frame.wanted = BlockMode::kNull;
  Message done;
  done.type = MessageType::kDone;
  done.to = frame.master;
  done.page = page;
  done.mode = frame.mode;
  done.psn = frame.psn;
  done.dirty = frame.dirty;
  done.past = about.past;
  done.peer = about.type == MessageType::kPage ? about.from : InstanceId();
  done.conversion = about.conversion;
  out_.Send(std::move(done));
  Wake(page, frame);
  Ask(page, frame);
}

void BlockHolder::OnPage(const Message& message) {
  Frame& frame = frames_[message.page];
  Action& install = out_.Add(ActionType::kInstall, message.page);
  install.psn = message.psn;
  install.message = message;
  frame.master = message.peer;
  if (message.recover) {
    // Someone's past image, to replay on.
    frame.conversion = message.conversion;
    frame.reading = next_read_++;
    out_.Add(ActionType::kReplay, message.page).id = frame.reading;
    return;
  }
  PGQUORUM_CHECK(frame.wanted == message.mode);
  ++counters_.received;
  frame.mode = message.mode;
  frame.psn = message.psn;
  frame.dirty = message.dirty;
  frame.unsaved = message.unsaved;
  frame.redo = frame.last_redo = frame.redo_after_write = RedoAddress();
  Installed(message.page, frame, message);
}

void BlockHolder::OnGrant(const Message& message) {
  Frame& frame = frames_[message.page];
  frame.master = message.from;
  frame.conversion = message.conversion;
  frame.reading = next_read_++;
  ++counters_.reads;
  ActionType what = message.recover ? ActionType::kReplay : ActionType::kReadPage;
  out_.Add(what, message.page).id = frame.reading;
}

void BlockHolder::PageRead(PageId page, uint64_t id, Psn psn) {
  auto found = frames_.find(page);
  if (found == frames_.end() || found->second.reading != id) {
    return;  // for a membership that is no more
  }
  Frame& frame = found->second;
  frame.reading = 0;
  frame.mode = frame.wanted;
  frame.psn = psn;
  frame.dirty = frame.unsaved = false;
  frame.redo = frame.last_redo = frame.redo_after_write = RedoAddress();
  Message about;
  about.type = MessageType::kGrant;
  about.conversion = frame.conversion;
  Installed(page, frame, about);
}

void BlockHolder::OnUpgrade(const Message& message) {
  auto found = frames_.find(message.page);
  PGQUORUM_CHECK(found != frames_.end() && found->second.mode == BlockMode::kShared);
  Frame& frame = found->second;
  PGQUORUM_CHECK(frame.wanted == BlockMode::kExclusive);
  ++counters_.upgrades;
  frame.master = message.from;
  frame.mode = BlockMode::kExclusive;
  frame.dirty = frame.dirty || message.dirty;
  frame.unsaved = frame.dirty;
  Installed(message.page, frame, message);
}

void BlockHolder::EraseIfEmpty(PageId page) {
  auto found = frames_.find(page);
  if (found == frames_.end()) {
    return;
  }
  const Frame& f = found->second;
  if (f.mode == BlockMode::kNull && f.wanted == BlockMode::kNull && !f.past && f.waiters.empty() &&
      f.reading == 0 && !f.writing && f.pins() == 0) {
    frames_.erase(found);
  }
}

}  // namespace pgquorum::fusion
