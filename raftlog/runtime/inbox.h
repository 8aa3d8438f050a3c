// Everything that waits for the core's next turn, bounded per kind. Whoever puts something in sees
// to it that there is one: by taking it (Host::Impl::TakeTurn) or by Wake().
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "raftlog/runtime/host.h"
#include "raftlog/types.h"

namespace pgquorum::raft {

struct Proposal {
  EntryType type = EntryType::kCommand;
  std::string data;
  ProposeDone done;
  std::chrono::steady_clock::time_point since;
};

// The mark of the newest durable batch.
struct DurableMark {
  uint64_t sequence = 0;
  Term term;
  Index index;
};

struct InboxContent {
  std::optional<DurableMark> durable;
  std::vector<std::function<void()>> tasks;  // bounded by what they answer
  std::vector<Message> messages;
  std::vector<Proposal> proposals;
  uint64_t message_bytes = 0;

  bool HasInput() const { return durable || !tasks.empty() || !messages.empty(); }
  bool empty() const { return !HasInput() && proposals.empty(); }
};

class Inbox {
 public:
  Inbox(uint64_t max_messages, uint64_t max_message_bytes, uint64_t max_proposals)
      : max_messages_(max_messages),
        max_message_bytes_(max_message_bytes),
        max_proposals_(max_proposals) {}

  void Durable(const DurableMark& mark) {
    Put([&](InboxContent& c) { c.durable = mark; });
  }
  // False: closed. `task` is moved from only when taken.
  bool Task(std::function<void()>& task) {
    return Put([&](InboxContent& c) {
      c.tasks.push_back(std::move(task));
      return true;
    });
  }
  // False: full or closed, the message is gone.
  bool Receive(Message message, uint64_t bytes) {
    return Put([&](InboxContent& c) {
      if (c.messages.size() >= max_messages_ || c.message_bytes + bytes > max_message_bytes_) {
        return false;
      }
      c.message_bytes += bytes;
      c.messages.push_back(std::move(message));
      return true;
    });
  }
  enum class Admission { kTaken, kFull, kClosed };
  // `proposal` is moved from only when taken.
  Admission Propose(Proposal& proposal) {
    bool full = false;
    bool taken = Put([&](InboxContent&) {
      full = proposals_.size() >= max_proposals_;
      if (!full) {
        proposals_.push_back(std::move(proposal));
      }
      return !full;
    });
    return taken ? Admission::kTaken : (full ? Admission::kFull : Admission::kClosed);
  }

  // Until Wake(), Close() or `deadline`.
  void Wait(std::chrono::steady_clock::time_point deadline) {
    std::unique_lock lock(mutex_);
    wake_.wait_until(lock, deadline, [this] { return closed_ || woken_; });
    woken_ = false;
  }
  void Wake() {
    {
      std::lock_guard lock(mutex_);
      if (std::exchange(woken_, true)) {
        return;
      }
    }
    wake_.notify_one();
  }
  // Replaces `content` by what is there, of the proposals the oldest up to `max_proposal_bytes`.
  // With `leave_proposals` they stay behind, unless there is a durable mark: what waited for the
  // disk goes on then.
  void Take(InboxContent& content, bool leave_proposals, uint64_t max_proposal_bytes) {
    content = InboxContent();
    std::lock_guard lock(mutex_);
    std::swap(content, content_);
    if (leave_proposals && !content.durable) {
      return;
    }
    uint64_t bytes = 0;
    while (!proposals_.empty() && bytes < max_proposal_bytes) {
      bytes += proposals_.front().data.size() + kEntryOverheadBytes;
      content.proposals.push_back(std::move(proposals_.front()));
      proposals_.pop_front();
    }
  }
  bool Ready(bool leave_proposals) const {
    std::lock_guard lock(mutex_);
    return !closed_ && (content_.HasInput() || (!leave_proposals && !proposals_.empty()));
  }
  // Closed at first.
  void Open() {
    std::lock_guard lock(mutex_);
    closed_ = false;
  }
  // Nothing is accepted any more, nobody waits; Take returns what is left.
  void Close() {
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
    }
    wake_.notify_one();
  }
  bool closed() const {
    std::lock_guard lock(mutex_);
    return closed_;
  }
  std::pair<uint64_t, uint64_t> depths() const {
    std::lock_guard lock(mutex_);
    return {content_.messages.size(), proposals_.size()};
  }

 private:
  template <typename Function>
  bool Put(Function function) {
    std::lock_guard lock(mutex_);
    if (closed_) {
      return false;
    }
    if constexpr (std::is_void_v<decltype(function(content_))>) {
      function(content_);
      return true;
    } else {
      return function(content_);
    }
  }

  const uint64_t max_messages_;
  const uint64_t max_message_bytes_;
  const uint64_t max_proposals_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  InboxContent content_;  // but for the proposals
  std::deque<Proposal> proposals_;
  bool woken_ = false;
  bool closed_ = true;
};

}  // namespace pgquorum::raft

#include "base/pure.h"
