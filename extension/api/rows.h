// Building result rows of set-returning functions from the plain structures of shared memory.
//
// Nothing here owns memory: PostgreSQL's calls may raise at any point.
#pragma once

#include "extension/pg/pg.h"

extern "C" {
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"
}

#include <string_view>

namespace pgquorum::api {

// One row under construction; columns are added from left to right. What is unknown becomes NULL.
class Row {
 public:
  void Null() { Add(0, true); }
  void Bool(bool value) { Add(BoolGetDatum(value), false); }
  void Int(int32_t value) { Add(Int32GetDatum(value), false); }
  void Long(uint64_t value) { Add(Int64GetDatum(static_cast<int64_t>(value)), false); }
  // NULL for the empty text.
  void Text(std::string_view value) {
    if (value.empty()) {
      Null();
    } else {
      Add(PointerGetDatum(cstring_to_text_with_len(value.data(), static_cast<int>(value.size()))),
          false);
    }
  }
  // NULL for zero: "none".
  void LongOrNull(uint64_t value) { value == 0 ? Null() : Long(value); }
  void Lsn(uint64_t value) { value == 0 ? Null() : Add(LSNGetDatum(value), false); }
  void Time(int64_t value_us) {
    value_us == 0 ? Null() : Add(TimestampTzGetDatum(value_us), false);
  }
  // 16 hexadecimal digits; NULL for zero.
  void Id(uint64_t value);
  // NULL for a negative value: "unknown".
  void SignedOrNull(int64_t value) {
    if (value < 0) {
      Null();
    } else {
      Add(Int64GetDatum(value), false);
    }
  }

  void PutInto(ReturnSetInfo* result) {
    if (count_ != result->setDesc->natts) {
      elog(ERROR, "row has %d columns, the function declares %d", count_, result->setDesc->natts);
    }
    tuplestore_putvalues(result->setResult, result->setDesc, values_, nulls_);
    count_ = 0;
  }

 private:
  static constexpr int kMaxColumns = 48;

  void Add(Datum value, bool null) {
    if (count_ == kMaxColumns) {
      elog(ERROR, "too many columns");
    }
    values_[count_] = value;
    nulls_[count_++] = null;
  }

  Datum values_[kMaxColumns];
  bool nulls_[kMaxColumns];
  int count_ = 0;
};

// Prepares the result of a set-returning function. The SQL objects may be of an older or newer
// version than the library: a different number of columns is an error of PutInto, not a crash.
inline ReturnSetInfo* BeginRows(FunctionCallInfo fcinfo) {
  InitMaterializedSRF(fcinfo, 0);
  return reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
}

}  // namespace pgquorum::api
