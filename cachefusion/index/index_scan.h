// Walking through an index in both directions. A scan copies a leaf and looks at the copy: it holds
// no latch and no pin between calls, and sees each entry that was there all the while exactly once,
// whatever is divided or deleted meanwhile.
//
// An entry may lead to a row that has been removed, even to a slot that was used again since the
// leaf was copied. A snapshot that was in use before the scan does not see such a row; who looks
// with none must compare the row with what he searched for.
#pragma once

#include <memory>

#include "cachefusion/index/index_tree.h"
#include "cachefusion/index/page_copy.h"

namespace pgquorum::fusion {

class IndexScan {
 public:
  explicit IndexScan(IndexTree& tree) : tree_(tree) {}

  // The next Next() gives the first entry that is not before the position.
  Status SeekForward(const KeyPosition& position);
  // The next Previous() gives the last entry before the position.
  Status SeekBackward(const KeyPosition& position);
  // False at the end; the other direction leads back from there. After an error: seek again.
  Result<bool> Next();
  Result<bool> Previous();
  // After a true; valid until the next call.
  IndexEntry entry() const { return EntryOn(page_->data(), number_); }

  // Nobody will see the row of the present entry any more. Told to the index when the scan leaves
  // the page, or by TellGone(), which may be left out.
  void NoteGone() { gone_.push_back(number_); }
  Status TellGone();

  // Mark() remembers the present place, Restore() goes back to it, also more than once.
  void Mark() { marked_ = {page_, number_}; }
  void Restore();

 private:
  struct Place {
    std::shared_ptr<const PageCopy> page;
    unsigned number = 0;
  };

  Result<unsigned> Seek(const KeyPosition& position);
  Result<bool> StepRight();
  Result<bool> StepLeft();
  // To `page` when it is the one to the left of `block`, or else a page of the same level on the
  // right of it is; false when none of the next few is.
  Result<bool> FindLeftOf(uint32_t block, uint32_t from);
  // Where the range of `block`, which may be deleted, is now: that page's block and left link.
  Status FindLive(uint32_t& block, uint32_t& left);

  IndexTree& tree_;
  std::shared_ptr<const PageCopy> page_;
  // A scan to the right has seen everything below this page's high key: mostly `page_` itself.
  std::shared_ptr<const PageCopy> behind_;
  unsigned number_ = 0;  // 0 and EntryCount + 1: beside the page's entries
  Place marked_;
  std::vector<unsigned> gone_;  // on `page_`
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
