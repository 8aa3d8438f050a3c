// A new index from entries in order: pages are filled one after the other, on all levels at once,
// and the meta page gets the root at the end. Until then the index says that it is not built, after
// a crash as well: its owner removes the segment with the table's transaction.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "cachefusion/index/index_tree.h"

namespace pgquorum::fusion {

class IndexBuilder {
 public:
  IndexBuilder(Storage& storage, uint64_t segment, KeyOrder& order)
      : storage_(storage), segment_(segment), order_(order) {}

  // The segment must not exist: kErrForeignStorage.
  Status Begin();
  // Ascending by key and row. True: the key is equal to the one before (a unique index's caller
  // then judges the rows). 54000 as IndexTree::Insert.
  Result<bool> Add(const IndexRow& row);
  Status Finish();

 private:
  struct Level {
    std::vector<std::string> entries;
    std::size_t bytes = 0;
    uint32_t block = 0;
    uint32_t left = 0;
    std::string low;  // the key of this page in its parent, as an entry; empty: the first page
  };

  Status AddTo(uint32_t level, const std::string& entry);
  void Append(uint32_t level, const std::string& entry);
  // The page of a level is full: `next` will be on the one behind it.
  Status Close(uint32_t level, const std::string& next);
  Status WritePage(uint32_t level, const std::string& high, uint32_t right);
  static std::string ChildEntry(const Level& level);

  Storage& storage_;
  uint64_t segment_;
  KeyOrder& order_;
  std::vector<Level> levels_;
  uint32_t next_block_ = 1;
  std::string last_;  // the latest entry
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
