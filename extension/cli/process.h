// Child programs, and the account that servers run as.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "base/status.h"
#include "extension/cli/files.h"

namespace pgquorum::cli {

struct Account {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string name;
  std::string home;
};

// PostgreSQL refuses to run as root. The account is our own; for root, the owner of `existing` when
// that is a directory of somebody else's, otherwise `postgres`.
Result<Account> ServerAccount(const fs::path& existing);

// Becomes the account for good (root only; nothing to do otherwise).
Status BecomeAccount(const Account& account);

struct Command {
  std::vector<std::string> argv;                                 // argv[0] is the program's path
  std::vector<std::pair<std::string, std::string>> environment;  // added to ours
  std::string input;                                             // standard input; empty: /dev/null
  bool show_output = false;        // the child writes to our standard error; nothing is captured
  std::string network_namespace;   // as in /run/netns; empty: ours. Needs root
  std::optional<Account> account;  // runs as this account; needs root
};

struct Outcome {
  int exit_code = -1;  // 128 + signal number when a signal ended it
  std::string out;
  std::string err;
  bool ok() const { return exit_code == 0; }
};

// Waits for the child. An error only when it could not be started at all.
Result<Outcome> Run(const Command& command);

// Run(), and an error with the program's own words unless it succeeded. `what` completes "could
// not".
Result<Outcome> RunOrFail(const Command& command, const std::string& what);

// In a child between fork and exec: enters the namespace, becomes the account, resets signals.
// Returns false with errno set.
bool PrepareChild(const Command& command);

// The absolute path of this program.
fs::path OwnProgram();

}  // namespace pgquorum::cli
