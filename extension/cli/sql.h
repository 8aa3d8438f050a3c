// SQL over libpq.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <libpq-fe.h>

#include "base/status.h"

namespace pgquorum::cli {

struct Rows {
  std::vector<std::string> columns;
  std::vector<Oid> types;
  std::vector<std::vector<std::optional<std::string>>> values;
};

class Connection {
 public:
  // `conninfo`: a libpq string or URI. connect_timeout is 5 s unless it sets another.
  static Result<Connection> Open(const std::string& conninfo);

  // Errors carry the server's SQLSTATE, detail and hint.
  Result<Rows> Query(const std::string& sql, const std::vector<std::string>& parameters = {});

 private:
  explicit Connection(PGconn* conn) : conn_(conn, &PQfinish) {}
  std::unique_ptr<PGconn, decltype(&PQfinish)> conn_;
};

// How the command line reaches a server: by `url`; or the server that runs in `data`, through its
// Unix socket as its own account (root becomes that account); or, with neither, by libpq's
// environment.
Result<Connection> ConnectTo(const std::string& url, const std::string& data);

}  // namespace pgquorum::cli
