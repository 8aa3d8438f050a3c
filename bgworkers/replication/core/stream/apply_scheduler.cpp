#include "bgworkers/replication/core/stream/apply_scheduler.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "bgworkers/replication/core/bug.h"

#include "base/pure.h"

namespace pgquorum::replication {

ApplyScheduler::Entry& ApplyScheduler::At(uint64_t sequence) {
  PGQUORUM_CHECK(sequence >= first_ && sequence - first_ < window_.size());
  return window_[sequence - first_];
}

bool ApplyScheduler::Submit(uint64_t sequence, std::vector<uint64_t> keys, bool barrier) {
  PGQUORUM_CHECK(sequence == first_ + window_.size());
  if (window_.size() >= options_.max_transactions) {
    return false;
  }
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  if (keys.size() > options_.max_keys) {
    barrier = true;
  }
  if (barrier) {
    keys.clear();
  } else if (key_count_ + keys.size() > options_.max_keys) {
    return false;
  }
  Entry entry;
  entry.barrier = barrier;
  entry.after = barrier ? sequence - 1 : last_barrier_;
  for (uint64_t key : keys) {
    auto [place, fresh] = last_writer_.try_emplace(key, sequence);
    if (!fresh) {
      if (!PGQUORUM_REPLICATION_BUG(kKeysIgnored)) {
        entry.after = std::max(entry.after, place->second);
      }
      place->second = sequence;
    }
  }
  if (barrier) {
    last_barrier_ = sequence;
  }
  key_count_ += keys.size();
  entry.keys = std::move(keys);
  window_.push_back(std::move(entry));
  return true;
}

std::optional<uint64_t> ApplyScheduler::Next() {
  for (std::size_t i = 0; i < window_.size(); ++i) {
    Entry& entry = window_[i];
    bool oldest = i == 0;
    bool ready = oldest || (entry.after < first_ && !entry.alone);
    if (entry.state == State::kWaiting && ready) {
      entry.state = State::kRunning;
      return first_ + i;
    }
    if (entry.barrier) {
      return std::nullopt;  // nothing passes it
    }
  }
  return std::nullopt;
}

void ApplyScheduler::Executed(uint64_t sequence) {
  Entry& entry = At(sequence);
  PGQUORUM_CHECK(entry.state == State::kRunning);
  entry.state = State::kExecuted;
}

std::optional<uint64_t> ApplyScheduler::NextToCommit() const {
  if (PGQUORUM_REPLICATION_BUG(kCommitAnyOrder)) {
    for (std::size_t i = window_.size(); i > 0; --i) {
      if (window_[i - 1].state == State::kExecuted) {
        return first_ + i - 1;
      }
    }
  }
  bool ready = !window_.empty() && window_.front().state == State::kExecuted;
  return ready ? std::optional(first_) : std::nullopt;
}

void ApplyScheduler::Committed(uint64_t sequence) {
  PGQUORUM_CHECK(sequence == first_ || PGQUORUM_REPLICATION_BUG(kCommitAnyOrder));
  while (first_ <= sequence) {
    for (uint64_t key : window_.front().keys) {
      auto writer = last_writer_.find(key);
      if (writer != last_writer_.end() && writer->second == first_) {
        last_writer_.erase(writer);
      }
    }
    key_count_ -= window_.front().keys.size();
    window_.pop_front();
    ++first_;
  }
}

void ApplyScheduler::Failed(uint64_t sequence) {
  Entry& entry = At(sequence);
  PGQUORUM_CHECK(entry.state != State::kWaiting);
  entry.state = State::kWaiting;
  entry.alone = true;
}

std::vector<uint64_t> ApplyScheduler::Yield() const {
  std::vector<uint64_t> younger;
  for (std::size_t i = 1; i < window_.size(); ++i) {
    if (window_[i].state != State::kWaiting) {
      younger.push_back(first_ + i);
    }
  }
  return younger;
}

}  // namespace pgquorum::replication
