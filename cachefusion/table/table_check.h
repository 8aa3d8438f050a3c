// Walks through a table's segment and says what is wrong: pages whose inside does not hold
// together, large values that are not whole, overflow pages that belong to no row.
//
// What an aborted transaction left behind, and what a vacuum had begun to remove, is no fault. The
// caller keeps writers and vacuum away.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "cachefusion/table/table_store.h"

namespace pgquorum::fusion {

class TableCheck {
 public:
  static constexpr std::size_t kMostFaults = 100;

  TableCheck(Storage& storage, uint64_t segment)
      : storage_(storage), table_(storage, segment), segment_(segment) {}

  // Looks at the next page, and at the chains of its rows; false when there is no more to look at.
  // Two passes: rows, then overflow pages.
  Result<bool> Step(Visibility& visibility, Scn horizon);
  const std::vector<std::string>& faults() const { return faults_; }
  uint64_t chains() const { return chains_; }

 private:
  Status CheckRows(const char* page, Visibility& visibility, Scn horizon);
  // Marks what it finds. `must`: the chain has to be whole.
  Status WalkChain(const ChainLink& link, RowAddress row, bool must);
  Status CheckOverflow(const char* page, Visibility& visibility);
  void Tell(const std::string& fault);

  Storage& storage_;
  TableStore table_;
  uint64_t segment_;
  bool begun_ = false;
  bool second_pass_ = false;
  uint32_t blocks_ = 0;
  uint32_t block_ = 0;
  std::vector<bool> reached_;  // overflow pages, by block
  std::vector<std::string> faults_;
  uint64_t chains_ = 0;
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
