#include "extension/cli/node_setup.h"

#include <sys/stat.h>
#include <unistd.h>

#include "extension/cli/console.h"
#include "extension/cli/node_config.h"
#include "extension/identity/files.h"

namespace pgquorum::cli {
namespace {

Result<identity::Endpoint> ParseAddress(const std::string& text, const char* option) {
  Result<identity::Endpoint> endpoint = identity::Endpoint::Parse(text);
  if (!endpoint.ok()) {
    return InvalidArgument(std::string(option) + " \"" + text + "\" is no HOST:PORT")
        .WithDetail(endpoint.status().message())
        .WithHint("Examples: 10.0.0.11:5432, db1.example.com:5432, [2001:db8::11]:5432.");
  }
  const std::string& host = endpoint.value().host;
  if (host == "0.0.0.0" || host == "::" || host == "*") {
    return InvalidArgument(std::string(option) + " needs an address that the other nodes can reach")
        .WithDetail("\"" + host + "\" means every address of this machine, and none to others.");
  }
  return endpoint;
}

}  // namespace

Result<SetupPlan> PlanSetup(const NodeOptions& options, const std::string& node_id,
                            const std::string& listen, const std::string& raft) {
  if (!identity::IsNodeName(node_id)) {
    return InvalidArgument("\"" + node_id + "\" is no node id")
        .WithHint(
            "A node id is a lower case letter followed by up to 30 lower case letters, "
            "digits or underscores, like node1.");
  }
  SetupPlan plan;
  plan.node.node_name = node_id;
  const Result<identity::Endpoint> listen_at = ParseAddress(listen, "--listen");
  const Result<identity::Endpoint> raft_at = ParseAddress(raft, "--raft");
  if (!listen_at.ok() || !raft_at.ok()) {
    return listen_at.ok() ? raft_at.status() : listen_at.status();
  }
  if (listen_at.value() == raft_at.value()) {
    return InvalidArgument("--listen and --raft must differ: two servers cannot share one port");
  }
  plan.node.listen = listen_at.value();
  plan.node.raft = raft_at.value();
  plan.data = Absolute(options.data);
  plan.state = options.state_directory.empty()
                   ? fs::path(identity::StateDirectory("", plan.data.string()))
                   : Absolute(options.state_directory);
  const std::string inside = plan.state.string() + "/";
  if (inside.starts_with(plan.data.string() + "/")) {
    return InvalidArgument("the state directory must be outside of the data directory")
        .WithDetail("A base backup would copy it to other nodes and a rewind would overwrite it.");
  }
  return plan;
}

Status SetupGuard::Prepare() {
  if (Exists(plan_.data / identity::kMarkerFile)) {
    return WrongState(plan_.data.string() + " belongs to a cluster already")
        .WithDetail("It holds the file " + std::string(identity::kMarkerFile) + ".");
  }
  state_existed_ = Exists(plan_.state);
  if (state_existed_ && !IsEmptyDirectory(plan_.state)) {
    return WrongState("state directory " + plan_.state.string() + " is not empty")
        .WithHint(
            "It may hold the identity and vote of another node. Remove it only when that node "
            "is gone for good, or choose another with --state-directory.");
  }
  const Result<Account> account = ServerAccount(plan_.data);
  if (!account.ok()) {
    return account.status();
  }
  for (const fs::path& directory : {plan_.data, plan_.state}) {
    const Status made = EnsurePrivateDirectory(directory, account.value().uid, account.value().gid);
    if (!made.ok()) {
      return made;
    }
  }
  return BecomeAccount(account.value());
}

void SetupGuard::Undo(bool created_data) const {
  // Content only: as another account than root we may not be able to create the directory again.
  RemoveQuietly(plan_.state, false);
  if (!state_existed_) {
    RemoveQuietly(plan_.state, true);
  }
  if (created_data) {
    RemoveQuietly(plan_.data, false);
  }
}

Status CheckOwnSettings(const std::vector<std::string>& settings) {
  for (const std::string& setting : settings) {
    if (setting.find('=') == std::string::npos || setting.find('\n') != std::string::npos) {
      return InvalidArgument("--set \"" + setting + "\" is not NAME=VALUE");
    }
  }
  return Status::Ok();
}

Status CreateServerDirectory(const Installation& installation, const fs::path& data,
                             const std::vector<std::string>& more) {
  Say("creating data directory " + data.string());
  Command command;
  command.argv = {
      installation.Program("initdb"), "-D", data.string(), "--data-checksums", "--encoding=UTF8",
      // The account's own name over the socket, passwords over the network: never "trust".
      "--auth-local=peer", "--auth-host=scram-sha-256", "--no-instructions"};
  command.argv.insert(command.argv.end(), more.begin(), more.end());
  return RunOrFail(command, "create data directory " + data.string()).status();
}

Status CheckVersion(const Installation& installation, const fs::path& data) {
  Command command;
  command.argv = {installation.Program("postgres"), "--version"};
  const Result<Outcome> outcome = RunOrFail(command, "ask the server for its version");
  if (!outcome.ok()) {
    return outcome.status();
  }
  const Result<std::string> file = identity::ReadFile(data / "PG_VERSION");
  if (!file.ok()) {
    return file.status();
  }
  const std::string wanted = OneLine(file.value());
  const std::string& said = outcome.value().out;  // "postgres (PostgreSQL) 15.4 (Debian …)"
  const std::size_t at = said.find(") ");
  if (at == std::string::npos || said.compare(at + 2, wanted.size() + 1, wanted + ".") != 0) {
    return InvalidArgument("data directory " + data.string() + " is of PostgreSQL " + wanted)
        .WithDetail("The server program is: " + OneLine(said))
        .WithHint("Give the directory of that version's programs with --bindir.");
  }
  return Status::Ok();
}

Status ConfigureServer(const Installation& installation, const ServerDirectory& directory,
                       SetupPlan& plan) {
  const Result<ControlData> control = ReadControlData(installation, directory.data);
  if (!control.ok()) {
    return control.status();
  }
  plan.node.system_identifier = control.value().system_identifier;
  NodePlan node;
  node.listen = plan.node.listen;
  node.state = plan.state;
  node.socket_directory = plan.socket_directory;
  node.settings = plan.settings;
  node.hba_lines = plan.hba_lines;
  node.checksums = control.value().checksums;
  node.witness = plan.node.witness;
  return ConfigureNode(installation, directory, node);
}

Status MakeMember(const SetupPlan& plan) {
  const Status identity_saved = identity::Save(plan.state / identity::kIdentityFile, plan.node);
  if (!identity_saved.ok()) {
    return identity_saved;
  }
  identity::Marker marker;
  marker.cluster_id = plan.node.cluster_id;
  marker.raft_node_id = plan.node.raft_node_id;
  marker.state_directory = plan.state.string();
  if (Status s = identity::Save(plan.data / identity::kMarkerFile, marker); !s.ok()) {
    return s;
  }
  return SaveNodeFiles(plan.data, plan.state);
}

}  // namespace pgquorum::cli
