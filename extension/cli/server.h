// A PostgreSQL installation and a data directory, as their own programs show them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "base/status.h"
#include "extension/cli/files.h"
#include "extension/cli/process.h"

namespace pgquorum::cli {

struct Installation {
  fs::path bindir;
  std::string Program(const std::string& name) const { return (bindir / name).string(); }
};

// `option` when given; else the directory of this program when a server lies beside it; else what
// pg_config on the PATH says; else Debian's place.
Result<Installation> FindInstallation(const std::string& option);

struct ServerDirectory {
  fs::path data;
  fs::path config;  // where postgresql.conf is: `data`, or below /etc/postgresql (Debian's layout)
  bool separate_config() const { return config != data; }
};

// Finds the configuration of an initialised data directory.
Result<ServerDirectory> FindServerDirectory(const fs::path& data);

// The same, and becomes the account that owns it.
Result<ServerDirectory> OpenAsOwner(const fs::path& data);

// A parameter as the configuration files set it (`postgres -C`).
Result<std::string> ConfiguredValue(const Installation& installation,
                                    const ServerDirectory& directory, const std::string& name);

struct ControlData {
  std::string state;  // "shut down", "in production", …
  uint64_t system_identifier = 0;
  bool checksums = false;
};
Result<ControlData> ReadControlData(const Installation& installation, const fs::path& data);

// postmaster.pid of a running server. Empty when no process of that number exists (a zombie does
// not count).
struct RunningServer {
  pid_t pid = 0;
  uint16_t port = 0;
  std::string socket_directory;  // empty: none
  std::string listen_host;       // first address; empty: none
};
std::optional<RunningServer> FindRunningServer(const fs::path& data);

// True when the process exists and is not a zombie.
bool ProcessLives(pid_t pid);

// Runs SQL in single-user mode on a stopped server, a statement a line. An error of any statement
// is an error.
Status RunSingleUser(const Installation& installation, const ServerDirectory& directory,
                     const std::string& database, const std::vector<std::string>& statements);

}  // namespace pgquorum::cli
