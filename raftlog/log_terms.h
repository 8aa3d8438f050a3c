// Which indexes a log holds and the term of each. Terms change rarely, so a whole log's terms fit
// into memory: conflicts are found without the disk. Used by the core's log and by the log store.
//
//   base …  first … last      the term at `base` (0, or the end of a snapshot or of what was
//                             dropped in front) is known too
#pragma once

#include <vector>

#include "raftlog/recovered_state.h"
#include "raftlog/types.h"

namespace pgquorum::raft {

class LogTerms {
 public:
  LogTerms() = default;
  // `starts` ascend and cover first … last. `base` may lie inside the log.
  LogTerms(Index first, Index last, Index base, Term base_term, std::vector<TermStart> starts);

  bool empty() const { return last_ + 1 == first_; }
  Index first() const { return first_; }
  Index last() const { return last_; }
  Term last_term() const { return At(last_); }
  // 0 when unknown: not in first … last and not the base.
  Term At(Index index) const;
  // The highest index <= `index` whose term is <= `term`; 0 when there is none. One probe skips a
  // whole term of a divergent tail (raft paper 5.3, end).
  Index LastIndexWithTermAtMost(Index index, Term term) const;
  const std::vector<TermStart>& starts() const { return starts_; }

  // At last() + 1. Precondition: the term does not fall.
  void Append(Term term);
  // Precondition: first() <= from <= last() + 1.
  void TruncateFrom(Index from);
  // Drops everything up to `index`, which becomes the base. Nothing happens below first().
  void CompactTo(Index index);
  // Empty after `last`.
  void Reset(Index last, Term last_term);

 private:
  Index first_{1};
  Index last_;
  Index base_;
  Term base_term_;
  std::vector<TermStart> starts_;
};

}  // namespace pgquorum::raft

#include "base/pure.h"
