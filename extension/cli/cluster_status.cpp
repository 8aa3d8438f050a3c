// pgquorum cluster token | status: questions to a running member, in SQL.
#include <algorithm>
#include <cstdio>
#include <string>

#include <nlohmann/json.hpp>

#include "extension/cli/commands.h"
#include "extension/cli/console.h"
#include "extension/cli/sql.h"

namespace pgquorum::cli {
namespace {

using Json = nlohmann::ordered_json;

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

Tone ToneOf(const std::string& column, const std::string& text) {
  if (column == "status") {
    return text == "healthy" ? Tone::kGood : Tone::kBad;
  }
  return column == "role" && text == "primary" ? Tone::kGood : Tone::kPlain;
}

// What fits on a terminal; the JSON form has every column. A view of another version may lack some.
constexpr const char* kShownColumns[] = {"node_id",  "role",   "status", "health_score", "uptime",
                                         "timeline", "lag_ms", "host",   "port",         "reason"};

void PrintNodes(const Rows& rows) {
  std::vector<std::string> header;
  std::vector<std::size_t> chosen;
  for (const char* name : kShownColumns) {
    const auto at = std::find(rows.columns.begin(), rows.columns.end(), name);
    if (at != rows.columns.end()) {
      header.emplace_back(name);
      chosen.push_back(static_cast<std::size_t>(at - rows.columns.begin()));
    }
  }
  std::vector<std::vector<Cell>> table;
  for (const auto& row : rows.values) {
    std::vector<Cell> cells;
    for (const std::size_t c : chosen) {
      const std::string text = row[c].value_or("-");
      cells.push_back({OneLine(text), ToneOf(rows.columns[c], text)});
    }
    table.push_back(std::move(cells));
  }
  PrintTable(header, table);
}

}  // namespace

Status ClusterToken(const TokenOptions& options) {
  Result<Connection> connection = ConnectTo(options.url, options.data);
  if (!connection.ok()) {
    return connection.status();
  }
  const Result<Rows> rows =
      connection.value().Query("SELECT system.create_join_token(make_interval(secs => $1::int))",
                               {std::to_string(options.lifetime_s)});
  if (!rows.ok()) {
    return WithoutExtension(rows.status());
  }
  if (rows.value().values.size() != 1 || !rows.value().values[0][0]) {
    return SystemError("the server answered without a token");
  }
  std::printf("%s\n", rows.value().values[0][0]->c_str());
  return Status::Ok();
}

Status ClusterStatus(const StatusOptions& options, bool* healthy) {
  Result<Connection> connection = ConnectTo(options.url, options.data);
  if (!connection.ok()) {
    return connection.status();
  }
  const Result<Rows> health =
      connection.value().Query("SELECT * FROM system.cluster_health ORDER BY node_id");
  if (!health.ok()) {
    return WithoutExtension(health.status());
  }
  const Json nodes = ToJson(health.value());
  *healthy = !nodes.empty();
  bool primary = false;
  for (const Json& node : nodes) {
    *healthy = *healthy && node.value("status", "") == "healthy";
    primary = primary || node.value("role", "") == "primary";
  }
  *healthy = *healthy && primary;
  if (options.json) {
    Json document = Json::object();
    document["healthy"] = *healthy;
    document["nodes"] = nodes;
    std::printf("%s\n", document.dump(2).c_str());
    return Status::Ok();
  }
  PrintNodes(health.value());
  return Status::Ok();
}

}  // namespace pgquorum::cli
