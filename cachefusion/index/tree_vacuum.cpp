// Letting go of dead rows, leaf by leaf from left to right: entries move to the right only, so none
// is missed.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "cachefusion/index/index_deletion.h"
#include "cachefusion/index/index_tree.h"
#include "cachefusion/index/page_copy.h"

#include "base/pure.h"

namespace pgquorum::fusion {

namespace {

bool Less(RowAddress a, RowAddress b) {
  return CompareRows(a, b) < 0;
}

// Which rows of a page are dead, in order; `any`: entries are marked as gone, and go as well.
Result<std::vector<RowAddress>> AskWhichAreDead(const char* page, const DeadRows& dead, bool& any) {
  std::vector<RowAddress> rows;
  for (unsigned i = 1; i <= EntryCount(page); ++i) {
    rows.push_back(EntryOn(page, i).at);
    any |= EntryIsGone(page, i);
  }
  std::vector<bool> is_dead(rows.size(), false);
  Status status = dead(rows, is_dead);
  if (!status.ok()) {
    return status;
  }
  PGQUORUM_CHECK(is_dead.size() == rows.size());
  std::vector<RowAddress> going;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (is_dead[i]) {
      going.push_back(rows[i]);
    }
  }
  std::sort(going.begin(), going.end(), Less);
  return going;
}

}  // namespace

Result<uint32_t> IndexTree::RemoveFrom(uint32_t block, const DeadRows& dead, IndexVacuum& counts) {
  PageCopy copy;
  Status status = CopyPage(block, copy.data());
  if (!status.ok()) {
    return status;
  }
  if (HasFlag(copy.data(), kIndexSplitting)) {
    Path path{};
    status = FinishSplit(block, path);
    return status.ok() ? Result<uint32_t>(block) : status;  // and once more
  }
  // Asked without a latch; what is added to the page meanwhile is not dead.
  bool any = false;
  Result<std::vector<RowAddress>> going = AskWhichAreDead(copy.data(), dead, any);
  if (!going.ok()) {
    return going.status();
  }
  uint32_t right = SpecialOf(copy.data()).right;
  std::size_t left_over = EntryCount(copy.data());
  if (any || !going.value().empty()) {
    Result<PageGuard> guard = Fetch(block, LatchMode::kExclusive);
    if (!guard.ok()) {
      return guard.status();
    }
    const char* page = guard.value().page();
    std::vector<unsigned> numbers;
    for (unsigned i = 1; i <= EntryCount(page); ++i) {
      if (EntryIsGone(page, i) || std::binary_search(going.value().begin(), going.value().end(),
                                                     EntryOn(page, i).at, Less)) {
        numbers.push_back(i);
      }
    }
    // The page may have been divided: then the rest is on the pages to the right, as of now.
    right = SpecialOf(page).right;
    left_over = EntryCount(page) - numbers.size();
    counts.removed += numbers.size();
    if (!numbers.empty()) {
      Mutation mutation(storage_.pages(), 0);
      RemoveIndexEntries(mutation.Change(guard.value()), numbers);
      status = mutation.Commit().status();
      if (!status.ok()) {
        return status;
      }
    }
  }
  counts.remaining += left_over;
  counts.pages += 1;
  if (left_over == 0 && right != 0) {
    Result<uint32_t> deleted = IndexDeletion(*this).Delete(block);
    if (!deleted.ok()) {
      return deleted;
    }
    counts.deleted_pages += deleted.value();
  }
  return right;
}

Result<IndexVacuum> IndexTree::RemoveRows(const DeadRows& dead) {
  IndexVacuum counts;
  uint32_t block;
  {
    Result<PageGuard> first = Descend(KeyPosition::Lowest(), 0, LatchMode::kShared, nullptr);
    if (!first.ok()) {
      return first.status();
    }
    block = first.value().id().block;
  }
  while (block != 0) {
    Result<uint32_t> next = RemoveFrom(block, dead, counts);
    if (!next.ok()) {
      return next.status();
    }
    block = next.value();
  }
  return counts;
}

}  // namespace pgquorum::fusion
