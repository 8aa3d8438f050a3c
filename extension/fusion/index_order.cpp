#include "extension/fusion/index_order.h"

#include <algorithm>
#include <cstring>

extern "C" {
#include "access/genam.h"
#include "access/nbtree.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
}

#include "extension/pg/guard.h"

namespace pgquorum::fusion::server {
namespace {

// What is searched for travels as a view of its scan keys, less the last byte: no tuple's length is
// odd.
bool IsSearch(std::string_view key) {
  return key.size() % 2 != 0;
}

// Comparisons of numbers: what they do cannot fail.
bool CannotRaise(Oid function) {
  constexpr Oid kPlain[] = {F_BTINT2CMP,  F_BTINT4CMP,  F_BTINT8CMP,  F_BTINT24CMP, F_BTINT42CMP,
                            F_BTINT28CMP, F_BTINT82CMP, F_BTINT48CMP, F_BTINT84CMP, F_BTOIDCMP};
  return std::find(std::begin(kPlain), std::end(kPlain), function) != std::end(kPlain);
}

}  // namespace

ServerKeyOrder::ServerKeyOrder(Engine& engine, Relation index)
    : engine_(engine),
      desc_(RelationGetDescr(index)),
      column_count_(IndexRelationGetNumberOfKeyAttributes(index)) {
  for (int i = 0; i < column_count_; ++i) {
    FmgrInfo* compare = index_getprocinfo(index, static_cast<AttrNumber>(i + 1), BTORDER_PROC);
    int16 option = index->rd_indoption[i];
    columns_[i] = {compare, index->rd_indcollation[i], (option & INDOPTION_DESC) != 0,
                   (option & INDOPTION_NULLS_FIRST) != 0};
    plain_ = plain_ && CannotRaise(compare->fn_oid);
  }
}

template <typename F>
bool ServerKeyOrder::Guard(F body) {
  // An error would let interrupts in, while lightweight locks hold them back.
  uint32 held_back = InterruptHoldoffCount;
  engine_.comparing = true;
  Status status = pg::Try(body);
  engine_.comparing = false;
  if (!status.ok()) {
    InterruptHoldoffCount = held_back;
    Fail(std::move(status));
    return false;
  }
  return true;
}

int ServerKeyOrder::CompareColumn(const Column& column, FmgrInfo* compare, Datum a, bool a_null,
                                  Datum b, bool b_null) {
  if (a_null || b_null) {
    int compared = a_null == b_null ? 0 : a_null ? 1 : -1;
    return column.nulls_first ? -compared : compared;
  }
  int32 compared = DatumGetInt32(FunctionCall2Coll(compare, column.collation, a, b));
  int sign = compared < 0 ? -1 : compared > 0 ? 1 : 0;
  return column.descending ? -sign : sign;
}

int ServerKeyOrder::ColumnsOf(IndexTuple key) const {
  int left = key->t_tid.ip_posid;
  return left == 0 ? column_count_ : std::min(left, column_count_);
}

int ServerKeyOrder::CompareWithKeys(const ScanKeyData* keys, int count, IndexTuple stored) const {
  int there = ColumnsOf(stored);
  for (int i = 0; i < count; ++i) {
    if (i == there) {
      return 1;
    }
    const ScanKeyData& key = keys[i];
    bool null = false;
    Datum value = index_getattr(stored, i + 1, desc_, &null);
    // The function takes the column's type on its left.
    int compared =
        -CompareColumn({nullptr, key.sk_collation, columns_[i].descending, columns_[i].nulls_first},
                       const_cast<FmgrInfo*>(&key.sk_func), value, null, key.sk_argument,
                       (key.sk_flags & SK_ISNULL) != 0);
    if (compared != 0) {
      return compared;
    }
  }
  return 0;
}

int ServerKeyOrder::CompareTuples(IndexTuple search, IndexTuple stored) const {
  int count = ColumnsOf(search);
  int there = ColumnsOf(stored);
  for (int i = 0; i < count; ++i) {
    if (i == there) {
      return 1;
    }
    bool a_null = false;
    bool b_null = false;
    Datum a = index_getattr(search, i + 1, desc_, &a_null);
    Datum b = index_getattr(stored, i + 1, desc_, &b_null);
    int compared = CompareColumn(columns_[i], columns_[i].compare, a, a_null, b, b_null);
    if (compared != 0) {
      return compared;
    }
  }
  return 0;
}

int ServerKeyOrder::Compare(std::string_view search, std::string_view stored) {
  IndexTuple tuple = TupleOf(stored);
  int compared = 0;
  if (IsSearch(search)) {
    const auto* keys = reinterpret_cast<const ScanKeyData*>(search.data());
    int count = static_cast<int>((search.size() + 1) / sizeof(ScanKeyData));
    Guard([&] { compared = CompareWithKeys(keys, count, tuple); });
  } else if (plain_) {
    compared = CompareTuples(TupleOf(search), tuple);
  } else {
    Guard([&] { compared = CompareTuples(TupleOf(search), tuple); });
  }
  return compared;
}

std::string ServerKeyOrder::Separator(std::string_view left, std::string_view right) {
  IndexTuple a = TupleOf(left);
  IndexTuple b = TupleOf(right);
  IndexTuple cut = nullptr;
  // The columns up to the first that differs, without the included ones.
  bool done = Guard([&] {
    int keep = 1;
    for (; keep < column_count_; ++keep) {
      bool a_null = false;
      bool b_null = false;
      Datum a_value = index_getattr(a, keep, desc_, &a_null);
      Datum b_value = index_getattr(b, keep, desc_, &b_null);
      const Column& column = columns_[keep - 1];
      if (CompareColumn(column, column.compare, a_value, a_null, b_value, b_null) != 0) {
        break;
      }
    }
    if (keep < desc_->natts) {
      cut = index_truncate_tuple(desc_, b, keep);
      cut->t_tid.ip_posid = static_cast<OffsetNumber>(keep);
    }
  });
  if (!done || cut == nullptr || IndexTupleSize(cut) > right.size()) {
    return std::string(right);
  }
  std::string key(KeyOf(cut));
  pfree(cut);
  return key;
}

std::string_view ServerKeyOrder::SearchFor(const ScanKeyData* keys, int count) {
  return {reinterpret_cast<const char*>(keys), count * sizeof(ScanKeyData) - 1};
}

IndexTuple FormKey(Relation index, Datum* values, bool* nulls) {
  IndexTuple tuple = index_form_tuple(RelationGetDescr(index), values, nulls);
  memset(&tuple->t_tid, 0, sizeof(tuple->t_tid));
  return tuple;
}

}  // namespace pgquorum::fusion::server
