// Which live entry lies where: the log store's memory of its own segments, four bytes an entry.
// Not thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "base/storage/file.h"
#include "raftlog/log_terms.h"
#include "raftlog/types.h"

namespace pgquorum::raft {

struct LogSegment {
  uint64_t sequence = 0;
  std::shared_ptr<File> file;
  uint64_t capacity = 0;  // bytes of the file
  uint64_t end = 0;       // records lie before it
  // The entries that are live here are contiguous: first, first + 1, …, one offset each. Entries
  // that were overwritten later (a divergent tail) are not live.
  Index first;
  std::vector<uint32_t> offsets;

  Index past_last() const { return first + offsets.size(); }
};

class LogIndex {
 public:
  // The log is empty and continues after `last` (0: from the start).
  void Reset(Index last, Term last_term);
  // Newer records lie in this segment from now on.
  void AddSegment(LogSegment segment) { segments_.push_back(std::move(segment)); }
  // An entry was read or written at `offset` of the newest segment. It replaces what the log holds
  // at and after its index. False, and nothing changed, when it would leave a gap or its term is
  // below that of the entry before it.
  bool AddEntry(Index index, Term term, EntryType type, uint64_t offset);
  // Takes out every segment, but never the newest, that has no live entry above `through` and no
  // older segment in front of it that stays.
  std::vector<LogSegment> Release(Index through);

  bool empty() const { return terms_.empty(); }
  Index first() const { return terms_.first(); }
  Index last() const { return terms_.last(); }
  Term last_term() const { return terms_.last_term(); }
  // 0 when unknown.
  Term TermAt(Index index) const { return terms_.At(index); }
  // null when not live.
  const LogSegment* SegmentOf(Index index) const;
  std::deque<LogSegment>& segments() { return segments_; }
  const std::deque<LogSegment>& segments() const { return segments_; }
  // As RecoveredState wants them.
  const std::vector<TermStart>& term_starts() const { return terms_.starts(); }
  const std::vector<Index>& config_indexes() const { return config_indexes_; }

 private:
  void TruncateFrom(Index from);

  std::deque<LogSegment> segments_;  // ascending sequence
  LogTerms terms_;
  std::vector<Index> config_indexes_;  // of kConfig entries
};

}  // namespace pgquorum::raft

#include "base/pure.h"
