// Queues, room, and the life of a conversion. The kinds of conversion: block_conversions.cpp;
// reconfiguration and remastering: master_rebuild.cpp.
#include "cachefusion/gcs/block_master.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "cachefusion/bug.h"

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

constexpr std::size_t kRecallLook = 32;  // entries looked at for one that is idle
constexpr std::size_t kRecallAhead = 4;  // recalls begun in advance at a time

}  // namespace

void BlockMaster::SendTo(InstanceId to, MessageType type, const Entry& entry, BlockMode mode,
                         Psn psn, InstanceId peer) {
  Message message;
  message.type = type;
  message.to = to;
  message.page = entry.page;
  message.mode = mode;
  message.psn = psn;
  message.peer = peer;
  if (entry.work && entry.work->active) {
    message.conversion = entry.work->active->id;
  }
  out_.Send(std::move(message));
}

void BlockMaster::OnRequest(const Message& message) {
  QueuedRequest request{message.type, message.from, message.mode, message.have, message.psn};
  ++counters_.requests;
  Enqueue(request, message.page);
}

void BlockMaster::Enqueue(const QueuedRequest& request, PageId page) {
  Entry* entry = directory_.Find(page);
  if (entry == nullptr) {
    if (request.type == MessageType::kRecall) {
      return;
    }
    if (directory_.full() && !frozen_) {
      ++counters_.waited_for_room;
      no_room_.emplace_back(page, request);
      Reclaim();
      return;
    }
    entry = &directory_.Create(page);
  }
  directory_.Touch(*entry);
  std::deque<QueuedRequest>& queue = entry->Work().queue;
  if (request.type == MessageType::kRecover) {
    queue.push_front(request);  // everybody else waits for it
  } else {
    queue.push_back(request);
  }
  Start(*entry);
  if (directory_.nearly_full()) {
    Reclaim();
  }
}

// Recalls idle entries, so that there is room for what waits and a tenth to spare.
void BlockMaster::Reclaim() {
  if (frozen_) {
    return;
  }
  for (std::size_t i = 0; i < kRecallAhead && directory_.nearly_full(); ++i) {
    Entry* oldest = directory_.Oldest(kRecallLook);
    if (oldest == nullptr || draining_.contains(BucketOf(oldest->page))) {
      break;
    }
    directory_.Touch(*oldest);
    ++counters_.recalled;
    oldest->Work().queue.push_back({MessageType::kRecall, out_.self, {}, {}, {}});
    Start(*oldest);
  }
  Admit();
}

void BlockMaster::Admit() {
  while (!no_room_.empty() && !frozen_) {
    auto [page, request] = no_room_.front();
    if (directory_.full() && directory_.Find(page) == nullptr) {
      return;
    }
    no_room_.pop_front();
    Entry& entry = directory_.Create(page);
    directory_.Touch(entry);
    entry.Work().queue.push_back(request);
    Start(entry);
  }
}

// Begins the next conversion of the page, if there is one and it may begin.
void BlockMaster::Start(Entry& entry) {
  if (frozen_ || !entry.work || entry.work->active || entry.work->queue.empty()) {
    return;
  }
  if (draining_.contains(BucketOf(entry.page)) && !PGQUORUM_FUSION_BUG(kDrainSkipped)) {
    return;
  }
  QueuedRequest request = entry.work->queue.front();
  if (entry.recovering && request.type != MessageType::kRecover) {
    return;
  }
  entry.work->queue.pop_front();
  Conversion conversion;
  conversion.request = request;
  conversion.id = next_conversion_++;
  entry.work->active = conversion;
  ++active_[BucketOf(entry.page)];
  bool forgets = request.type == MessageType::kRequest && request.have == BlockMode::kNull;
  if (forgets && !PGQUORUM_FUSION_BUG(kStaleOwnerKept)) {
    // It has dropped its copy silently, which it may only when the disk has it.
    entry.sharers.Remove(request.from);
    if (entry.owner == request.from) {
      entry.owner = InstanceId();
    }
  }
  Begin(entry);
}

void BlockMaster::Finish(Entry& entry) {
  entry.work->active.reset();
  auto active = active_.find(BucketOf(entry.page));
  if (active != active_.end() && --active->second == 0) {
    active_.erase(active);
  }
  if (entry.work->queue.empty()) {
    entry.work.reset();
    if (EraseIfEmpty(entry)) {
      Admit();
      return;
    }
  } else {
    Start(entry);
  }
  if (!no_room_.empty()) {
    Reclaim();
  }
}

