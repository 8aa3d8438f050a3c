// pgquorum cluster join: makes this machine a node of an existing cluster.
#include <iostream>

#include "extension/cli/admission.h"
#include "extension/cli/commands.h"
#include "extension/cli/config_text.h"
#include "extension/cli/console.h"
#include "extension/cli/node_config.h"
#include "extension/cli/node_setup.h"
#include "extension/identity/files.h"

namespace pgquorum::cli {
namespace {

Result<std::string> ReadToken(const std::string& option) {
  std::string token = option;
  if (option == "-") {
    std::getline(std::cin, token);
  }
  const std::size_t begin = token.find_first_not_of(" \t\r\n");
  const std::size_t end = token.find_last_not_of(" \t\r\n");
  if (begin == std::string::npos) {
    return InvalidArgument("the join token is empty")
        .WithHint("Get one on a member with: pgquorum cluster token --data DIR");
  }
  return token.substr(begin, end - begin + 1);
}

Result<identity::Peer> FindSource(const Admission& admission) {
  for (const identity::Peer& member : admission.members) {
    if (member.raft_node_id == admission.primary) {
      return member;
    }
  }
  return WrongState("the cluster has no primary now, so there is nobody to copy the data from")
      .WithHint("Try again when `pgquorum cluster status` shows a primary.");
}

Status CopyData(const Installation& installation, const SetupPlan& plan,
                const identity::Peer& source) {
  const fs::path pki = plan.state / identity::kPkiDirectory;
  const std::string conninfo =
      "host=" + QuoteConninfo(source.listen.host) + " port=" + std::to_string(source.listen.port) +
      " user=" + kReplicatorRole +
      " sslmode=verify-ca sslrootcert=" + QuoteConninfo((pki / "ca.crt").string()) +
      " sslcert=" + QuoteConninfo((pki / "node.crt").string()) +
      " sslkey=" + QuoteConninfo((pki / "node.key").string()) +
      " connect_timeout=10 application_name=" + QuoteConninfo(plan.node.node_name + ".join");
  Say("copying the data of " + source.name + " (" + source.listen.Format() + ")");
  Command command;
  command.argv = {installation.Program("pg_basebackup"),
                  "-D",
                  plan.data.string(),
                  "-d",
                  conninfo,
                  "--wal-method=stream",
                  "--checkpoint=fast",
                  "--no-password"};
  if (StderrIsTerminal()) {
    command.argv.emplace_back("--progress");
    command.show_output = true;
  }
  return RunOrFail(command, "copy the data of " + source.name).status();
}

// A primary of Debian's layout has its configuration elsewhere, so the copy came without.
Status EnsureConfiguration(const fs::path& data) {
  if (FindServerDirectory(data).ok()) {
    return Status::Ok();
  }
  Say("the copy holds no configuration: starting from PostgreSQL's defaults");
  const std::pair<const char*, const char*> files[] = {
      {"postgresql.conf", ""},
      {"pg_hba.conf",
       "local all all peer\nhost all all 127.0.0.1/32 scram-sha-256\n"
       "host all all ::1/128 scram-sha-256\n"},
      {"pg_ident.conf", ""}};
  for (const auto& [name, content] : files) {
    if (Status s = WriteFile(data / name, content); !s.ok()) {
      return s;
    }
  }
  return Status::Ok();
}

Status Configure(const Installation& installation, SetupPlan& plan) {
  // The source's: whom it follows and waits for is not for us.
  if (Status s = identity::RemoveFileDurably(plan.data / identity::kNodeConfigFile); !s.ok()) {
    return s;
  }
  if (Status s = EnsureConfiguration(plan.data); !s.ok()) {
    return s;
  }
  const Result<ServerDirectory> directory = FindServerDirectory(plan.data);
  if (!directory.ok()) {
    return directory.status();
  }
  const uint64_t expected = plan.node.system_identifier;
  if (Status s = ConfigureServer(installation, directory.value(), plan); !s.ok()) {
    return s;
  }
  if (plan.node.system_identifier != expected) {
    return SystemError("the copied data is not of this cluster")
        .WithDetail("The cluster's system identifier is " + std::to_string(expected) +
                    ", that of the copy " + std::to_string(plan.node.system_identifier) + ".");
  }
  return MakeMember(plan);
}

// A witness copies nothing: its server is its own and empty. It is there to carry the worker, and
// answers what the views of any node answer.
Status SetUpWitness(const Installation& installation, SetupPlan& plan) {
  // Segments of WAL that nobody will write need not be large.
  if (Status s = CreateServerDirectory(installation, plan.data, {"--wal-segsize=1"}); !s.ok()) {
    return s;
  }
  const Result<ServerDirectory> directory = FindServerDirectory(plan.data);
  if (!directory.ok()) {
    return directory.status();
  }
  if (Status s = ConfigureServer(installation, directory.value(), plan); !s.ok()) {
    return s;
  }
  if (Status s = PrepareDatabase(installation, directory.value()); !s.ok()) {
    return s;
  }
  return MakeMember(plan);
}

Status Join(const Installation& installation, const std::string& token,
            const identity::Endpoint& contact, bool insecure, SetupPlan& plan, bool* admitted) {
  Say("asking " + contact.Format() + " to admit node " + plan.node.node_name);
  const Result<Admission> admission =
      AskToJoin(plan.state / identity::kPkiDirectory, token, contact, plan.node, insecure);
  if (!admission.ok()) {
    return admission.status();
  }
  *admitted = true;
  plan.node.cluster_name = admission.value().cluster_name;
  plan.node.cluster_id = admission.value().cluster_id;
  plan.node.raft_node_id = admission.value().raft_node_id;
  plan.node.system_identifier = admission.value().system_identifier;
  plan.node.join_addresses = {contact};
  identity::Peers peers;
  peers.cluster_id = plan.node.cluster_id;
  peers.members = admission.value().members;
  if (Status s = identity::Save(plan.state / identity::kPeersFile, peers); !s.ok()) {
    return s;
  }
  if (plan.node.witness) {
    return SetUpWitness(installation, plan);
  }
  const Result<identity::Peer> source = FindSource(admission.value());
  if (!source.ok()) {
    return source.status();
  }
  if (Status s = CopyData(installation, plan, source.value()); !s.ok()) {
    return s;
  }
  return Configure(installation, plan);
}

}  // namespace

Status ClusterJoin(const JoinOptions& options) {
  const Result<Installation> installation = FindInstallation(options.bindir);
  if (!installation.ok()) {
    return installation.status();
  }
  const Result<std::string> token = ReadToken(options.token);
  if (!token.ok()) {
    return token.status();
  }
  if (Status s = CheckOwnSettings(options.settings); !s.ok()) {
    return s;
  }
  const Result<identity::Endpoint> contact = identity::Endpoint::Parse(options.cluster_address);
  if (!contact.ok()) {
    return InvalidArgument("--cluster-address \"" + options.cluster_address + "\" is no HOST:PORT");
  }
  Result<SetupPlan> plan = PlanSetup(options, options.node_id, options.listen, options.raft);
  if (!plan.ok()) {
    return plan.status();
  }
  if (Exists(plan.value().data) && !IsEmptyDirectory(plan.value().data)) {
    return WrongState("data directory " + plan.value().data.string() + " is not empty")
        .WithHint("A joining node begins with an empty one. Move the directory away first.");
  }
  plan.value().socket_directory = options.socket_directory;
  plan.value().settings = options.settings;
  plan.value().hba_lines = options.hba_lines;
  plan.value().node.witness = options.witness;
  SetupGuard guard(plan.value());
  if (Status s = guard.Prepare(); !s.ok()) {
    return s;
  }
  bool admitted = false;
  Status joined = Join(installation.value(), token.value(), contact.value(), options.insecure,
                       plan.value(), &admitted);
  if (!joined.ok()) {
    guard.Undo(true);
    if (admitted && joined.hint().empty()) {
      return std::move(joined).WithHint(
          "The cluster has admitted the node already. Before the next try run on the primary: "
          "SELECT system.remove_member('" +
          options.node_id + "')");
    }
    return joined;
  }
  Say("node " + options.node_id + " is a " + (options.witness ? "witness" : "member") +
      " of cluster " + plan.value().node.cluster_name +
      "; start it with: pgquorum node start --data " + plan.value().data.string());
  return Status::Ok();
}

}  // namespace pgquorum::cli
