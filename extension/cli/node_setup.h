// The steps that `node init` and `cluster join` share: from checked arguments to a member.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "extension/cli/commands.h"
#include "extension/cli/process.h"
#include "extension/cli/server.h"
#include "extension/identity/identity.h"

namespace pgquorum::cli {

struct SetupPlan {
  fs::path data;
  fs::path state;
  std::string socket_directory;
  std::vector<std::string> settings;
  std::vector<std::string> hba_lines;
  identity::NodeIdentity node;  // filled in as the setup goes on
};

// Checks names and addresses. Nothing is touched.
Result<SetupPlan> PlanSetup(const NodeOptions& options, const std::string& node_id,
                            const std::string& listen, const std::string& raft);

// Creates both directories for the account of the server and becomes that account; takes back what
// was created when the setup fails.
class SetupGuard {
 public:
  explicit SetupGuard(const SetupPlan& plan) : plan_(plan) {}

  // Refuses directories that belong to a node already.
  Status Prepare();
  // Removes the state directory, and the data directory's content when we created it.
  void Undo(bool created_data) const;

 private:
  const SetupPlan& plan_;
  bool state_existed_ = false;
};

// NAME=VALUE each.
Status CheckOwnSettings(const std::vector<std::string>& settings);

// initdb; `more` goes to its command line.
Status CreateServerDirectory(const Installation& installation, const fs::path& data,
                             const std::vector<std::string>& more);

// The installation's major version must be the data directory's.
Status CheckVersion(const Installation& installation, const fs::path& data);

// Node configuration for the plan (ConfigureNode) and the system identifier into plan.node.
Status ConfigureServer(const Installation& installation, const ServerDirectory& directory,
                       SetupPlan& plan);

// Writes identity, marker and the copies of the node's files: the last step, from here on the
// directory starts as a member.
Status MakeMember(const SetupPlan& plan);

}  // namespace pgquorum::cli
