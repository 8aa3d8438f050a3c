// Walks through a whole index and says what is wrong with it. For tests and for checks by hand:
// nobody may change the index meanwhile.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "cachefusion/index/key_order.h"
#include "cachefusion/storage/storage.h"

namespace pgquorum::fusion {

struct IndexReport {
  std::vector<std::string> faults;  // the first kMaxIndexFaults
  uint64_t entries = 0;             // in leaves, without those that are gone
  uint32_t pages = 0;               // in the tree
  uint32_t deleted = 0;             // in the list of deleted pages
  uint32_t splitting = 0;           // splits that wait for the next writer; no fault
  uint32_t level = 0;
};
inline constexpr std::size_t kMaxIndexFaults = 20;

// Checked are: each page by itself; order and bounds; links in both directions; levels; parents and
// children in the same order with the same keys; the list of deleted pages; that each block is in
// the tree or in that list, once. `visit`, if there is one, gets each entry of the leaves.
// An error: the check itself could not go on (comparison, visit, storage closed).
Result<IndexReport> CheckIndex(Storage& storage, uint64_t segment, KeyOrder& order,
                               const std::function<Status(const IndexEntry&)>& visit);

}  // namespace pgquorum::fusion

#include "base/pure.h"
