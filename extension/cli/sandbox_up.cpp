// pgquorum sandbox up: a cluster made by the same verbs that an administrator uses, one child
// process each, so that it is also a test of them.
#include <array>
#include <cstdlib>
#include <functional>

#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "extension/cli/await.h"
#include "extension/cli/console.h"
#include "extension/cli/sandbox.h"
#include "extension/cli/sql.h"
#include "extension/identity/files.h"
#include "extension/identity/identity.h"

namespace pgquorum::cli {
namespace {

using std::chrono::milliseconds;

constexpr int kMaxNodes = 16;
constexpr char kTrustLocal[] = "local all all trust";
constexpr char kTrustNetwork[] = "host all all samenet trust";
// sockaddr_un holds 107 characters, of which "/.s.PGSQL.65535" needs 15.
constexpr std::size_t kMaxSocketDirectory = 90;

Status CheckOptions(const SandboxUpOptions& options) {
  if (options.nodes < 1 || options.nodes > kMaxNodes) {
    return InvalidArgument("a sandbox has 1 to " + std::to_string(kMaxNodes) + " nodes");
  }
  if (options.port < 1024 || options.port + 2 * options.nodes > 65536) {
    return InvalidArgument("port " + std::to_string(options.port) + " is out of range")
        .WithDetail("The nodes take ports PORT to PORT + 2 x NODES - 1, above 1023.");
  }
  if (options.witness && options.nodes < 2) {
    return InvalidArgument("a witness alone is no cluster: --witness makes the last node one");
  }
  const auto count = static_cast<std::size_t>(options.nodes);
  if ((!options.hosts.empty() && options.hosts.size() != count) ||
      (!options.namespaces.empty() && options.namespaces.size() != count)) {
    return InvalidArgument("--hosts and --namespaces name one for each of the nodes");
  }
  return Status::Ok();
}

// A port that somebody uses would make a node fail later, with less to say.
Status CheckPortFree(const std::string& host, uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* list = nullptr;
  if (const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
      error != 0) {
    return InvalidArgument("host \"" + host + "\" is unknown").WithDetail(gai_strerror(error));
  }
  const int fd = socket(list->ai_family, list->ai_socktype | SOCK_CLOEXEC, list->ai_protocol);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const bool free = bind(fd, list->ai_addr, list->ai_addrlen) == 0;
  const Status taken =
      free ? Status::Ok()
           : SystemErrorErrno("cannot use port " + std::to_string(port) + " of " + host);
  close(fd);
  freeaddrinfo(list);
  return taken;
}

Status MakeDirectories(Sandbox& sandbox, const Account& account) {
  if (Exists(sandbox.dir / "sandbox.json")) {
    return WrongState("there is a sandbox in " + sandbox.dir.string() + " already")
        .WithHint("Remove it with: pgquorum sandbox down --dir " + sandbox.dir.string());
  }
  std::error_code error;
  fs::create_directories(sandbox.dir, error);
  if (error) {
    return SystemError("could not create directory " + sandbox.dir.string() + ": " +
                       error.message());
  }
  Command reachable;
  reachable.argv = {"/usr/bin/test", "-x", sandbox.dir.string()};
  reachable.account = account;
  const Result<Outcome> outcome = Run(reachable);
  if (!outcome.ok() || !outcome.value().ok()) {
    return InvalidArgument("account " + account.name + " cannot reach " + sandbox.dir.string())
        .WithDetail("Servers do not run as root, but as " + account.name + ".")
        .WithHint("Choose a directory below /tmp or /var/tmp.");
  }
  sandbox.sockets = sandbox.dir / "sockets";
  if (sandbox.sockets.string().size() > kMaxSocketDirectory) {
    std::string pattern = "/tmp/pgquorum-XXXXXX";
    if (mkdtemp(pattern.data()) == nullptr) {
      return SystemErrorErrno("could not create a directory for sockets");
    }
    sandbox.sockets = pattern;
    if (geteuid() == 0 && chown(pattern.c_str(), account.uid, account.gid) != 0) {
      return SystemErrorErrno("could not change the owner of " + pattern);
    }
  }
  std::vector<fs::path> directories = {sandbox.sockets};
  for (const SandboxNode& node : sandbox.nodes) {
    directories.push_back(sandbox.Home(node));
  }
  for (const fs::path& directory : directories) {
    if (Status s = EnsurePrivateDirectory(directory, account.uid, account.gid); !s.ok()) {
      return s;
    }
    chmod(directory.c_str(), 0755);  // clients of any account come through the sockets
  }
  return Status::Ok();
}

Command OwnVerb(const SandboxNode& node, std::vector<std::string> words) {
  Command command;
  command.argv = {OwnProgram().string()};
  command.argv.insert(command.argv.end(), words.begin(), words.end());
  command.network_namespace = node.network_namespace;
  return command;
}

std::vector<std::string> NodeArguments(const Sandbox& sandbox, const SandboxNode& node) {
  return {"--node-id",
          node.id,
          "--data",
          sandbox.Data(node).string(),
          "--state-directory",
          sandbox.State(node).string(),
          "--listen",
          identity::Endpoint{node.host, node.port}.Format(),
          "--raft",
          identity::Endpoint{node.host, node.raft_port}.Format(),
          "--socket-directory",
          sandbox.sockets.string(),
          "--bindir",
          sandbox.bindir.string()};
}

std::string LogTail(const Sandbox& sandbox, const SandboxNode& node) {
  const Result<std::string> text = identity::ReadFile(sandbox.Log(node), std::size_t{64} << 20);
  const std::string all = text.ok() ? text.value() : "";
  return "The end of " + sandbox.Log(node).string() + ":\n" +
         all.substr(all.size() > 1500 ? all.find('\n', all.size() - 1500) + 1 : 0);
}

// Repeats until `ready`; an error that ends with the node's log when the deadline passes.
Status Await(const Sandbox& sandbox, const SandboxNode& node, const std::string& what,
             SteadyTime deadline, const std::function<Status()>& ready) {
  Status last;
  const bool came = AwaitUntil(deadline, milliseconds(50), [&] {
    last = ready();
    return last.ok() ||
           FindKeeper(sandbox, node) == 0;  // without a server there is no use in waiting
  });
  if (came && last.ok()) {
    return last;
  }
  return SystemError(what + " (" + OneLine(last.message()) + ")")
      .WithDetail(LogTail(sandbox, node));
}

Status QueryIsTrue(const std::string& conninfo, const std::string& sql) {
  Result<Connection> connection = Connection::Open(conninfo);
  if (!connection.ok()) {
    return connection.status();
  }
  const Result<Rows> rows = connection.value().Query(sql);
  if (!rows.ok()) {
    return rows.status();
  }
  const bool yes = rows.value().values.size() == 1 && rows.value().values[0][0] == "t";
  return yes ? Status::Ok() : WrongState("not yet");
}

class Builder {
 public:
  Builder(Sandbox& sandbox, const SandboxUpOptions& options)
      : sandbox_(sandbox),
        options_(options),
        deadline_(After(std::chrono::seconds(options.timeout_s))) {}

