// Redo of several threads, put together by page version.
//
// A record says: this page, from version `before` to `after` = before + 1. Only one instance at a
// time can change a page, so over all threads there is at most one durable record for each step,
// and the records of a page form one chain, whichever threads they stand in. Replay starts at the
// newest base there is and applies the chain from there; what is older than the base is skipped.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "base/status.h"
#include "cachefusion/bug.h"
#include "cachefusion/message.h"
#include "cachefusion/types.h"

namespace pgquorum::fusion {

inline constexpr std::string_view kErrRedoGap = "RX320";  // the page can not be brought up to date

// `Record` has psn_before and psn_after. Calls apply(record) for each step from version `base` on
// and returns the version reached. Error: the chain does not start where the base ends, or forks.
template <typename Record, typename Apply>
Result<Psn> ReplayPage(Psn base, std::vector<Record> records, Apply apply) {
  std::stable_sort(records.begin(), records.end(),
                   [](const Record& a, const Record& b) { return a.psn_before < b.psn_before; });
  Psn version = base;
  for (const Record& record : records) {
    bool skips = record.psn_after <= version && !PGQUORUM_FUSION_BUG(kReplayAnyVersion);
    if (skips) {
      continue;
    }
    if (record.psn_before != version && !PGQUORUM_FUSION_BUG(kReplayAnyVersion)) {
      return Status::Error(kErrRedoGap, "redo of a page has a gap")
          .WithDetail("The page has version " + std::to_string(version.value()) +
                      ", the next record continues version " +
                      std::to_string(record.psn_before.value()) + ".");
    }
    apply(record);
    version = record.psn_after;
  }
  return version;
}

// First pass over the dead threads: of each page the highest version. The order of calls is free.
class MarkCollector {
 public:
  void Add(PageId page, Psn psn_after) {
    Psn& psn = marks_[page];
    psn = std::max(psn, psn_after);
  }
  std::vector<PageMark> Marks() const {
    std::vector<PageMark> marks;
    marks.reserve(marks_.size());
    for (const auto& [page, psn] : marks_) {
      marks.push_back({page, psn});
    }
    return marks;
  }

 private:
  std::map<PageId, Psn> marks_;
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
