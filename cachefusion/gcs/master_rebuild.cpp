// The master's part of reconfiguration and remastering.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "cachefusion/bug.h"
#include "cachefusion/gcs/block_master.h"

#include "base/pure.h"

namespace pgquorum::fusion {

void BlockMaster::Freeze() {
  frozen_ = true;
  built_ = false;
  adoptions_ = 0;
  directory_.Clear();
  no_room_.clear();
  draining_.clear();
  active_.clear();
  marks_.clear();
  unsaved_.clear();
}

void BlockMaster::AddReports(InstanceId from, const std::vector<FrameReport>& frames) {
  for (const FrameReport& report : frames) {
    Entry& entry = directory_.Create(report.page);
    if (report.mode == BlockMode::kExclusive) {
      PGQUORUM_CHECK(!entry.held());  // one Exclusive, and never beside Shared
      entry.owner = from;
    } else if (report.mode == BlockMode::kShared) {
      if (report.dirty) {
        PGQUORUM_CHECK(!entry.owner);
        entry.owner = from;
      } else {
        entry.sharers.Add(from);
        if (report.unsaved) {
          unsaved_[report.page].Add(from);
        }
      }
    }
    if (report.past) {
      entry.AddPast(from, report.past);
    }
  }
}

void BlockMaster::AddMarks(const std::vector<PageMark>& marks) {
  for (const PageMark& mark : marks) {
    Psn& psn = marks_[mark.page];
    psn = std::max(psn, mark.psn);
  }
}

void BlockMaster::Rebuild() {
  for (const auto& [page, psn] : marks_) {
    Entry& entry = directory_.Create(page);
    // What a survivor has in Shared or Exclusive mode is the current version already.
    entry.recovering = !entry.held();
  }
  built_ = true;
  for (PageId page : directory_.Pages()) {
    Entry& entry = *directory_.Find(page);
    if (!entry.recovering) {
      RebuildEntry(entry);
    }
  }
  unsaved_.clear();
}

// Finds the owner of a page whose owner is gone although the disk may lack its version.
void BlockMaster::RebuildEntry(Entry& entry) {
  if (entry.owner) {
    return;
  }
  if (!entry.sharers.empty()) {
    auto unsaved = unsaved_.find(entry.page);
    if (unsaved != unsaved_.end() && !PGQUORUM_FUSION_BUG(kNoSharedAdoption)) {
      ++counters_.adopted_shared;
      Adopt(entry, unsaved->second.First(), false);
    }
    return;
  }
  if (entry.pasts.empty()) {
    return;
  }
  // No holder, no dead redo: either the last owner has written it and dropped it, or the newest
  // past image is the current version (later changes were never durable). The disk tells which.
  entry.Work().adopting = true;
  ++adoptions_;
  Action& read = out_.Add(ActionType::kReadVersion, entry.page);
  read.id = out_.epoch.value();
}

void BlockMaster::Adopt(Entry& entry, InstanceId holder, bool past) {
  entry.Work().adopting = true;
  ++adoptions_;
  Message adopt;
  adopt.type = MessageType::kAdopt;
  adopt.to = holder;
  adopt.page = entry.page;
  adopt.past = past;
  out_.Send(std::move(adopt));
}

void BlockMaster::VersionRead(PageId page, uint64_t id, Psn psn) {
  Entry* entry = directory_.Find(page);
  if (id != out_.epoch.value() || entry == nullptr || !entry->work || !entry->work->adopting) {
    return;
  }
  entry->work->adopting = false;
  --adoptions_;
  PastHolder best;
  for (const PastHolder& past : entry->pasts) {
    if (past.psn > best.psn) {
      best = past;
    }
  }
  if (best.psn > psn || PGQUORUM_FUSION_BUG(kPromoteUnread)) {
    ++counters_.adopted_past;
    Adopt(*entry, best.instance, true);
  } else {
    TellPasts(*entry, psn, InstanceId());
  }
}

void BlockMaster::OnAdopted(const Message& message) {
  Entry* entry = directory_.Find(message.page);
  if (entry == nullptr || !entry->work || !entry->work->adopting) {
    return;
  }
  entry->work->adopting = false;
  --adoptions_;
  entry->owner = message.from;
  entry->sharers.Remove(message.from);
  if (message.past) {
    std::erase_if(entry->pasts,
                  [&](const PastHolder& past) { return past.instance == message.from; });
  }
}

void BlockMaster::Unfreeze() {
  frozen_ = false;
  StartAll(directory_.Pages());
  if (directory_.nearly_full()) {
    Reclaim();
  }
}

void BlockMaster::StopDraining(Bucket bucket) {
  draining_.erase(bucket);
  StartAll(directory_.PagesOf(bucket));
}

// Starting one may finish, and forget, others: so each is looked up anew.
void BlockMaster::StartAll(const std::vector<PageId>& pages) {
  for (PageId page : pages) {
    if (Entry* entry = directory_.Find(page); entry != nullptr) {
      Start(*entry);
    }
    if (Entry* entry = directory_.Find(page); entry != nullptr) {
      EraseIfEmpty(*entry);
    }
  }
}

bool BlockMaster::Drained(Bucket bucket) const {
  return !active_.contains(bucket) || PGQUORUM_FUSION_BUG(kDrainSkipped);
}

std::vector<EntryState> BlockMaster::Extract(Bucket bucket) {
  std::vector<EntryState> states;
  for (PageId page : directory_.PagesOf(bucket)) {
    Entry* entry = directory_.Find(page);
    EntryState state{entry->page,       entry->owner, entry->sharers,
                     entry->recovering, entry->pasts, {}};
    if (entry->work) {
      for (const QueuedRequest& request : entry->work->queue) {
        if (request.type != MessageType::kRecall) {
          state.queue.push_back(request);
        }
      }
    }
    states.push_back(std::move(state));
    directory_.Erase(page);
  }
  // Those that wait for room move as entries of their own: room is the next master's business.
  for (auto waiting = no_room_.begin(); waiting != no_room_.end();) {
    if (BucketOf(waiting->first) == bucket) {
      states.push_back({waiting->first, {}, {}, false, {}, {waiting->second}});
      waiting = no_room_.erase(waiting);
    } else {
      ++waiting;
    }
  }
  draining_.erase(bucket);
  active_.erase(bucket);
  Admit();
  return states;
}

void BlockMaster::Install(const std::vector<EntryState>& states) {
  for (const EntryState& state : states) {
    bool known = state.owner || !state.sharers.empty() || !state.pasts.empty() || state.recovering;
    if (known) {
      Entry& entry = directory_.Create(state.page);
      entry.owner = state.owner;
      entry.sharers = state.sharers;
      entry.recovering = state.recovering;
      entry.pasts = state.pasts;
    }
    for (const QueuedRequest& request : state.queue) {
      Enqueue(request, state.page);
    }
  }
  Reclaim();
}

}  // namespace pgquorum::fusion
