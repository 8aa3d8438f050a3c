#include "cachefusion/reconfig/recovery.h"

#include <algorithm>
#include <utility>

#include "cachefusion/bug.h"

#include "base/pure.h"

namespace pgquorum::fusion {

void Recovery::Begin(const Membership& membership) {
  membership_ = membership;
  phase_ = Phase::kIdle;
  to_scan_.clear();
  marks_.clear();
  todo_.clear();
  underway_.clear();
  not_ready_ = membership.members;
  if (membership.coordinator() != out_.self) {
    return;
  }
  phase_ = Phase::kScanning;
  for (Incarnation thread : membership.dead_threads) {
    to_scan_.insert(thread);
    Action& scan = out_.Add(ActionType::kScanRedo);
    scan.thread = thread;
    scan.id = membership.epoch.value();
  }
  if (to_scan_.empty()) {
    SendMarks();
  }
}

void Recovery::Scanned(Incarnation thread, uint64_t id, const std::vector<PageMark>& marks) {
  bool expected = phase_ == Phase::kScanning && id == membership_.epoch.value();
  if (!expected || to_scan_.erase(thread) == 0) {
    return;
  }
  for (const PageMark& mark : marks) {
    Psn& psn = marks_[mark.page];
    psn = std::max(psn, mark.psn);
  }
  if (to_scan_.empty()) {
    SendMarks();
  }
}

void Recovery::SendMarks() {
  phase_ = Phase::kRebuilding;
  std::map<InstanceId, Message> messages;
  membership_.members.ForEach([&](InstanceId master) {
    messages[master].type = MessageType::kMarks;
    messages[master].to = master;
  });
  for (const auto& [page, psn] : marks_) {
    Message& message = messages[map_.MasterOf(page)];
    message.marks.push_back({page, psn});
    if (message.marks.size() == kMarksPerMessage) {
      out_.Send(message);
      message.marks.clear();
    }
  }
  for (auto& [master, message] : messages) {
    message.last = true;
    out_.Send(std::move(message));
  }
}

void Recovery::OnReady(const Message& message) {
  if (phase_ != Phase::kRebuilding) {
    return;
  }
  not_ready_.Remove(message.from);
  if (!not_ready_.empty()) {
    return;
  }
  phase_ = Phase::kReplaying;
  membership_.members.ForEach([&](InstanceId member) {
    Message unfreeze;
    unfreeze.type = MessageType::kUnfreeze;
    unfreeze.to = member;
    out_.Send(std::move(unfreeze));
  });
}

void Recovery::Unfrozen() {
  if (phase_ != Phase::kReplaying) {
    return;
  }
  todo_ = marks_;
  Next();
}

void Recovery::Next() {
  std::size_t at_once = phase_ == Phase::kReplaying ? kReplaysAtOnce : kWritesAtOnce;
  while (!todo_.empty() && underway_.size() < at_once) {
    auto [page, psn] = *todo_.begin();
    todo_.erase(todo_.begin());
    underway_[page] = psn;
    Message request;
    request.type = phase_ == Phase::kReplaying ? MessageType::kRecover : MessageType::kWriteRequest;
    request.to = map_.MasterOf(page);
    request.page = page;
    request.mode = BlockMode::kExclusive;
    request.psn = psn;
    out_.Send(std::move(request));
  }
  if (!underway_.empty()) {
    return;
  }
  if (phase_ == Phase::kReplaying) {
    out_.Add(ActionType::kRecovered);
    phase_ = Phase::kRetiring;
    if (PGQUORUM_FUSION_BUG(kRetireAfterReplay)) {
      Retire();
      return;
    }
    todo_ = marks_;
    if (todo_.empty()) {
      Retire();
    } else {
      Next();
    }
  } else if (phase_ == Phase::kRetiring) {
    Retire();
  }
}

void Recovery::PageDone(PageId page) {
  if (phase_ == Phase::kReplaying && underway_.erase(page) > 0) {
    Next();
  }
}

void Recovery::OnOnDisk(const Message& message) {
  if (phase_ != Phase::kRetiring) {
    return;
  }
  auto found = underway_.find(message.page);
  if (found != underway_.end() && found->second <= message.psn) {
    underway_.erase(found);
    Next();
  }
}

void Recovery::Retire() {
  phase_ = Phase::kIdle;
  for (Incarnation thread : membership_.dead_threads) {
    out_.Add(ActionType::kRetireRedo).thread = thread;
  }
}

}  // namespace pgquorum::fusion
