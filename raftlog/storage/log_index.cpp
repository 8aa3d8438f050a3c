#include "raftlog/storage/log_index.h"

#include <algorithm>

#include "base/check.h"

#include "base/pure.h"

namespace pgquorum::raft {

void LogIndex::Reset(Index last, Term last_term) {
  for (LogSegment& segment : segments_) {
    segment.offsets.clear();
  }
  terms_.Reset(last, last_term);
  config_indexes_.clear();
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
  while (!config_indexes_.empty() && config_indexes_.back() >= from) {
    config_indexes_.pop_back();
  }
  terms_.TruncateFrom(from);
}

bool LogIndex::AddEntry(Index index, Term term, EntryType type, uint64_t offset) {
  PGQUORUM_CHECK(!segments_.empty());
  if (index > last() + 1 || !index || !term) {
    return false;
  }
  if (index < first()) {
    // A divergent tail reached back into segments that are released by now: its remains in the
    // oldest kept segment are dead, the log starts here.
    Reset(index - 1, Term());
  } else {
    // Terms in a log never fall, so an entry must not be older than the one it comes after.
    if (term < TermAt(index - 1)) {
      return false;
    }
    if (index <= last()) {
      TruncateFrom(index);
    }
  }
  LogSegment& segment = segments_.back();
  if (segment.offsets.empty()) {
    segment.first = index;
  }
  PGQUORUM_CHECK(segment.past_last() == index);
  segment.offsets.push_back(static_cast<uint32_t>(offset));
  terms_.Append(term);
  if (type == EntryType::kConfig) {
    config_indexes_.push_back(index);
  }
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
      terms_.CompactTo(oldest.past_last() - 1);
    }
    released.push_back(std::move(oldest));
    segments_.pop_front();
  }
  std::erase_if(config_indexes_, [this](Index index) { return index < first(); });
  return released;
}

const LogSegment* LogIndex::SegmentOf(Index index) const {
  if (index < first() || index > last()) {
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
