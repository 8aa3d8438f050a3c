#include "extension/cli/rows_json.h"

#include <utility>

namespace pgquorum::cli {
namespace {

// Type Oids that JSON has a form for (server's catalog/pg_type.dat).
constexpr Oid kBool = 16;
constexpr Oid kInt8 = 20;
constexpr Oid kInt2 = 21;
constexpr Oid kInt4 = 23;
constexpr Oid kFloat4 = 700;
constexpr Oid kFloat8 = 701;
constexpr Oid kNumeric = 1700;

Json ToJson(const std::optional<std::string>& value, Oid type) {
  if (!value) {
    return nullptr;
  }
  switch (type) {
    case kBool:
      return *value == "t";
    case kInt2:
    case kInt4:
    case kInt8:
    case kFloat4:
    case kFloat8:
    case kNumeric: {
      const Json number = Json::parse(*value, nullptr, false);  // NaN and Infinity are no JSON
      return number.is_number() ? number : Json(*value);
    }
    default:
      return *value;
  }
}

}  // namespace

Json ToJson(const Rows& rows) {
  Json list = Json::array();
  for (const auto& row : rows.values) {
    Json object = Json::object();
    for (std::size_t c = 0; c < rows.columns.size(); ++c) {
      object[rows.columns[c]] = ToJson(row[c], rows.types[c]);
    }
    list.push_back(std::move(object));
  }
  return list;
}

Status WithoutExtension(const Status& status) {
  // 3F000 no schema "system", 42P01 no such view, 42883 no such function
  if (status.sqlstate() != "3F000" && status.sqlstate() != "42P01" &&
      status.sqlstate() != "42883") {
    return status;
  }
  return Status::Error(status.sqlstate(), "the database does not have the pgquorum extension")
      .WithDetail(status.message())
      .WithHint("Connect to database postgres, or run CREATE EXTENSION pgquorum on the primary.");
}

}  // namespace pgquorum::cli