bool BlockMaster::EraseIfEmpty(Entry& entry) {
  if (frozen_ || !entry.empty()) {
    return false;
  }
  directory_.Erase(entry.page);
  return true;
}

// The entry whose conversion the answer belongs to; null: that conversion is over.
Entry* BlockMaster::Current(const Message& message) {
  Entry* entry = directory_.Find(message.page);
  bool current = entry != nullptr && entry->work && entry->work->active &&
                 entry->work->active->id == message.conversion;
  return current ? entry : nullptr;
}

void BlockMaster::OnInvalidated(const Message& message) {
  Entry* entry = Current(message);
  if (entry == nullptr) {
    return;
  }
  Conversion& conversion = *entry->work->active;
  entry->sharers.Remove(message.from);
  if (entry->owner == message.from) {
    entry->owner = InstanceId();
    conversion.pass_dirty = message.dirty;
  }
  if (message.past) {
    entry->AddPast(message.from, message.psn);
  }
  conversion.waiting.Remove(message.from);
  if (conversion.step == Conversion::Step::kInvalidating && conversion.waiting.empty()) {
    MoveOn(*entry);
  }
}

void BlockMaster::OnRecalled(const Message& message) {
  Entry* entry = Current(message);
  if (entry == nullptr) {
    return;
  }
  entry->sharers.Remove(message.from);
  if (entry->owner == message.from) {
    entry->owner = InstanceId();
  }
  Conversion& conversion = *entry->work->active;
  conversion.waiting.Remove(message.from);
  if (conversion.waiting.empty()) {
    MoveOn(*entry);
  }
}

// The source had dropped the page: find another.
void BlockMaster::OnNoPage(const Message& message) {
  PGQUORUM_CHECK(message.conversion != 0);  // what is to be adopted can not be dropped
  Entry* entry = Current(message);
  if (entry == nullptr) {
    return;
  }
  ++counters_.restarted;
  entry->sharers.Remove(message.from);
  if (entry->owner == message.from) {
    entry->owner = InstanceId();
  }
  std::erase_if(entry->pasts, [&](const PastHolder& past) {
    return entry->recovering && past.instance == message.from;
  });
  Conversion fresh;
  fresh.request = entry->work->active->request;
  fresh.id = next_conversion_++;
  entry->work->active = fresh;
  Begin(*entry);
}

void BlockMaster::OnDone(const Message& message) {
  Entry* entry = Current(message);
  if (entry == nullptr) {
    return;
  }
  Conversion& conversion = *entry->work->active;
  if (conversion.request.type == MessageType::kRecover) {
    entry->recovering = false;
    entry->owner = message.from;
    ++counters_.recovered;
  } else if (message.mode == BlockMode::kExclusive) {
    if (message.past && message.peer) {
      entry->AddPast(message.peer, message.psn);
    }
    entry->owner = message.from;
    entry->sharers = InstanceSet();
    if (PGQUORUM_FUSION_BUG(kPastDroppedAtDone)) {
      TellPasts(*entry, message.psn, InstanceId());
    }
  } else if (entry->owner != message.from) {
    entry->sharers.Add(message.from);
  }
  Finish(*entry);
}

void BlockMaster::OnWrote(const Message& message) {
  Entry* entry = directory_.Find(message.page);
  if (entry == nullptr || frozen_) {
    return;  // past images ask again
  }
  TellPasts(*entry, message.psn, message.from);
  if (message.conversion == 0 || Current(message) == nullptr) {
    EraseIfEmpty(*entry);
    return;
  }
  const QueuedRequest& request = entry->work->active->request;
  SendTo(request.from, MessageType::kOnDisk, *entry, {}, std::max(message.psn, request.psn));
  Finish(*entry);
}

void BlockMaster::TellPasts(Entry& entry, Psn psn, InstanceId but) {
  for (const PastHolder& past : entry.pasts) {
    if (past.psn <= psn && past.instance != but) {
      SendTo(past.instance, MessageType::kOnDisk, entry, {}, psn);
    }
  }
  std::erase_if(entry.pasts, [psn](const PastHolder& past) { return past.psn <= psn; });
}

}  // namespace pgquorum::fusion
