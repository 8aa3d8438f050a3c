#include "raftlog/storage/log_index.h"

#include <algorithm>
#include <iterator>

#include "base/check.h"

#include "base/pure.h"

namespace pgquorum::raft {

void LogIndex::Reset(Index last, Term last_term) {
  for (LogSegment& segment : segments_) {
    segment.offsets.clear();
  }
  first_ = last + 1;
  last_ = last;
  base_ = last;
  base_term_ = last_term;
  term_starts_.clear();
  config_indexes_.clear();
}

Term LogIndex::TermAt(Index index) const {
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

void LogIndex::TruncateFrom(Index from) {
  for (auto segment = segments_.rbegin(); segment != segments_.rend(); ++segment) {
    if (segment->offsets.empty()) {
      continue;
    }
    if (segment->past_last() <= from) {
      break;
    }
    segment->offsets.resize(segment->first < from ? from - segment->first : 0);
  }
  while (!term_starts_.empty() && term_starts_.back().first >= from) {
    term_starts_.pop_back();
  }
  while (!config_indexes_.empty() && config_indexes_.back() >= from) {
    config_indexes_.pop_back();
  }
  last_ = from - 1;
}

bool LogIndex::AddEntry(Index index, Term term, EntryType type, uint64_t offset) {
  PGQUORUM_CHECK(!segments_.empty());
  if (index > last_ + 1 || !index || !term) {
    return false;
  }
  if (index < first_) {
    // A divergent tail reached back into segments that are released by now: its remains in the
    // oldest kept segment are dead, the log starts here.
    Reset(index - 1, Term());
  } else {
    // Terms in a log never fall, so an entry must not be older than the one it comes after.
    if (term < TermAt(index - 1)) {
      return false;
    }
    if (index <= last_) {
      TruncateFrom(index);
    }
  }
  LogSegment& segment = segments_.back();
  if (segment.offsets.empty()) {
    segment.first = index;
  }
  PGQUORUM_CHECK(segment.past_last() == index);
  segment.offsets.push_back(static_cast<uint32_t>(offset));
  if (term_starts_.empty() || term_starts_.back().term != term) {
    term_starts_.push_back({index, term});
  }
  if (type == EntryType::kConfig) {
    config_indexes_.push_back(index);
  }
  last_ = index;
  return true;
}

std::vector<LogSegment> LogIndex::Release(Index through) {
  std::vector<LogSegment> released;
  while (segments_.size() > 1) {
    LogSegment& oldest = segments_.front();
    if (!oldest.offsets.empty() && oldest.past_last() > through + 1) {
      break;
    }
    if (!oldest.offsets.empty()) {
      base_ = oldest.past_last() - 1;
      base_term_ = TermAt(base_);
      first_ = base_ + 1;
    }
    released.push_back(std::move(oldest));
    segments_.pop_front();
  }
  // Terms and configurations of what is gone: keep the one start that covers first_.
  while (term_starts_.size() > 1 && term_starts_[1].first <= first_) {
    term_starts_.erase(term_starts_.begin());
  }
  if (empty()) {
    term_starts_.clear();
  }
  std::erase_if(config_indexes_, [this](Index index) { return index < first_; });
  return released;
}

const LogSegment* LogIndex::SegmentOf(Index index) const {
  if (index < first_ || index > last_) {
    return nullptr;
  }
  for (auto segment = segments_.rbegin(); segment != segments_.rend(); ++segment) {
    if (!segment->offsets.empty() && segment->first <= index && index < segment->past_last()) {
      return &*segment;
    }
  }
  return nullptr;
}

}  // namespace pgquorum::raft
