#include "extension/cli/sql.h"

#include <string_view>

#include "extension/cli/config_text.h"
#include "extension/cli/console.h"
#include "extension/cli/node_config.h"
#include "extension/cli/server.h"

namespace pgquorum::cli {
namespace {

std::string Field(const PGresult* result, int code) {
  const char* text = PQresultErrorField(result, code);
  return text == nullptr ? "" : text;
}

Status ErrorOf(const PGresult* result, PGconn* conn) {
  const std::string state = Field(result, PG_DIAG_SQLSTATE);
  if (state.size() != 5) {
    return Status::Error(kConnectionFailure, "lost the connection to the server")
        .WithDetail(OneLine(PQerrorMessage(conn)));
  }
  Status status = Status::Error(state, Field(result, PG_DIAG_MESSAGE_PRIMARY));
  if (const std::string detail = Field(result, PG_DIAG_MESSAGE_DETAIL); !detail.empty()) {
    static_cast<void>(std::move(status).WithDetail(detail));
  }
  if (const std::string hint = Field(result, PG_DIAG_MESSAGE_HINT); !hint.empty()) {
    static_cast<void>(std::move(status).WithHint(hint));
  }
  return status;
}

}  // namespace

Result<Connection> Connection::Open(const std::string& conninfo) {
  // Later values win: defaults first, then what the string says, which expand_dbname splits up.
  const char* const keywords[] = {"connect_timeout", "fallback_application_name", "dbname",
                                  nullptr};
  const char* const values[] = {"5", "pgquorum", conninfo.c_str(), nullptr};
  Connection connection(PQconnectdbParams(keywords, values, 1));
  if (PQstatus(connection.conn_.get()) != CONNECTION_OK) {
    return Status::Error(kConnectionFailure, "could not connect to the server")
        .WithDetail(OneLine(PQerrorMessage(connection.conn_.get())));
  }
  return connection;
}

Result<Rows> Connection::Query(const std::string& sql, const std::vector<std::string>& parameters) {
  std::vector<const char*> values;
  for (const std::string& parameter : parameters) {
    values.push_back(parameter.c_str());
  }
  const std::unique_ptr<PGresult, decltype(&PQclear)> result(
      PQexecParams(conn_.get(), sql.c_str(), static_cast<int>(values.size()), nullptr,
                   values.data(), nullptr, nullptr, 0),
      &PQclear);
  const ExecStatusType status = PQresultStatus(result.get());
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
    return ErrorOf(result.get(), conn_.get());
  }
  Rows rows;
  const int columns = PQnfields(result.get());
  for (int c = 0; c < columns; ++c) {
    rows.columns.emplace_back(PQfname(result.get(), c));
    rows.types.push_back(PQftype(result.get(), c));
  }
  for (int r = 0; r < PQntuples(result.get()); ++r) {
    std::vector<std::optional<std::string>> row;
    for (int c = 0; c < columns; ++c) {
      row.push_back(PQgetisnull(result.get(), r, c) == 1
                        ? std::nullopt
                        : std::optional<std::string>(PQgetvalue(result.get(), r, c)));
    }
    rows.values.push_back(std::move(row));
  }
  return rows;
}

Result<Connection> ConnectTo(const std::string& url, const std::string& data) {
  if (!url.empty() || data.empty()) {
    return Connection::Open(url);
  }
  const fs::path directory = Absolute(data);
  const Result<Account> account = ServerAccount(directory);
  if (!account.ok()) {
    return account.status();
  }
  if (Status s = BecomeAccount(account.value()); !s.ok()) {
    return s;
  }
  const auto server = FindRunningServer(directory);
  if (!server) {
    return WrongState("no server runs in " + directory.string())
        .WithHint("Start it with: pgquorum node start --data " + directory.string());
  }
  const std::string host =
      server->socket_directory.empty() ? server->listen_host : server->socket_directory;
  return Connection::Open("host=" + QuoteConninfo(host) + " port=" + std::to_string(server->port) +
                          " dbname=" + kServiceDatabase);
}

}  // namespace pgquorum::cli
