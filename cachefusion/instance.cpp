// Inputs, routing of messages, time. Reconfiguration and remastering: instance_reconfig.cpp.
#include "cachefusion/instance.h"

#include <utility>

#include "base/check.h"
#include "cachefusion/bug.h"

#include "base/pure.h"

namespace pgquorum::fusion {

Instance::Instance(InstanceId self, Incarnation life, const InstanceOptions& options)
    : life_(life),
      options_(options),
      blocks_(out_, map_),
      block_master_(out_, options.directory_entries),
      lock_master_(out_),
      locks_(out_, map_),
      affinity_(options.affinity),
      recovery_(out_, map_) {
  out_.self = self;
}

std::vector<Action> Instance::Take() {
  while (!out_.loopback.empty()) {
    Message message = std::move(out_.loopback.front());
    out_.loopback.pop_front();
    Dispatch(message);
    TryHandOver();
  }
  std::vector<Action> actions = std::move(out_.actions);
  out_.actions.clear();
  return actions;
}

void Instance::Deliver(const Message& message) {
  if (fenced_) {
    return;
  }
  if (message.epoch > epoch()) {
    early_.push_back(message);
    return;
  }
  if (message.epoch < epoch() && !PGQUORUM_FUSION_BUG(kStaleEpochAccepted)) {
    return;
  }
  Dispatch(message);
  TryHandOver();
}

void Instance::VersionRead(PageId page, uint64_t id, Psn psn) {
  block_master_.VersionRead(page, id, psn);
  TryReady();
}

void Instance::Replayed(PageId page, uint64_t id, Psn psn, Psn on_disk) {
  const Frame* frame = blocks_.Find(page);
  if (frame == nullptr || frame->reading != id) {
    return;
  }
  blocks_.Replayed(page, id, psn, on_disk);
  recovery_.PageDone(page);
  blocks_.LetAsk(page);
}

void Instance::RedoScanned(Incarnation thread, uint64_t id, const std::vector<PageMark>& marks) {
  recovery_.Scanned(thread, id, marks);
}

// True: the message is for the bucket's master, which is another by now.
bool Instance::PassOn(const Message& message) {
  Bucket bucket;
  switch (message.type) {
    case MessageType::kWrote:
      if (message.conversion != 0) {
        return false;
      }
      bucket = BucketOf(message.page);
      break;
    case MessageType::kRequest:
    case MessageType::kWriteRequest:
    case MessageType::kRecover:
      bucket = BucketOf(message.page);
      break;
    case MessageType::kLock:
    case MessageType::kLockCancel:
    case MessageType::kUnlock:
      bucket = BucketOf(message.lock.resource);
      break;
    default:
      return false;
  }
  InstanceId master = map_.MasterOf(bucket);
  if (master == self()) {
    if (!frozen_ && message.type != MessageType::kWrote) {
      affinity_.Count(bucket, message.from);
    }
    return false;
  }
  ++passed_on_;
  Message on = message;
  on.to = master;
  out_.Send(std::move(on));
  Message moved;
  moved.type = MessageType::kMoved;
  moved.to = message.from;
  moved.bucket = bucket.value();
  moved.peer = master;
  moved.conversion = map_.VersionOf(bucket);
  out_.Send(std::move(moved));
  return true;
}

void Instance::Dispatch(const Message& message) {
  if (PassOn(message)) {
    return;
  }
  if (message.type <= MessageType::kRecalled) {
    DispatchBlock(message);
  } else if (message.type <= MessageType::kVictim) {
    DispatchLock(message);
  } else {
    DispatchRebuild(message);
  }
}

void Instance::DispatchBlock(const Message& message) {
  switch (message.type) {
    case MessageType::kRequest:
    case MessageType::kWriteRequest:
      block_master_.OnRequest(message);
      return;
    case MessageType::kShip:
    case MessageType::kInvalidate:
    case MessageType::kRecall:
    case MessageType::kWrite:
      blocks_.OnDemand(message);
      return;
    case MessageType::kPage:
      blocks_.OnPage(message);
      return;
    case MessageType::kNoPage:
      block_master_.OnNoPage(message);
      return;
    case MessageType::kInvalidated:
      block_master_.OnInvalidated(message);
      return;
    case MessageType::kGrant:
      blocks_.OnGrant(message);
      return;
    case MessageType::kUpgrade:
      blocks_.OnUpgrade(message);
      return;
    case MessageType::kDone:
      block_master_.OnDone(message);
      return;
    case MessageType::kWrote:
      block_master_.OnWrote(message);
      return;
    case MessageType::kOnDisk:
      blocks_.OnOnDisk(message);
      recovery_.OnOnDisk(message);
      return;
    default:
      PGQUORUM_CHECK(message.type == MessageType::kRecalled);
      block_master_.OnRecalled(message);
  }
}

void Instance::DispatchLock(const Message& message) {
  switch (message.type) {
    case MessageType::kLock:
      lock_master_.OnLock(message);
      return;
    case MessageType::kLockGranted:
      locks_.OnGranted(message);
      return;
    case MessageType::kLockCancel:
      lock_master_.OnCancel(message);
      return;
    case MessageType::kLockEnded:
      locks_.OnEnded(message);
      return;
    case MessageType::kUnlock:
      lock_master_.OnUnlock(message);
      return;
    case MessageType::kUnlocked:
      locks_.OnUnlocked(message);
      return;
    case MessageType::kEdgesAsk:
      AnswerEdges(message);
      return;
    case MessageType::kEdges:
      OnEdges(message);
      return;
    default:
      PGQUORUM_CHECK(message.type == MessageType::kVictim);
      locks_.OnVictim(message);
  }
}

void Instance::AnswerEdges(const Message& message) {
  Message answer;
  answer.type = MessageType::kEdges;
  answer.to = message.from;
  answer.conversion = message.conversion;
  answer.edges = lock_master_.Edges();
  answer.locks = locks_.TakeEnding();
  answer.edges.insert(answer.edges.end(), local_edges_.begin(), local_edges_.end());
  out_.Send(std::move(answer));
}

void Instance::OnEdges(const Message& message) {
  for (const DeadlockVictim& victim :
       detector_.AddEdges(message.from, message.conversion, message.edges, message.locks)) {
    Message end;
    end.type = MessageType::kVictim;
    end.to = InstanceOf(victim.owner);
    end.lock.owner = victim.owner;
    end.lock.wait = victim.wait;
    out_.Send(std::move(end));
  }
}

void Instance::Tick() {
  ++now_;
  if (fenced_) {
    return;
  }
  locks_.Tick();
  if (frozen_) {
    return;
  }
  bool detects = membership_.coordinator() == self();
  if (detects && now_ % options_.deadlock_interval_ticks == 0 && detector_.StartRound()) {
    membership_.members.ForEach([&](InstanceId member) {
      Message ask;
      ask.type = MessageType::kEdgesAsk;
      ask.to = member;
      ask.conversion = detector_.round();
      out_.Send(std::move(ask));
    });
  }
  if (hand_over_ && now_ > hand_over_->deadline) {
    block_master_.StopDraining(hand_over_->bucket);
    hand_over_.reset();
  }
  if (now_ % options_.affinity_interval_ticks == 0) {
    StartHandOver();
  }
  TryHandOver();
}

}  // namespace pgquorum::fusion
