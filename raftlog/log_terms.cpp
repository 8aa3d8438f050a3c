#include "raftlog/log_terms.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"

#include "base/pure.h"

namespace pgquorum::raft {
namespace {

// Precondition: the starts cover it.
Term TermIn(const std::vector<TermStart>& starts, Index index) {
  auto after =
      std::upper_bound(starts.begin(), starts.end(), index,
                       [](Index wanted, const TermStart& start) { return wanted < start.first; });
  PGQUORUM_CHECK(after != starts.begin());
  return std::prev(after)->term;
}

}  // namespace

LogTerms::LogTerms(Index first, Index last, Index base, Term base_term,
                   std::vector<TermStart> starts)
    : first_(first), last_(last), base_(base), base_term_(base_term), starts_(std::move(starts)) {
  PGQUORUM_CHECK(first_ >= Index(1) && last_ + 1 >= first_);
  PGQUORUM_CHECK(empty() ? starts_.empty() : !starts_.empty() && starts_.front().first <= first_);
  // A base inside the log is the position of one of its entries, with that entry's term.
  bool inside = base_ >= first_ && base_ <= last_;
  PGQUORUM_CHECK(!inside || TermIn(starts_, base_) == base_term_);
}

Term LogTerms::At(Index index) const {
  if (index == base_) {
    return base_term_;
  }
  if (index < first_ || index > last_) {
    return Term();
  }
  return TermIn(starts_, index);
}

Index LogTerms::LastIndexWithTermAtMost(Index index, Term term) const {
  index = std::min(index, last_);
  for (auto start = starts_.rbegin(); start != starts_.rend() && index >= first_; ++start) {
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

void LogTerms::Append(Term term) {
  PGQUORUM_CHECK(term >= last_term());
  ++last_;
  if (starts_.empty() || starts_.back().term != term) {
    starts_.push_back({last_, term});
  }
}

void LogTerms::TruncateFrom(Index from) {
  PGQUORUM_CHECK(from >= first_ && from <= last_ + 1);
  last_ = from - 1;
  while (!starts_.empty() && starts_.back().first >= from) {
    starts_.pop_back();
  }
}

void LogTerms::CompactTo(Index index) {
  if (index < first_) {
    return;
  }
  base_term_ = At(index);
  base_ = index;
  first_ = index + 1;
  if (first_ > last_) {
    starts_.clear();
    return;
  }
  auto keep = starts_.begin();  // the last one that starts at or before the new first index
  while (std::next(keep) != starts_.end() && std::next(keep)->first <= first_) {
    ++keep;
  }
  starts_.erase(starts_.begin(), keep);
}

void LogTerms::Reset(Index last, Term last_term) {
  first_ = last + 1;
  last_ = last;
  base_ = last;
  base_term_ = last_term;
  starts_.clear();
}

}  // namespace pgquorum::raft
