// Sandboxes: whole clusters below one directory, for demos, tests and trying things.
//
//   DIR/sandbox.json        what runs where
//   DIR/node1/data, state   data and state directory
//   DIR/node1/keeper.lock   locked by the node's keeper while it lives
//   DIR/node1/server.log    output of the server
//
// Each node has a keeper: the parent of its postmaster, and by prctl of everything that its
// postmaster leaves behind. So "the whole node" is what is below the keeper, dead servers are
// reaped whatever process 1 is, and the keeper restarts a dead server when asked to, as a service
// manager would.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "extension/cli/files.h"
#include "extension/cli/process.h"
#include "extension/cli/server.h"

namespace pgquorum::cli {

struct SandboxNode {
  std::string id;
  std::string host;
  uint16_t port = 0;
  uint16_t raft_port = 0;
  std::string network_namespace;  // empty: the caller's
  bool witness = false;
};

struct Sandbox {
  fs::path dir;
  fs::path bindir;
  fs::path sockets;     // directory of the Unix sockets; made by us when outside of `dir`
  std::string account;  // that the servers run as
  bool supervise = false;
  std::vector<SandboxNode> nodes;

  fs::path Home(const SandboxNode& node) const { return dir / node.id; }
  fs::path Data(const SandboxNode& node) const { return Home(node) / "data"; }
  fs::path State(const SandboxNode& node) const { return Home(node) / "state"; }
  fs::path Log(const SandboxNode& node) const { return Home(node) / "server.log"; }
  Result<SandboxNode> Find(const std::string& id) const;
  // For clients that want the primary.
  std::string Url() const;
  std::string NodeConninfo(const SandboxNode& node) const;

  Status Save() const;
  static Result<Sandbox> Load(const std::string& dir);
};

struct SandboxUpOptions {
  std::string dir;
  std::string bindir;
  int nodes = 3;
  int port = 7000;
  std::vector<std::string> hosts;       // one for each node; empty: 127.0.0.1 for all
  std::vector<std::string> namespaces;  // one for each node; empty: none
  std::vector<std::string> settings;    // NAME=VALUE for postgresql.conf
  bool supervise = false;
  bool witness = false;  // the last node is one
  int timeout_s = 120;
};
Status SandboxUp(const SandboxUpOptions& options);

struct SandboxStatusOptions {
  std::string dir;
  bool json = false;
};
// Sets *healthy: every node runs and the cluster says that all are well.
Status SandboxStatus(const SandboxStatusOptions& options, bool* healthy);

struct SandboxNodeOptions {
  std::string dir;
  std::string node;
  bool postmaster_only = false;  // kill
  std::string mode = "fast";     // stop
};
Status SandboxKill(const SandboxNodeOptions& options);
Status SandboxPause(const SandboxNodeOptions& options);
Status SandboxResume(const SandboxNodeOptions& options);
Status SandboxStart(const SandboxNodeOptions& options);
Status SandboxStop(const SandboxNodeOptions& options);
// Kills every node and removes the sandbox's files.
Status SandboxDown(const std::string& dir);

// ---- keepers ---------------------------------------------------------------------------------

// The keeper's own program (a hidden verb); returns when its node is gone.
Status SandboxKeep(const std::string& dir, const std::string& node_id);

// The keeper of the node, 0 when there is none.
pid_t FindKeeper(const Sandbox& sandbox, const SandboxNode& node);
// Starts a keeper, which starts the server. Does not wait for the server.
Status StartKeeper(const Sandbox& sandbox, const SandboxNode& node);
// SIGKILL to the whole node; returns when every process of it is gone.
Status KillNode(const Sandbox& sandbox, const SandboxNode& node);
// Until the keeper has ended, which it does when every process of the node is gone and none is to
// be started again.
Status AwaitKeeperEnd(const SandboxNode& node, pid_t keeper);

}  // namespace pgquorum::cli
