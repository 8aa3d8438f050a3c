// Changes of the membership, and buckets that move.
#include <map>
#include <utility>

#include "base/check.h"
#include "cachefusion/bug.h"
#include "cachefusion/instance.h"

#include "base/pure.h"

namespace pgquorum::fusion {

void Instance::NewMembership(const Membership& membership) {
  PGQUORUM_CHECK(membership.epoch > epoch());
  if (fenced_) {
    return;
  }
  if (membership.IncarnationOf(self()) != life_) {
    fenced_ = true;
    out_.Add(ActionType::kFenced);
    return;
  }
  // Messages to itself are of the epoch that ends.
  out_.loopback.clear();
  InstanceSet dead;
  membership_.members.ForEach([&](InstanceId id) {
    if (membership.IncarnationOf(id) != membership_.IncarnationOf(id)) {
      dead.Add(id);
    }
  });
  deaths_ = deaths_ || !dead.empty();
  membership_ = membership;
  out_.epoch = membership.epoch;
  map_.Reset(membership.members);
  frozen_ = true;
  ready_sent_ = rebuild_begun_ = marks_complete_ = reported_deaths_ = false;
  reports_missing_ = membership.members;
  hand_over_.reset();
  affinity_.Reset();
  detector_.Reset(membership.members);
  blocks_.Freeze();
  block_master_.Freeze();
  lock_master_.Freeze(dead);
  locks_.Freeze();
  SendReports();
  recovery_.Begin(membership);
  std::vector<Message> early = std::move(early_);
  early_.clear();
  for (const Message& message : early) {
    Deliver(message);
  }
}

void Instance::SendReports() {
  std::map<InstanceId, Message> messages;
  membership_.members.ForEach([&](InstanceId master) {
    messages[master].type = MessageType::kReport;
    messages[master].to = master;
    messages[master].deaths = deaths_;
  });
  auto flush_full = [this](Message& message) {
    if (message.frames.size() + message.locks.size() >= kReportsPerMessage) {
      out_.Send(message);
      message.frames.clear();
      message.locks.clear();
    }
  };
  for (const FrameReport& frame : blocks_.Report()) {
    Message& message = messages[map_.MasterOf(frame.page)];
    message.frames.push_back(frame);
    flush_full(message);
  }
  std::vector<LockReport> locks = locks_.Report();
  std::vector<LockReport> values = lock_master_.Values();
  locks.insert(locks.end(), values.begin(), values.end());
  for (const LockReport& lock : locks) {
    Message& message = messages[map_.MasterOf(BucketOf(lock.resource))];
    message.locks.push_back(lock);
    flush_full(message);
  }
  for (auto& [master, message] : messages) {
    message.last = true;
    out_.Send(std::move(message));
  }
}

void Instance::DispatchRebuild(const Message& message) {
  switch (message.type) {
    case MessageType::kReport:
      block_master_.AddReports(message.from, message.frames);
      lock_master_.AddReports(message.locks);
      reported_deaths_ = reported_deaths_ || message.deaths;
      if (message.last) {
        reports_missing_.Remove(message.from);
        TryRebuild();
      }
      return;
    case MessageType::kMarks:
      block_master_.AddMarks(message.marks);
      if (message.last) {
        marks_complete_ = true;
        TryRebuild();
      }
      return;
    case MessageType::kAdopt:
      blocks_.OnAdopt(message);
      return;
    case MessageType::kAdopted:
      block_master_.OnAdopted(message);
      TryReady();
      return;
    case MessageType::kReady:
      recovery_.OnReady(message);
      return;
    case MessageType::kUnfreeze:
      OnUnfreeze();
      return;
    case MessageType::kRecover:
      block_master_.OnRequest(message);
      return;
    case MessageType::kRecoverSkipped:
      recovery_.PageDone(message.page);
      blocks_.LetAsk(message.page);
      return;
    case MessageType::kShipPast:
      blocks_.OnShipPast(message);
      return;
    case MessageType::kHandOver:
      OnHandOver(message);
      return;
    default:
      PGQUORUM_CHECK(message.type == MessageType::kMoved);
      map_.Move(Bucket(message.bucket), message.peer, message.conversion);
      if (message.last) {
        lock_master_.Arrived(Bucket(message.bucket));
      }
  }
}

void Instance::TryRebuild() {
  if (rebuild_begun_ || !reports_missing_.empty() || !marks_complete_) {
    return;
  }
  rebuild_begun_ = true;
  block_master_.Rebuild();
  lock_master_.Rebuild(reported_deaths_);
  TryReady();
}

void Instance::TryReady() {
  bool rebuilt = block_master_.rebuilt() || PGQUORUM_FUSION_BUG(kUnfreezeBeforeAdopted);
  if (!frozen_ || ready_sent_ || !rebuild_begun_ || !rebuilt) {
    return;
  }
  ready_sent_ = true;
  Message ready;
  ready.type = MessageType::kReady;
  ready.to = membership_.coordinator();
  out_.Send(std::move(ready));
}

void Instance::OnUnfreeze() {
  frozen_ = false;
  deaths_ = false;
  block_master_.Unfreeze();
  lock_master_.Unfreeze();
  for (const auto& [page, psn] : recovery_.marks()) {
    blocks_.HoldBack(page);
  }
  blocks_.Unfreeze();
  locks_.Unfreeze();
  out_.Add(ActionType::kUnfrozen);
  recovery_.Unfrozen();
}

void Instance::StartHandOver() {
  for (const BucketMove& move : affinity_.Interval(self())) {
    bool here = map_.MasterOf(move.bucket) == self() && membership_.members.Has(move.to);
    if (!hand_over_ && here) {
      hand_over_ = HandOver{move.bucket, move.to, now_ + options_.drain_cap_ticks};
      block_master_.Drain(move.bucket);
    }
  }
}

// The bucket goes when its last conversion has ended. What comes for it afterwards is passed on, in
// order behind this message.
void Instance::TryHandOver() {
  if (!hand_over_ || frozen_ || !block_master_.Drained(hand_over_->bucket)) {
    return;
  }
  Bucket bucket = hand_over_->bucket;
  Message message;
  message.type = MessageType::kHandOver;
  message.to = hand_over_->to;
  message.bucket = bucket.value();
  message.conversion = map_.VersionOf(bucket) + 1;
  hand_over_.reset();
  map_.Move(bucket, message.to, message.conversion);
  message.entries = block_master_.Extract(bucket);
  message.resources = lock_master_.Extract(bucket);
  affinity_.Forget(bucket);
  ++remastered_;
  out_.Send(std::move(message));
}

void Instance::OnHandOver(const Message& message) {
  map_.Move(Bucket(message.bucket), self(), message.conversion);
  block_master_.Install(message.entries);
  lock_master_.Install(message.resources);
  Message moved;
  moved.type = MessageType::kMoved;
  moved.to = message.from;
  moved.bucket = message.bucket;
  moved.peer = self();
  moved.conversion = message.conversion;
  moved.last = true;
  out_.Send(std::move(moved));
}

}  // namespace pgquorum::fusion
