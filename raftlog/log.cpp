#include "raftlog/log.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raftlog/bug.h"

#include "base/pure.h"

namespace pgquorum::raft {

namespace {

// The commit index is a hint about the log that was there when it was written. After damage another
// tail may stand in its place, one that had been replaced: only the snapshot is certain.
Index RecoveredCommit(const RecoveredState& recovered) {
  Index snapshot = recovered.snapshot.index;
  if (recovered.refill_term && !PGQUORUM_RAFT_BUG(kRefillTrustsCommit)) {
    return snapshot;
  }
  return std::min(std::max(recovered.hard_state.commit, snapshot), recovered.last);
}

}  // namespace

Log::Log(const RecoveredState& recovered, LogReader& reader, uint64_t cache_bytes)
    : reader_(reader),
      cache_limit_(cache_bytes),
      terms_(recovered.first, recovered.last, recovered.snapshot.index, recovered.snapshot.term,
             recovered.term_starts),
      commit_(RecoveredCommit(recovered)),
      stable_(recovered.last),
      next_to_persist_(recovered.last + 1),
      cache_first_(recovered.last + 1) {
  PGQUORUM_CHECK(first() <= recovered.snapshot.index + 1 && last() >= recovered.snapshot.index);
}

void Log::Append(Entry entry) {
  PGQUORUM_CHECK(entry.index == last() + 1);
  terms_.Append(entry.term);
  uint64_t size = SizeOf(entry);
  cache_used_ += size;
  uncommitted_bytes_ += size;
  cache_.push_back(std::move(entry));
}

void Log::TruncateFrom(Index from) {
  PGQUORUM_CHECK(from > commit_ && from <= last());
  while (!cache_.empty() && cache_.back().index >= from) {
    uint64_t size = SizeOf(cache_.back());
    cache_used_ -= size;
    uncommitted_bytes_ -= size;
    cache_.pop_back();
  }
  terms_.TruncateFrom(from);
  if (cache_.empty()) {
    cache_first_ = from;
  }
  stable_ = std::min(stable_, last());
  next_to_persist_ = std::min(next_to_persist_, from);
}

void Log::CommitTo(Index index) {
  index = std::min(index, last());
  if (index <= commit_) {
    return;
  }
  for (Index i = std::max(commit_ + 1, cache_first_); i <= index; ++i) {
    uncommitted_bytes_ -= SizeOf(cache_[i - cache_first_]);
  }
  commit_ = index;
}

void Log::ResetTo(Index index, Term term) {
  PGQUORUM_CHECK(index > commit_);
  cache_.clear();
  cache_used_ = 0;
  uncommitted_bytes_ = 0;
  terms_.Reset(index, term);
  commit_ = index;
  stable_ = Index();
  next_to_persist_ = first();
  cache_first_ = first();
}

void Log::StableTo(Index index) {
  PGQUORUM_CHECK(index <= last());
  stable_ = std::max(stable_, index);
}

void Log::CompactTo(Index index) {
  PGQUORUM_CHECK(index <= commit_);
  if (index < first()) {
    return;
  }
  while (!cache_.empty() && cache_.front().index <= index) {
    cache_used_ -= SizeOf(cache_.front());
    cache_.pop_front();
    ++cache_first_;
  }
  if (cache_.empty()) {
    cache_first_ = last() + 1;
  }
  terms_.CompactTo(index);
}

void Log::EvictTo(Index index) {
  Index limit = std::min({index, stable_, commit_});
  while (cache_used_ > cache_limit_ && !cache_.empty() && cache_.front().index <= limit) {
    cache_used_ -= SizeOf(cache_.front());
    cache_.pop_front();
    ++cache_first_;
  }
}

std::vector<Entry> Log::TakeUnpersisted() {
  std::vector<Entry> entries;
  if (next_to_persist_ > last()) {
    return entries;
  }
  PGQUORUM_CHECK(next_to_persist_ >= cache_first_);
  entries.assign(cache_.begin() + static_cast<std::ptrdiff_t>(next_to_persist_ - cache_first_),
                 cache_.end());
  next_to_persist_ = last() + 1;
  return entries;
}

Result<std::vector<Entry>> Log::Read(Index first, Index last, uint64_t max_entries,
                                     uint64_t max_bytes) {
  PGQUORUM_CHECK(first >= this->first());
  last = std::min(last, this->last());
  std::vector<Entry> entries;
  if (first > last || max_entries == 0) {
    return entries;
  }
  if (last - first >= max_entries) {
    last = first + (max_entries - 1);
  }
  if (first < cache_first_) {
    return reader_.Read(first, std::min(last, cache_first_ - 1), max_bytes);
  }
  uint64_t bytes = 0;
  for (Index i = first; i <= last; ++i) {
    const Entry& entry = cache_[i - cache_first_];
    bytes += SizeOf(entry);
    if (bytes > max_bytes && !entries.empty()) {
      break;
    }
    entries.push_back(entry);
  }
  return entries;
}

}  // namespace pgquorum::raft
