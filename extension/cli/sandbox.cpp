// The description of a sandbox, and the verbs on single nodes.
#include "extension/cli/sandbox.h"

#include <csignal>

#include <nlohmann/json.hpp>

#include "extension/cli/config_text.h"
#include "extension/cli/console.h"
#include "extension/cli/process_tree.h"
#include "extension/identity/files.h"
#include "extension/identity/identity.h"

namespace pgquorum::cli {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kFile[] = "sandbox.json";

struct Target {
  Sandbox sandbox;
  SandboxNode node;
};

Result<Target> FindTarget(const SandboxNodeOptions& options) {
  Result<Sandbox> sandbox = Sandbox::Load(options.dir);
  if (!sandbox.ok()) {
    return sandbox.status();
  }
  const Result<SandboxNode> node = sandbox.value().Find(options.node);
  if (!node.ok()) {
    return node.status();
  }
  return Target{std::move(sandbox).value(), node.value()};
}

// The keeper of a node that must be running.
Result<pid_t> RunningKeeper(const Target& target) {
  const pid_t keeper = FindKeeper(target.sandbox, target.node);
  if (keeper == 0) {
    return WrongState("node " + target.node.id + " is not running");
  }
  return keeper;
}

Status SignalNode(const SandboxNodeOptions& options, int signal_number) {
  const Result<Target> target = FindTarget(options);
  if (!target.ok()) {
    return target.status();
  }
  const Result<pid_t> keeper = RunningKeeper(target.value());
  if (!keeper.ok()) {
    return keeper.status();
  }
  SignalDescendants(keeper.value(), signal_number);
  return Status::Ok();
}

}  // namespace

Result<SandboxNode> Sandbox::Find(const std::string& id) const {
  std::string known;
  for (const SandboxNode& node : nodes) {
    if (node.id == id) {
      return node;
    }
    known += (known.empty() ? "" : ", ") + node.id;
  }
  return InvalidArgument("there is no node \"" + id + "\" in this sandbox")
      .WithDetail("Its nodes are " + known + ".");
}

std::string Sandbox::Url() const {
  std::string hosts;
  for (const SandboxNode& node : nodes) {
    if (!node.witness) {
      hosts += (hosts.empty() ? "" : ",") + identity::Endpoint{node.host, node.port}.Format();
    }
  }
  return "postgresql://" + account + "@" + hosts + "/postgres?target_session_attrs=read-write";
}

std::string Sandbox::NodeConninfo(const SandboxNode& node) const {
  return "host=" + QuoteConninfo(node.host) + " port=" + std::to_string(node.port) +
         " user=" + QuoteConninfo(account) + " dbname=postgres";
}

Status Sandbox::Save() const {
  Json document = {{"version", 1},       {"bindir", bindir.string()}, {"sockets", sockets.string()},
                   {"account", account}, {"supervise", supervise},    {"url", Url()}};
  document["nodes"] = Json::array();
  for (const SandboxNode& node : nodes) {
    document["nodes"].push_back({{"id", node.id},
                                 {"host", node.host},
                                 {"port", node.port},
                                 {"raft_port", node.raft_port},
                                 {"namespace", node.network_namespace},
                                 {"witness", node.witness},
                                 {"data", Data(node).string()},
                                 {"state", State(node).string()},
                                 {"log", Log(node).string()}});
  }
  return WriteFile(dir / kFile, document.dump(2) + "\n", 0644);
}