  Status First() {
    const SandboxNode& node = sandbox_.nodes.front();
    Say(node.id + ": creating the first node");
    // What no real node gets: everybody on the same machine (or test network) comes in without a
    // password. The joining nodes copy these lines with the base backup.
    std::vector<std::string> words = {"node",  "init",      "--cluster", "sandbox",
                                      "--hba", kTrustLocal, "--hba",     kTrustNetwork};
    for (const std::string& setting : options_.settings) {
      words.insert(words.end(), {"--set", setting});
    }
    if (Status s = RunVerb(node, std::move(words), "create node " + node.id); !s.ok()) {
      return s;
    }
    if (Status s = StartKeeper(sandbox_, node); !s.ok()) {
      return s;
    }
    return AwaitHealthy(node, 1, "node " + node.id + " did not become primary");
  }

  Status Next(const SandboxNode& node) {
    const SandboxNode& first = sandbox_.nodes.front();
    Say(node.id + ": joining");
    Command ask = OwnVerb(first, {"cluster", "token", "--data", sandbox_.Data(first).string()});
    const Result<Outcome> token = RunOrFail(ask, "get a join token");
    if (!token.ok()) {
      return token.status();
    }
    const std::string contact = identity::Endpoint{first.host, first.raft_port}.Format();
    const std::string text = token.value().out.substr(0, token.value().out.find('\n'));
    std::vector<std::string> words = {"cluster",           "join", "--token", text,
                                      "--cluster-address", contact};
    if (node.witness) {
      // It copies nothing, so these do not come along either.
      words.insert(words.end(), {"--witness", "--hba", kTrustLocal, "--hba", kTrustNetwork});
      for (const std::string& setting : options_.settings) {
        words.insert(words.end(), {"--set", setting});
      }
    }
    if (Status s = RunVerb(node, std::move(words), "join node " + node.id); !s.ok()) {
      return s;
    }
    return StartKeeper(sandbox_, node);
  }

