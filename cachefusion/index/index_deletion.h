// Takes an empty leaf out of the tree, in one record: with every page above it that has no other
// child, out of the chains of their levels and out of the first page above that has other children.
// The range of each goes to its right neighbour. Used by IndexTree::RemoveRows.
#pragma once

#include <vector>

#include "cachefusion/index/index_tree.h"

namespace pgquorum::fusion {

class IndexDeletion {
 public:
  explicit IndexDeletion(IndexTree& tree) : tree_(tree) {}

  // The number of pages that went; 0: the leaf cannot go, or not now.
  Result<uint32_t> Delete(uint32_t leaf);

 private:
  // A page that goes, with its neighbours, all held exclusively.
  struct Part {
    PageGuard left;  // not held: it is the first of its level
    PageGuard page;
    PageGuard right;
  };

  // False: the page cannot go. Latches it and its neighbours, from left to right.
  Result<bool> Latch(uint32_t block);
  Result<PageGuard> LatchLeftOf(uint32_t block);
  // Climbs from the uppermost part; false: the pages cannot go. `above` is set when the page above
  // has other children.
  Result<bool> Climb(PageGuard& above, unsigned& entry);
  Result<uint32_t> Record(PageGuard& above, unsigned entry);

  IndexTree& tree_;
  std::vector<Part> parts_;  // from the leaf upwards
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
