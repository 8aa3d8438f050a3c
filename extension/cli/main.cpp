// pgquorum: the command line of the cluster. This file is the grammar; the verbs are beside it.
#include <functional>
#include <string>

#include <CLI/CLI.hpp>

#include "extension/cli/commands.h"
#include "extension/cli/console.h"
#include "extension/cli/sandbox.h"
#include "extension/version.h"

namespace pgquorum::cli {
namespace {

// A verb that was chosen; returns the exit code.
using Action = std::function<int()>;

int Finish(const Status& status) {
  return status.ok() ? kExitOk : ReportError(status);
}

int Finish(const Status& status, bool healthy) {
  if (!status.ok()) {
    return ReportError(status);
  }
  return healthy ? kExitOk : kExitUnhealthy;
}

// Options live as long as the program: the parser writes to them and the verb reads them.
template <typename Options>
Options* Make() {
  static Options options;
  return &options;
}

void AddNodeOptions(CLI::App* verb, NodeOptions* options) {
  verb->add_option("--data", options->data, "Data directory")->required()->envname("PGDATA");
  verb->add_option("--bindir", options->bindir, "Directory of the server's programs");
}

template <typename Options>
void AddMemberOptions(CLI::App* verb, Options* options) {
  AddNodeOptions(verb, options);
  verb->add_option("--node-id", options->node_id, "Name of the node in the cluster")->required();
  verb->add_option("--listen", options->listen, "HOST:PORT where others reach the server")
      ->required();
  verb->add_option("--raft", options->raft, "HOST:PORT where other nodes reach the cluster worker")
      ->required();
  verb->add_option("--state-directory", options->state_directory,
                   "Identity, certificates and Raft log (default: data directory + .pgquorum)");
  verb->add_option("--socket-directory", options->socket_directory,
                   "Directory of the server's Unix socket");
}

void AddMoveStateVerb(CLI::App* node, Action& action) {
  auto* options = Make<MoveStateOptions>();
  CLI::App* move = node->add_subcommand(
      "move-state", "Move the state directory of a stopped node; again after an interruption");
  move->add_option("--data", options->data, "Data directory")->required()->envname("PGDATA");
  move->add_option("--to", options->to, "The new place: an empty directory or none yet")
      ->required();
  move->add_flag("--json", options->json, "For programs");
  move->callback([=, &action] { action = [=] { return Finish(NodeMoveState(*options)); }; });
}

void AddNodeVerbs(CLI::App& app, Action& action) {
  CLI::App* node = app.add_subcommand("node", "This machine's server")->require_subcommand(1);
  auto* init_options = Make<InitOptions>();
  CLI::App* init = node->add_subcommand(
      "init", "Make a data directory, new or existing, the first node of a cluster");
  AddMemberOptions(init, init_options);
  init->add_option("--cluster", init_options->cluster, "Name of the cluster")->required();
  init->add_option("--set", init_options->settings,
                   "NAME=VALUE for postgresql.conf; may be repeated");
  init->add_option("--hba", init_options->hba_lines, "A line for pg_hba.conf; may be repeated");
  init->callback([=, &action] { action = [=] { return Finish(NodeInit(*init_options)); }; });

  auto* start_options = Make<StartOptions>();
  CLI::App* start = node->add_subcommand("start", "Start the server");
  AddNodeOptions(start, start_options);
  start->add_option("--log", start_options->log,
                    "File for the server's output (default: server.log in the state directory)");
  start->add_option("--timeout", start_options->timeout_s, "Seconds to wait")
      ->check(CLI::Range(1, 86400));
  start->callback([=, &action] { action = [=] { return Finish(NodeStart(*start_options)); }; });

  auto* stop_options = Make<StopOptions>();
  CLI::App* stop = node->add_subcommand("stop", "Stop the server");
  AddNodeOptions(stop, stop_options);
  stop->add_option("--mode", stop_options->mode, "smart, fast or immediate")->capture_default_str();
  stop->add_option("--timeout", stop_options->timeout_s, "Seconds to wait")
      ->check(CLI::Range(1, 86400));
  stop->callback([=, &action] { action = [=] { return Finish(NodeStop(*stop_options)); }; });
  AddMoveStateVerb(node, action);
}

void AddFailoverVerb(CLI::App* cluster, Action& action) {
  auto* options = Make<FailoverOptions>();
  CLI::App* failover =
      cluster->add_subcommand("failover", "Make another node the primary, without losing anything");
  failover->add_option("--data", options->data, "Data directory of a member on this machine");
  failover->add_option("--url", options->url, "Connection string of a member");
  failover->add_option("--to,--target", options->to,
                       "Node that becomes the primary (default: the best one)");
  CLI::Option* immediate = failover->add_flag(
      "--immediate", options->immediate, "In an emergency: without the checks of health and lag");
  failover
      ->add_flag("--accept-loss", options->accept_loss,
                 "Go on without a full quorum: acknowledged commits may be lost")
      ->needs(immediate);
  failover->add_option("--timeout", options->timeout_s, "Seconds to wait")
      ->check(CLI::Range(1, 3600))
      ->capture_default_str();
  failover->add_flag("--json", options->json, "For programs");
  failover->callback([=, &action] { action = [=] { return Finish(ClusterFailover(*options)); }; });
}

void AddForceQuorumVerb(CLI::App* cluster, Action& action) {
  auto* options = Make<ForceQuorumOptions>();
  CLI::App* force = cluster->add_subcommand(
      "force-quorum", "When most voters are gone for good: go on without them, whatever is lost");
  force->add_option("--data", options->data, "Data directory of one of them, its server stopped")
      ->required()
      ->envname("PGDATA");
  force->add_option("--nodes", options->nodes, "The nodes that are left, this one among them")
      ->required()
      ->delimiter(',');
  force->add_flag("--confirm-data-loss", options->confirm_data_loss,
                  "The other nodes are off and stay off, and what only they had may be lost");
  force->add_flag("--json", options->json, "For programs");
  force->callback([=, &action] { action = [=] { return Finish(ClusterForceQuorum(*options)); }; });
}

void AddClusterVerbs(CLI::App& app, Action& action) {
  CLI::App* cluster = app.add_subcommand("cluster", "The cluster")->require_subcommand(1);
  auto* token_options = Make<TokenOptions>();
  CLI::App* token = cluster->add_subcommand("token", "Print a token that lets one new node join");
  token->add_option("--data", token_options->data, "Data directory of a member on this machine");
  token->add_option("--url", token_options->url, "Connection string of a member");
  token->add_option("--lifetime", token_options->lifetime_s, "Seconds until it expires")
      ->check(CLI::Range(1, 7 * 86400))
      ->capture_default_str();
  token->callback([=, &action] { action = [=] { return Finish(ClusterToken(*token_options)); }; });

  auto* join_options = Make<JoinOptions>();
  CLI::App* join = cluster->add_subcommand("join", "Make this machine a node of a cluster");
  AddMemberOptions(join, join_options);
  join->add_option("--token", join_options->token,
                   "Token of `cluster token`; - reads it from stdin")
      ->required();
  join->add_option("--cluster-address", join_options->cluster_address,
                   "HOST:RAFTPORT of any member")
      ->required();
  join->add_flag("--insecure", join_options->insecure,
                 "The cluster runs with pgquorum.tls = off: send the token in the clear");
  CLI::Option* witness = join->add_flag(
      "--witness", join_options->witness,
      "Vote and hold no data: the third vote of a cluster of two; any small machine will do");
  join->add_option("--set", join_options->settings,
                   "NAME=VALUE for a witness's postgresql.conf; may be repeated")
      ->needs(witness);
  join->add_option("--hba", join_options->hba_lines,
                   "A line for a witness's pg_hba.conf; may be repeated")
      ->needs(witness);
  join->callback([=, &action] { action = [=] { return Finish(ClusterJoin(*join_options)); }; });

  auto* status_options = Make<StatusOptions>();
  CLI::App* status = cluster->add_subcommand("status", "Show the nodes and their state");
  status->add_option("--data", status_options->data, "Data directory of a member on this machine");
  status->add_option("--url", status_options->url, "Connection string of a member");
  status->add_flag("--json", status_options->json, "For programs");
  status->callback([=, &action] {
    action = [=] {
      bool healthy = false;
      const Status shown = ClusterStatus(*status_options, &healthy);
      return Finish(shown, healthy);
    };
  });
  AddFailoverVerb(cluster, action);
  AddForceQuorumVerb(cluster, action);
}

CLI::App* AddSandboxNodeVerb(CLI::App* sandbox, Action& action, const char* name,
                             const char* description, Status (*verb)(const SandboxNodeOptions&),
                             SandboxNodeOptions* options) {
  CLI::App* command = sandbox->add_subcommand(name, description);
  command->add_option("--dir", options->dir, "Directory of the sandbox")->required();
  command->add_option("node", options->node, "Node, as node1")->required();
  command->callback([=, &action] { action = [=] { return Finish(verb(*options)); }; });
  return command;
}

void AddSandboxUp(CLI::App* sandbox, Action& action) {
  auto* options = Make<SandboxUpOptions>();
  CLI::App* up = sandbox->add_subcommand("up", "Make a cluster and start it");
  up->add_option("--nodes", options->nodes, "Number of nodes")->capture_default_str();
  up->add_option("--dir", options->dir, "Directory for everything")->required();
  up->add_option("--port", options->port, "First of 2 x NODES ports")->capture_default_str();
  up->add_option("--hosts", options->hosts, "Addresses of the nodes (default: 127.0.0.1)")
      ->delimiter(',');
  up->add_option("--namespaces", options->namespaces, "Network namespaces of the nodes; needs root")
      ->delimiter(',');
  up->add_option("--set", options->settings, "NAME=VALUE for postgresql.conf; may be repeated");
  up->add_flag("--supervise", options->supervise, "Restart a dead server after 100 ms");
  up->add_flag("--witness", options->witness, "The last node votes and holds no data");
  up->add_option("--timeout", options->timeout_s, "Seconds to wait")->check(CLI::Range(1, 86400));
  up->add_option("--bindir", options->bindir, "Directory of the server's programs");
  up->callback([=, &action] { action = [=] { return Finish(SandboxUp(*options)); }; });
}

void AddSandboxVerbs(CLI::App& app, Action& action) {
  CLI::App* sandbox =
      app.add_subcommand("sandbox", "Local clusters for trying things")->require_subcommand(1);
  AddSandboxUp(sandbox, action);

  auto* status_options = Make<SandboxStatusOptions>();
  CLI::App* status = sandbox->add_subcommand("status", "Show processes and nodes");
  status->add_option("--dir", status_options->dir, "Directory of the sandbox")->required();
  status->add_flag("--json", status_options->json, "For programs");
  status->callback([=, &action] {
    action = [=] {
      bool healthy = false;
      const Status shown = SandboxStatus(*status_options, &healthy);
      return Finish(shown, healthy);
    };
  });

  auto* node = Make<SandboxNodeOptions>();
  AddSandboxNodeVerb(sandbox, action, "kill", "kill -9 every process of a node", SandboxKill, node)
      ->add_flag("--postmaster", node->postmaster_only, "The postmaster alone");
  AddSandboxNodeVerb(sandbox, action, "pause", "SIGSTOP a node", SandboxPause, node);
  AddSandboxNodeVerb(sandbox, action, "resume", "SIGCONT a node", SandboxResume, node);
  AddSandboxNodeVerb(sandbox, action, "start", "Start a node", SandboxStart, node);
  AddSandboxNodeVerb(sandbox, action, "stop", "Stop a node", SandboxStop, node)
      ->add_option("--mode", node->mode, "smart, fast or immediate")
      ->check(CLI::IsMember({"smart", "fast", "immediate"}))
      ->capture_default_str();
  // For `sandbox` itself: the parent process of a node.
  AddSandboxNodeVerb(
      sandbox, action, "keep", "",
      [](const SandboxNodeOptions& options) { return SandboxKeep(options.dir, options.node); },
      node)
      ->group("");

  CLI::App* down = sandbox->add_subcommand("down", "Kill all nodes and remove the sandbox");
  down->add_option("--dir", node->dir, "Directory of the sandbox")->required();
  down->callback([=, &action] { action = [=] { return Finish(SandboxDown(node->dir)); }; });
}

int Main(int argc, char** argv) {
  CLI::App app{"pgquorum: PostgreSQL servers as one cluster"};
  app.set_version_flag("--version", std::string("pgquorum ") + kVersion);
  app.require_subcommand(1);
  bool quiet = false;
  app.add_flag("-q,--quiet", quiet, "No progress on standard error");
  app.footer("Exit codes: 0 done; 1 failed; 2 wrong arguments; 3 not healthy (status)");
  Action action;
  AddNodeVerbs(app, action);
  AddClusterVerbs(app, action);
  AddSandboxVerbs(app, action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // Help and version are "errors" to CLI11, with exit code 0.
    const int code = app.exit(error);
    return code == 0 ? kExitOk : kExitUsage;
  }
  SetQuiet(quiet);
  return action();
}

}  // namespace
}  // namespace pgquorum::cli

int main(int argc, char** argv) {
  return pgquorum::cli::Main(argc, argv);
}
