// pgquorum node init: makes a data directory, new or existing, the first node of a cluster.
#include <random>

#include <unistd.h>

#include "bgworkers/transport/pki.h"
#include "extension/cli/commands.h"
#include "extension/cli/console.h"
#include "extension/cli/node_config.h"
#include "extension/cli/node_setup.h"

namespace pgquorum::cli {
namespace {

// The first node's id in Raft; joining nodes get theirs from the Raft entry that adds them.
constexpr uint64_t kFirstRaftNode = 1;

uint64_t RandomId() {
  std::random_device device;
  uint64_t id = 0;
  while (id == 0) {
    id = (uint64_t{device()} << 32) | device();
  }
  return id;
}

// What must be true of an existing data directory; a reason otherwise.
Status CheckAdoptable(const Installation& installation, const ServerDirectory& directory) {
  const std::string data = directory.data.string();
  if (Status s = CheckVersion(installation, directory.data); !s.ok()) {
    return s;
  }
  if (const auto running = FindRunningServer(directory.data)) {
    return WrongState("a server runs in " + data + " (process " + std::to_string(running->pid) +
                      ")")
        .WithHint("Stop it first. `pgquorum node start` starts it as a member of the cluster.");
  }
  if (Exists(directory.data / "standby.signal") || Exists(directory.data / "recovery.signal")) {
    return WrongState(data + " is a standby or is being restored")
        .WithHint(
            "The first node of a cluster is made from a primary. Others join it with "
            "`pgquorum cluster join` and get their data from there.");
  }
  const Result<ControlData> control = ReadControlData(installation, directory.data);
  if (!control.ok()) {
    return control.status();
  }
  if (control.value().state != "shut down") {
    return WrongState("the server of " + data + " was not shut down cleanly")
        .WithDetail("Its state is \"" + control.value().state + "\".")
        .WithHint("Start it as before, stop it with `pg_ctl stop -m fast`, and try again.");
  }
  Say("adopting data directory " + data +
      (directory.separate_config() ? ", configuration in " + directory.config.string() : ""));
  return Status::Ok();
}

Status Build(const Installation& installation, const InitOptions& options, SetupPlan& plan,
             bool* created_data) {
  if (IsEmptyDirectory(plan.data)) {
    *created_data = true;
    if (Status s = CreateServerDirectory(installation, plan.data, {}); !s.ok()) {
      return s;
    }
  }
  const Result<ServerDirectory> directory = FindServerDirectory(plan.data);
  if (!directory.ok()) {
    return directory.status();
  }
  if (!*created_data) {
    if (Status s = CheckAdoptable(installation, directory.value()); !s.ok()) {
      return s;
    }
  }
  plan.node.cluster_name = options.cluster;
  plan.node.cluster_id = RandomId();
  plan.node.raft_node_id = kFirstRaftNode;
  const std::string pki = plan.state / identity::kPkiDirectory;
  const Status certified = transport::CreateClusterPki(pki, plan.node.cluster_name,
                                                       plan.node.cluster_id, plan.node.node_name);
  if (!certified.ok()) {
    return certified;
  }
  if (Status s = ConfigureServer(installation, directory.value(), plan); !s.ok()) {
    return s;
  }
  if (Status s = PrepareDatabase(installation, directory.value()); !s.ok()) {
    return s;
  }
  return MakeMember(plan);
}

}  // namespace

Status NodeInit(const InitOptions& options) {
  if (!identity::IsClusterName(options.cluster)) {
    return InvalidArgument("\"" + options.cluster + "\" is no cluster name")
        .WithHint(
            "A cluster name is a lower case letter followed by up to 30 lower case letters, "
            "digits, underscores or hyphens.");
  }
  if (Status s = CheckOwnSettings(options.settings); !s.ok()) {
    return s;
  }
  const Result<Installation> installation = FindInstallation(options.bindir);
  if (!installation.ok()) {
    return installation.status();
  }
  Result<SetupPlan> plan = PlanSetup(options, options.node_id, options.listen, options.raft);
  if (!plan.ok()) {
    return plan.status();
  }
  plan.value().socket_directory = options.socket_directory;
  plan.value().settings = options.settings;
  plan.value().hba_lines = options.hba_lines;
  SetupGuard guard(plan.value());
  if (Status s = guard.Prepare(); !s.ok()) {
    return s;
  }
  bool created_data = false;
  const Status built = Build(installation.value(), options, plan.value(), &created_data);
  if (!built.ok()) {
    guard.Undo(created_data);
    return built;
  }
  Say("node " + options.node_id + " is the first of cluster " + options.cluster +
      "; start it with: pgquorum node start --data " + plan.value().data.string());
  return Status::Ok();
}

}  // namespace pgquorum::cli
