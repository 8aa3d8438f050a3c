// Keys of an index and their order, on both sides of the wall.
//
// A key is an index tuple of PostgreSQL's, INCLUDE columns at its end. Its own address is not used:
// in keys between pages that were cut, the slot of t_tid says how many columns are left.
//
// The order is that of the operator classes' support functions. They are called while pages are
// latched, so through pg::Try: an error becomes a status, which leaves with the latches released.
//
// Include after extension/fusion/engine.h.
#pragma once

#include <string>
#include <string_view>

#include "cachefusion/index/key_order.h"

#include "extension/fusion/engine.h"

extern "C" {
#include "access/itup.h"
#include "access/skey.h"
#include "utils/rel.h"
}

namespace pgquorum::fusion::server {

// Valid while the index is open.
class ServerKeyOrder : public KeyOrder {
 public:
  ServerKeyOrder(Engine& engine, Relation index);

  int Compare(std::string_view search, std::string_view stored) override;
  std::string Separator(std::string_view left, std::string_view right) override;

  // To search for values of the first `count` columns. Each key has the three-way comparison of the
  // column (left) with its argument, SK_ISNULL or not, and the column's SK_BT_ flags. They stay the
  // caller's.
  static std::string_view SearchFor(const ScanKeyData* keys, int count);

 private:
  struct Column {
    FmgrInfo* compare;
    Oid collation;
    bool descending;
    bool nulls_first;
  };
  // Less than, equal to or greater than 0 in the order of the column.
  static int CompareColumn(const Column& column, FmgrInfo* compare, Datum a, bool a_null, Datum b,
                           bool b_null);
  int CompareWithKeys(const ScanKeyData* keys, int count, IndexTuple stored) const;
  int CompareTuples(IndexTuple search, IndexTuple stored) const;
  int ColumnsOf(IndexTuple key) const;
  // Runs what may raise; false after an error, which failed() then tells.
  template <typename F>
  bool Guard(F body);

  Engine& engine_;
  TupleDesc desc_;
  int column_count_;
  Column columns_[INDEX_MAX_KEYS];
  bool plain_ = true;  // none of the comparisons can raise
};

inline IndexTuple TupleOf(std::string_view key) {
  return reinterpret_cast<IndexTuple>(const_cast<char*>(key.data()));
}
inline std::string_view KeyOf(IndexTuple tuple) {
  return {reinterpret_cast<const char*>(tuple), IndexTupleSize(tuple)};
}
// In the current memory context. Raises.
IndexTuple FormKey(Relation index, Datum* values, bool* nulls);

}  // namespace pgquorum::fusion::server
