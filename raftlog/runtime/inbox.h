// Everything that other threads hand to the core's thread, bounded per kind.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
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
    bool taken = Put([&](InboxContent& c) {
      full = c.proposals.size() >= max_proposals_;
      if (!full) {
        c.proposals.push_back(std::move(proposal));
      }
      return !full;
    });
    return taken ? Admission::kTaken : (full ? Admission::kFull : Admission::kClosed);
  }

  // Waits until there is something, Close or `deadline`. Replaces `content`. With
  // `gather_proposals` they alone do not end the wait and stay behind, until the deadline.
  void Take(InboxContent& content, std::chrono::steady_clock::time_point deadline,
            bool gather_proposals) {
    content = InboxContent();
    std::unique_lock lock(mutex_);
    bool woken = wake_.wait_until(lock, deadline, [this, gather_proposals] {
      return closed_ || (gather_proposals ? content_.HasInput() : !content_.empty());
    });
    std::swap(content, content_);
    if (woken && gather_proposals && !closed_) {
      std::swap(content.proposals, content_.proposals);
    }
  }
  // Closed at first.
  void Open() {
    std::lock_guard lock(mutex_);
    closed_ = false;
  }
  // Nothing is accepted any more; Take returns what is left.
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
    return {content_.messages.size(), content_.proposals.size()};
  }

 private:
  template <typename Function>
  bool Put(Function function) {
    {
      std::lock_guard lock(mutex_);
      if (closed_) {
        return false;
      }
      if constexpr (std::is_void_v<decltype(function(content_))>) {
        function(content_);
      } else if (!function(content_)) {
        return false;
      }
    }
    wake_.notify_one();
    return true;
  }

  const uint64_t max_messages_;
  const uint64_t max_message_bytes_;
  const uint64_t max_proposals_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  InboxContent content_;
  bool closed_ = true;
};

}  // namespace pgquorum::raft

#include "base/pure.h"
