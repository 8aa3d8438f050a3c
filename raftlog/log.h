// The core's view of its log: terms of everything, entries of the tail in memory, older ones
// through the LogReader. Knows what is durable; nothing of elections or quorums.
//
//   compacted … first … [cache: cache_first … last]
//                        commit <= last, stable <= last, handed_out <= last
//
// All entries that are not both committed and durable are in the cache.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "base/status.h"
#include "raftlog/log_reader.h"
#include "raftlog/log_terms.h"
#include "raftlog/recovered_state.h"
#include "raftlog/types.h"

namespace pgquorum::raft {

class Log {
 public:
  // `reader` outlives the log.
  Log(const RecoveredState& recovered, LogReader& reader, uint64_t cache_bytes);

  Index first() const { return terms_.first(); }
  Index last() const { return terms_.last(); }
  Index commit() const { return commit_; }
  Index stable() const { return stable_; }  // this node's disk has everything up to here
  Term last_term() const { return terms_.last_term(); }
  // First index that TakeUnpersisted has not handed out yet.
  Index next_to_persist() const { return next_to_persist_; }
  uint64_t uncommitted_bytes() const { return uncommitted_bytes_; }
  uint64_t cache_bytes() const { return cache_used_; }

  // 0 when the index is not in first - 1 … last (or its term is compacted away).
  Term TermAt(Index index) const { return terms_.At(index); }
  bool Matches(Index index, Term term) const { return index <= last() && TermAt(index) == term; }
  Index LastIndexWithTermAtMost(Index index, Term term) const {
    return terms_.LastIndexWithTermAtMost(index, term);
  }

  // Precondition: entry.index == last() + 1 and its term does not decrease.
  void Append(Entry entry);
  // Drops `from` and all after it. Precondition: from > commit().
  void TruncateFrom(Index from);
  // Only forward, at most to last().
  void CommitTo(Index index);
  // The log becomes empty after a received snapshot; committed and handed out up to there, but not
  // durable before StableTo.
  void ResetTo(Index index, Term term);
  void StableTo(Index index);
  // Entries up to `index` may disappear from the reader. Precondition: index <= commit().
  void CompactTo(Index index);
  // Frees cached entries at most up to `index` to respect the cache's limit.
  void EvictTo(Index index);

  // Entries that the caller must write; each is handed out once.
  std::vector<Entry> TakeUnpersisted();
  // Up to max_entries entries of max_bytes (at least one when first <= last) from `first`.
  // Precondition: first >= this->first().
  Result<std::vector<Entry>> Read(Index first, Index last, uint64_t max_entries,
                                  uint64_t max_bytes);

 private:
  LogReader& reader_;
  uint64_t cache_limit_;
  LogTerms terms_;
  Index commit_;
  Index stable_;
  Index next_to_persist_;
  Index cache_first_;  // index of cache_.front(); last() + 1 when empty
  std::deque<Entry> cache_;
  uint64_t cache_used_ = 0;
  // Of cached entries above commit_. Entries recovered from disk are not counted: the count of
  // entries, exact at all times, bounds them.
  uint64_t uncommitted_bytes_ = 0;
};

}  // namespace pgquorum::raft

#include "base/pure.h"
