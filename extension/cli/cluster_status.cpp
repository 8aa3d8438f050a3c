// pgquorum cluster token | status: questions to a running member, in SQL.
#include <algorithm>
#include <cstdio>
#include <string>

#include "extension/cli/commands.h"
#include "extension/cli/console.h"
#include "extension/cli/rows_json.h"
#include "extension/cli/sql.h"

namespace pgquorum::cli {
namespace {

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