Result<Sandbox> Sandbox::Load(const std::string& dir_option) {
  Sandbox sandbox;
  sandbox.dir = Absolute(dir_option);
  const fs::path file = sandbox.dir / kFile;
  if (!Exists(file)) {
    return InvalidArgument("there is no sandbox in " + sandbox.dir.string())
        .WithHint("Make one with: pgquorum sandbox up --dir " + sandbox.dir.string());
  }
  const Result<std::string> text = identity::ReadFile(file);
  if (!text.ok()) {
    return text.status();
  }
  const Json document = Json::parse(text.value(), nullptr, false);
  if (!document.is_object() || document.value("version", 0) != 1) {
    return SystemError(file.string() + " is not a sandbox description of this version");
  }
  try {
    sandbox.bindir = document.at("bindir").get<std::string>();
    sandbox.sockets = document.at("sockets").get<std::string>();
    sandbox.account = document.at("account").get<std::string>();
    sandbox.supervise = document.at("supervise").get<bool>();
    for (const Json& node : document.at("nodes")) {
      sandbox.nodes.push_back(
          {node.at("id").get<std::string>(), node.at("host").get<std::string>(),
           node.at("port").get<uint16_t>(), node.at("raft_port").get<uint16_t>(),
           node.at("namespace").get<std::string>(), node.at("witness").get<bool>()});
    }
  } catch (const Json::exception& error) {
    return SystemError(file.string() + " is damaged").WithDetail(error.what());
  }
  return sandbox;
}

Status SandboxKill(const SandboxNodeOptions& options) {
  const Result<Target> target = FindTarget(options);
  if (!target.ok()) {
    return target.status();
  }
  const Result<pid_t> keeper = RunningKeeper(target.value());
  if (!keeper.ok()) {
    return keeper.status();
  }
  if (!options.postmaster_only) {
    return KillNode(target.value().sandbox, target.value().node);
  }
  const auto server = FindRunningServer(target.value().sandbox.Data(target.value().node));
  if (!server) {
    return WrongState("the server of node " + options.node + " is not running");
  }
  if (kill(server->pid, SIGKILL) != 0) {
    return SystemErrorErrno("could not kill process " + std::to_string(server->pid));
  }
  return Status::Ok();
}

Status SandboxPause(const SandboxNodeOptions& options) {
  return SignalNode(options, SIGSTOP);
}
Status SandboxResume(const SandboxNodeOptions& options) {
  return SignalNode(options, SIGCONT);
}

Status SandboxStart(const SandboxNodeOptions& options) {
  const Result<Target> target = FindTarget(options);
  return target.ok() ? StartKeeper(target.value().sandbox, target.value().node) : target.status();
}

Status SandboxStop(const SandboxNodeOptions& options) {
  const Result<Target> target = FindTarget(options);
  if (!target.ok()) {
    return target.status();
  }
  const Sandbox& sandbox = target.value().sandbox;
  const Result<pid_t> keeper = RunningKeeper(target.value());
  if (!keeper.ok()) {
    return keeper.status();
  }
  const Result<Account> account = ServerAccount(sandbox.Data(target.value().node));
  if (!account.ok()) {
    return account.status();
  }
  if (kill(keeper.value(), SIGUSR1) != 0) {
    return SystemErrorErrno("could not signal the keeper of node " + options.node);
  }
  Command command;
  command.account = account.value();
  command.argv = {
      (sandbox.bindir / "pg_ctl").string(),       "stop", "-s",        "-w", "-t", "60", "-D",
      sandbox.Data(target.value().node).string(), "-m",   options.mode};
  if (Status stopped = RunOrFail(command, "stop node " + options.node).status(); !stopped.ok()) {
    return stopped;
  }
  // The server's last act is to remove its pid file, which pg_ctl waits for; its keeper notices a
  // moment later, and a start in between would find the node running.
  return AwaitKeeperEnd(target.value().node, keeper.value());
}

Status SandboxDown(const std::string& dir) {
  const Result<Sandbox> sandbox = Sandbox::Load(dir);
  if (!sandbox.ok()) {
    return sandbox.status();
  }
  for (const SandboxNode& node : sandbox.value().nodes) {
    if (Status s = KillNode(sandbox.value(), node); !s.ok()) {
      return s;
    }
  }
  // Our own files alone: the directory may hold others'.
  for (const SandboxNode& node : sandbox.value().nodes) {
    RemoveQuietly(sandbox.value().Home(node), true);
  }
  RemoveQuietly(sandbox.value().sockets, true);
  RemoveQuietly(sandbox.value().dir / kFile, true);
  std::error_code error;
  fs::remove(sandbox.value().dir, error);  // fails, as it should, when it is not empty
  return Status::Ok();
}

}  // namespace pgquorum::cli