  Status AllHealthy() {
    Say("waiting until all nodes are healthy");
    return AwaitHealthy(sandbox_.nodes.back(), sandbox_.nodes.size(),
                        "the cluster did not become healthy");
  }

 private:
  // Until `node` sees so many healthy nodes, one of them primary.
  Status AwaitHealthy(const SandboxNode& node, std::size_t count, const std::string& otherwise) {
    const std::string sql =
        "SELECT count(*) FILTER (WHERE status = 'healthy') = " + std::to_string(count) +
        " AND count(*) FILTER (WHERE role = 'primary') = 1 "
        "FROM system.cluster_health";
    return Await(sandbox_, node, otherwise, deadline_,
                 [&] { return QueryIsTrue(sandbox_.NodeConninfo(node), sql); });
  }

  Status RunVerb(const SandboxNode& node, std::vector<std::string> words, const std::string& what) {
    const std::vector<std::string> rest = NodeArguments(sandbox_, node);
    words.insert(words.end(), rest.begin(), rest.end());
    return RunOrFail(OwnVerb(node, std::move(words)), what).status();
  }

  Sandbox& sandbox_;
  const SandboxUpOptions& options_;
  const SteadyTime deadline_;
};

Status Build(Sandbox& sandbox, const SandboxUpOptions& options) {
  Builder builder(sandbox, options);
  if (Status s = builder.First(); !s.ok()) {
    return s;
  }
  for (std::size_t i = 1; i < sandbox.nodes.size(); ++i) {
    if (Status s = builder.Next(sandbox.nodes[i]); !s.ok()) {
      return s;
    }
  }
  return builder.AllHealthy();
}

}  // namespace

Status SandboxUp(const SandboxUpOptions& options) {
  if (Status s = CheckOptions(options); !s.ok()) {
    return s;
  }
  const Result<Installation> installation = FindInstallation(options.bindir);
  if (!installation.ok()) {
    return installation.status();
  }
  Sandbox sandbox;
  sandbox.dir = Absolute(options.dir);
  sandbox.bindir = installation.value().bindir;
  sandbox.supervise = options.supervise;
  for (int i = 0; i < options.nodes; ++i) {
    const auto n = static_cast<std::size_t>(i);
    SandboxNode node;
    node.id = "node" + std::to_string(i + 1);
    node.host = options.hosts.empty() ? "127.0.0.1" : options.hosts[n];
    node.port = static_cast<uint16_t>(options.port + i);
    node.raft_port = static_cast<uint16_t>(options.port + options.nodes + i);
    node.network_namespace = options.namespaces.empty() ? "" : options.namespaces[n];
    node.witness = options.witness && i == options.nodes - 1;
    for (const uint16_t port : {node.port, node.raft_port}) {
      // Another namespace has ports, and addresses, of its own.
      const Status free =
          node.network_namespace.empty() ? CheckPortFree(node.host, port) : Status::Ok();
      if (!free.ok()) {
        return free;
      }
    }
    sandbox.nodes.push_back(node);
  }
  const Result<Account> account = ServerAccount(sandbox.dir);
  if (!account.ok()) {
    return account.status();
  }
  sandbox.account = account.value().name;
  if (Status s = MakeDirectories(sandbox, account.value()); !s.ok()) {
    return s;
  }
  if (Status s = sandbox.Save(); !s.ok()) {
    return s;
  }
  if (const Status built = Build(sandbox, options); !built.ok()) {
    // Everything stays where it is, so that the logs can be read.
    return Status::Error(built.sqlstate(), built.message())
        .WithDetail(built.detail())
        .WithHint("Remove the sandbox with: pgquorum sandbox down --dir " + sandbox.dir.string());
  }
  Say("ready: " + sandbox.Url());
  return Status::Ok();
}

}  // namespace pgquorum::cli
