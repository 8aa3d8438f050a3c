// What pgquorum needs of a server's configuration, and writing it down: a managed block in
// postgresql.conf, pg_hba.conf and pg_ident.conf. Everything that changes is named to the user.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "extension/cli/server.h"
#include "extension/identity/identity.h"

namespace pgquorum::cli {

// The role of streaming, base backups and rewinds: not a superuser, comes in by node certificate
// only.
inline constexpr char kReplicatorRole[] = "pgquorum_replicator";
// The database that pgquorum's own connections use (pg_rewind needs one).
inline constexpr char kServiceDatabase[] = "postgres";

struct NodePlan {
  identity::Endpoint listen;
  fs::path state;
  // Empty: what the server would use anyway.
  std::string socket_directory;
  bool checksums = false;
  bool witness = false;
  std::vector<std::string> settings;   // NAME=VALUE, the user's own
  std::vector<std::string> hba_lines;  // the user's own, for the top of pg_hba.conf
};

// Writes the three blocks and takes settings that pgquorum owns out of postgresql.auto.conf, which
// would override them. Prints a line for each change.
Status ConfigureNode(const Installation& installation, const ServerDirectory& directory,
                     const NodePlan& plan);

// Copies the node's own files (identity::kNodeFiles) from the data directory to STATE/conf. Call it
// last, after every edit: they are put back after a rewind or re-clone.
Status SaveNodeFiles(const fs::path& data, const fs::path& state);

// Creates the replicator role and the extension on a stopped server, which must be a primary's
// directory, and gives pg_rewind's functions to the role.
Status PrepareDatabase(const Installation& installation, const ServerDirectory& directory);

}  // namespace pgquorum::cli
