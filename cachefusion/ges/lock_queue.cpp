#include "cachefusion/ges/lock_queue.h"

#include <algorithm>
#include <iterator>

#include "base/check.h"

#include "base/pure.h"

namespace pgquorum::fusion {

LockHolder* LockQueue::HolderOf(LockOwner owner) {
  for (LockHolder& holder : holders_) {
    if (holder.owner == owner) {
      return &holder;
    }
  }
  return nullptr;
}

bool LockQueue::FitsHolders(LockOwner owner, LockMode mode) const {
  return std::all_of(holders_.begin(), holders_.end(), [&](const LockHolder& holder) {
    return holder.owner == owner || Compatible(holder.mode, mode);
  });
}

bool LockQueue::Request(const LockWaiter& request, bool no_wait, std::vector<Granted>& granted) {
  bool conversion = HolderOf(request.owner) != nullptr;
  bool at_once;
  if (conversion) {
    bool first = converting_.empty() || PGQUORUM_FUSION_BUG(kLockQueueJumps);
    at_once = IsDowngrade(HolderOf(request.owner)->mode, request.mode) ||
              (first && FitsHolders(request.owner, request.mode));
  } else {
    at_once = ((converting_.empty() && waiting_.empty()) || PGQUORUM_FUSION_BUG(kLockQueueJumps)) &&
              FitsHolders(request.owner, request.mode);
  }
  if (at_once) {
    Restore(request.owner, request.mode);
    granted.push_back({request.owner, request.mode, request.wait});
    Grant(granted);  // a conversion may have made room
    return true;
  }
  if (no_wait) {
    return false;
  }
  bool behind = PGQUORUM_FUSION_BUG(kConversionWaitsBehind);
  (conversion && !behind ? converting_ : waiting_).push_back(request);
  return true;
}

void LockQueue::Restore(LockOwner owner, LockMode mode) {
  if (LockHolder* holder = HolderOf(owner)) {
    holder->mode = mode;
  } else {
    holders_.push_back({owner, mode});
  }
}

bool LockQueue::Cancel(LockOwner owner, WaitId wait, std::vector<Granted>& granted) {
  auto matches = [&](const LockWaiter& w) { return w.owner == owner && w.wait == wait; };
  bool found = std::erase_if(converting_, matches) + std::erase_if(waiting_, matches) > 0;
  if (found) {
    Grant(granted);
  }
  return found;
}

void LockQueue::Unlock(LockOwner owner, LockMode mode, bool release,
                       std::vector<Granted>& granted) {
  if (release) {
    std::erase_if(holders_, [owner](const LockHolder& holder) { return holder.owner == owner; });
  } else if (LockHolder* holder = HolderOf(owner)) {
    PGQUORUM_CHECK(IsDowngrade(holder->mode, mode));
    holder->mode = mode;
  }
  Grant(granted);
}

void LockQueue::Grant(std::vector<Granted>& granted) {
  for (std::deque<LockWaiter>* queue : {&converting_, &waiting_}) {
    while (!queue->empty() && FitsHolders(queue->front().owner, queue->front().mode)) {
      LockWaiter next = queue->front();
      queue->pop_front();
      Restore(next.owner, next.mode);
      granted.push_back({next.owner, next.mode, next.wait});
    }
    if (!queue->empty()) {
      return;
    }
  }
}

void LockQueue::Edges(std::vector<WaitEdge>& edges) const {
  auto add = [&](const LockWaiter& waiter, LockOwner holder) {
    if (holder != waiter.owner) {
      edges.push_back({waiter.owner, waiter.wait, holder, resource_});
    }
  };
  auto blocked_by_holders = [&](const LockWaiter& waiter) {
    for (const LockHolder& holder : holders_) {
      if (!Compatible(holder.mode, waiter.mode)) {
        add(waiter, holder.owner);
      }
    }
  };
  // Who stands before one in a queue is waited for as well: order is kept.
  for (std::size_t i = 0; i < converting_.size(); ++i) {
    blocked_by_holders(converting_[i]);
    for (std::size_t before = 0; before < i; ++before) {
      add(converting_[i], converting_[before].owner);
    }
  }
  for (std::size_t i = 0; i < waiting_.size(); ++i) {
    blocked_by_holders(waiting_[i]);
    for (const LockWaiter& converts : converting_) {
      add(waiting_[i], converts.owner);
    }
    for (std::size_t before = 0; before < i; ++before) {
      add(waiting_[i], waiting_[before].owner);
    }
  }
}

ResourceState LockQueue::State() const {
  return {resource_,
          holders_,
          {converting_.begin(), converting_.end()},
          {waiting_.begin(), waiting_.end()},
          value_};
}

LockQueue LockQueue::FromState(const ResourceState& state) {
  LockQueue queue(state.resource);
  queue.holders_ = state.granted;
  queue.converting_.assign(state.converting.begin(), state.converting.end());
  queue.waiting_.assign(state.waiting.begin(), state.waiting.end());
  queue.value_ = state.value;
  return queue;
}

}  // namespace pgquorum::fusion
