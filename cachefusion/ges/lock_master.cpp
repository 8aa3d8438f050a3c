#include "cachefusion/ges/lock_master.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

#include "base/pure.h"

namespace pgquorum::fusion {

LockQueue& LockMaster::QueueOf(ResourceId resource) {
  return resources_.try_emplace(resource, resource).first->second;
}

void LockMaster::Tell(const LockQueue& queue, ResourceId resource,
                      const std::vector<LockQueue::Granted>& granted) {
  for (const LockQueue::Granted& grant : granted) {
    Message message;
    message.type = MessageType::kLockGranted;
    message.to = InstanceOf(grant.owner);
    message.lock.resource = resource;
    message.lock.owner = grant.owner;
    message.lock.wait = grant.wait;
    message.lock.mode = grant.mode;
    message.lock.value = queue.value();
    out_.Send(std::move(message));
  }
}

void LockMaster::EraseIfEmpty(ResourceId resource) {
  auto found = resources_.find(resource);
  if (found != resources_.end() && found->second.empty()) {
    resources_.erase(found);  // a value block lives as long as somebody holds the resource
  }
}

void LockMaster::OnLock(const Message& message) {
  if (frozen_) {
    held_.push_back(message);
    return;
  }
  ++counters_.requests;
  LockQueue& queue = QueueOf(message.lock.resource);
  std::vector<LockQueue::Granted> granted;
  LockWaiter request{message.lock.owner, message.lock.mode, message.lock.wait};
  if (!queue.Request(request, message.lock.no_wait, granted)) {
    ++counters_.refused;
    Message answer;
    answer.type = MessageType::kLockEnded;
    answer.to = InstanceOf(message.lock.owner);
    answer.lock = message.lock;
    out_.Send(std::move(answer));
  }
  ++(granted.empty() ? counters_.granted_later : counters_.granted_at_once);
  Tell(queue, message.lock.resource, granted);
  EraseIfEmpty(message.lock.resource);
}

void LockMaster::OnCancel(const Message& message) {
  if (frozen_) {
    held_.push_back(message);
    return;
  }
  auto found = resources_.find(message.lock.resource);
  if (found == resources_.end()) {
    return;  // granted, and released, before the cancellation came
  }
  std::vector<LockQueue::Granted> granted;
  if (found->second.Cancel(message.lock.owner, message.lock.wait, granted)) {
    ++counters_.cancelled;
    if (!PGQUORUM_FUSION_BUG(kCancelForgotten)) {
      Message answer;
      answer.type = MessageType::kLockEnded;
      answer.to = InstanceOf(message.lock.owner);
      answer.lock = message.lock;
      out_.Send(std::move(answer));
    }
  }
  Tell(found->second, message.lock.resource, granted);
  EraseIfEmpty(message.lock.resource);
}

void LockMaster::OnUnlock(const Message& message) {
  if (frozen_) {
    held_.push_back(message);
    return;
  }
  const LockPart& lock = message.lock;
  auto found = resources_.find(lock.resource);
  if (found != resources_.end()) {
    LockQueue& queue = found->second;
    if (lock.with_value && lock.value.version > queue.value().version) {
      queue.value() = lock.value;
    }
    std::vector<LockQueue::Granted> granted;
    queue.Unlock(lock.owner, lock.mode, lock.release, granted);
    Tell(queue, lock.resource, granted);
    EraseIfEmpty(lock.resource);
  }
  Message answer;
  answer.type = MessageType::kUnlocked;
  answer.to = InstanceOf(lock.owner);
  answer.lock = lock;
  out_.Send(std::move(answer));
}

std::vector<WaitEdge> LockMaster::Edges() const {
  std::vector<WaitEdge> edges;
  for (const auto& [resource, queue] : resources_) {
    if (queue.waits()) {
      queue.Edges(edges);
    }
  }
  return edges;
}

void LockMaster::Freeze(InstanceSet dead) {
  if (!dead.empty()) {
    // From an epoch before the last: another master may have granted a lock since, and be dead.
    for (auto& [resource, carried] : carried_) {
      carried.vouched = false;
    }
  }
  for (const auto& [bucket, values] : on_their_way_) {
    for (const auto& [resource, value] : values) {
      carried_[resource] = {value, false};  // the next master may have had it
    }
  }
  on_their_way_.clear();
  for (const auto& [resource, queue] : resources_) {
    if (queue.value().version == 0) {
      continue;
    }
    Carried carried{queue.value(), true};
    for (const LockHolder& holder : queue.holders()) {
      bool wrote = dead.Has(InstanceOf(holder.owner)) && WritesValue(holder.mode);
      if (wrote && !PGQUORUM_FUSION_BUG(kValueSurvivesCrash)) {
        carried.value.valid = false;
      }
    }
    carried_[resource] = carried;
  }
  frozen_ = true;
  resources_.clear();
  held_.clear();
  reports_.clear();
}

std::vector<LockReport> LockMaster::Values() const {
  std::vector<LockReport> reports;
  for (const auto& [resource, carried] : carried_) {
    LockReport report;
    report.kind = carried.vouched ? LockReport::kValue : LockReport::kReleased;
    report.resource = resource;
    report.value = carried.value;
    reports.push_back(report);
  }
  return reports;
}

void LockMaster::AddReports(const std::vector<LockReport>& reports) {
  for (const LockReport& report : reports) {
    reports_[report.resource].push_back(report);
  }
}

// A value block is what the highest version says. It is valid when somebody can vouch for it: a
// surviving master, or a survivor that holds the resource in a mode that excludes writers. If a
// member has died and nobody can, the dead may have changed it.
void LockMaster::Rebuild(bool deaths) {
  for (const auto& [resource, reports] : reports_) {
    LockQueue queue(resource);
    LockValue value;
    bool vouched = !deaths || PGQUORUM_FUSION_BUG(kValueSurvivesCrash);
    for (const LockReport& report : reports) {
      if (report.kind == LockReport::kHeld) {
        queue.Restore(report.owner, report.mode);
        vouched = vouched || ExcludesWriters(report.mode);
      }
      vouched = vouched || report.kind == LockReport::kValue;
      bool newer = report.value.version > value.version;
      bool doubted = report.value.version == value.version && !report.value.valid;
      if (newer || doubted) {
        value = report.value;
      }
    }
    if (!vouched && value.version != 0) {
      value.valid = false;
      ++counters_.values_invalidated;
    }
    queue.value() = value;
    if (!queue.empty()) {
      resources_.emplace(resource, std::move(queue));
    }
  }
  reports_.clear();
}

void LockMaster::Unfreeze() {
  frozen_ = false;
  carried_.clear();
  std::vector<Message> held = std::move(held_);
  held_.clear();
  for (const Message& message : held) {
    switch (message.type) {
      case MessageType::kLock:
        OnLock(message);
        break;
      case MessageType::kLockCancel:
        OnCancel(message);
        break;
      default:
        OnUnlock(message);
        break;
    }
  }
}

std::vector<ResourceState> LockMaster::Extract(Bucket bucket) {
  std::vector<ResourceState> states;
  for (auto resource = resources_.begin(); resource != resources_.end();) {
    if (BucketOf(resource->first) == bucket) {
      states.push_back(resource->second.State());
      if (resource->second.value().version != 0) {
        on_their_way_[bucket][resource->first] = resource->second.value();
      }
      resource = resources_.erase(resource);
    } else {
      ++resource;
    }
  }
  return states;
}

void LockMaster::Arrived(Bucket bucket) {
  on_their_way_.erase(bucket);
}

void LockMaster::Install(const std::vector<ResourceState>& states) {
  for (const ResourceState& state : states) {
    resources_.insert_or_assign(state.resource, LockQueue::FromState(state));
  }
}

}  // namespace pgquorum::fusion
