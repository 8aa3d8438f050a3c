#include "raftlog/log.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

#include "base/pure.h"

namespace pgquorum::raft {

Log::Log(const RecoveredState& recovered, LogReader& reader, uint64_t cache_bytes)
    : reader_(reader),
      cache_limit_(cache_bytes),
      first_(recovered.first),
      last_(recovered.last),
      commit_(std::min(std::max(recovered.hard_state.commit, recovered.snapshot.index),
                       recovered.last)),
      stable_(recovered.last),
      next_to_persist_(recovered.last + 1),
      base_(recovered.snapshot.index),
      base_term_(recovered.snapshot.term),
      term_starts_(recovered.term_starts),
      cache_first_(recovered.last + 1) {
  PGQUORUM_CHECK(first_ >= Index(1) && first_ <= recovered.snapshot.index + 1);
  PGQUORUM_CHECK(last_ + 1 >= first_ && last_ >= recovered.snapshot.index);
  PGQUORUM_CHECK(first_ > last_ ? term_starts_.empty()
                                : !term_starts_.empty() && term_starts_.front().first <= first_);
}

Term Log::TermAt(Index index) const {
  if (index == base_) {
    return base_term_;
  }
  if (index < first_ || index > last_) {
    return Term();
  }
  auto after =
      std::upper_bound(term_starts_.begin(), term_starts_.end(), index,
                       [](Index wanted, const TermStart& start) { return wanted < start.first; });
  PGQUORUM_CHECK(after != term_starts_.begin());
  return std::prev(after)->term;
}

Index Log::LastIndexWithTermAtMost(Index index, Term term) const {
  index = std::min(index, last_);
  for (auto start = term_starts_.rbegin(); start != term_starts_.rend(); ++start) {
    if (index < first_) {
      break;
    }
    if (start->first > index) {
      continue;
    }
    if (start->term <= term) {
      return index;
    }
    index = start->first - 1;
  }
  return base_ <= index && base_term_ <= term ? base_ : Index();
}

void Log::Append(Entry entry) {
  PGQUORUM_CHECK(entry.index == last_ + 1);
  Term before = last_term();
  PGQUORUM_CHECK(entry.term >= before);
  if (term_starts_.empty() || term_starts_.back().term != entry.term) {
    term_starts_.push_back({entry.index, entry.term});
  }
  last_ = entry.index;
  uint64_t size = SizeOf(entry);
  cache_used_ += size;
  uncommitted_bytes_ += size;
  cache_.push_back(std::move(entry));
}

void Log::TruncateFrom(Index from) {
  PGQUORUM_CHECK(from > commit_ && from <= last_);
  while (!cache_.empty() && cache_.back().index >= from) {
    uint64_t size = SizeOf(cache_.back());
    cache_used_ -= size;
    uncommitted_bytes_ -= size;
    cache_.pop_back();
  }
  last_ = from - 1;
  while (!term_starts_.empty() && term_starts_.back().first >= from) {
    term_starts_.pop_back();
  }
  if (cache_.empty()) {
    cache_first_ = from;
  }
  stable_ = std::min(stable_, last_);
  next_to_persist_ = std::min(next_to_persist_, from);
}

void Log::CommitTo(Index index) {
  index = std::min(index, last_);
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
  term_starts_.clear();
  first_ = index + 1;
  last_ = index;
  commit_ = index;
  stable_ = Index();
  next_to_persist_ = first_;
  cache_first_ = first_;
  base_ = index;
  base_term_ = term;
}

void Log::StableTo(Index index) {
  PGQUORUM_CHECK(index <= last_);
  stable_ = std::max(stable_, index);
}

void Log::CompactTo(Index index) {
  PGQUORUM_CHECK(index <= commit_);
  if (index < first_) {
    return;
  }
  Term term = TermAt(index);
  while (!cache_.empty() && cache_.front().index <= index) {
    cache_used_ -= SizeOf(cache_.front());
    cache_.pop_front();
    ++cache_first_;
  }
  if (cache_.empty()) {
    cache_first_ = last_ + 1;
  }
  first_ = index + 1;
  base_ = index;
  base_term_ = term;
  auto keep = term_starts_.begin();  // the last one that starts at or before the new first index
  while (keep != term_starts_.end() && std::next(keep) != term_starts_.end() &&
         std::next(keep)->first <= first_) {
    ++keep;
  }
  term_starts_.erase(term_starts_.begin(), keep);
  if (first_ > last_) {
    term_starts_.clear();
  }
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
  if (next_to_persist_ > last_) {
    return entries;
  }
  PGQUORUM_CHECK(next_to_persist_ >= cache_first_);
  entries.assign(cache_.begin() + static_cast<std::ptrdiff_t>(next_to_persist_ - cache_first_),
                 cache_.end());
  next_to_persist_ = last_ + 1;
  return entries;
}

Result<std::vector<Entry>> Log::Read(Index first, Index last, uint64_t max_entries,
                                     uint64_t max_bytes) {
  PGQUORUM_CHECK(first >= first_);
  last = std::min(last, last_);
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
