// The verbs. Each takes its parsed options and returns a Status, or an exit code where "it works,
// but the answer is no" is an answer of its own.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"

namespace pgquorum::cli {

struct NodeOptions {
  std::string data;
  std::string bindir;
  std::string state_directory;  // empty: the data directory's path plus ".pgquorum"
};

struct InitOptions : NodeOptions {
  std::string node_id;
  std::string cluster;
  std::string listen;
  std::string raft;
  std::string socket_directory;
  std::vector<std::string> settings;  // NAME=VALUE
  std::vector<std::string> hba_lines;
};
Status NodeInit(const InitOptions& options);

struct JoinOptions : NodeOptions {
  std::string token;  // "-": read from standard input, so that it is in no process list
  std::string node_id;
  std::string cluster_address;
  bool insecure = false;  // the cluster runs with pgquorum.tls = off
  bool witness = false;
  std::vector<std::string> settings;   // of a witness: NAME=VALUE
  std::vector<std::string> hba_lines;  // of a witness
  std::string listen;
  std::string raft;
  std::string socket_directory;
};
Status ClusterJoin(const JoinOptions& options);

struct StartOptions : NodeOptions {
  std::string log;  // empty: server.log in the state directory
  int timeout_s = 60;
};
Status NodeStart(const StartOptions& options);

struct StopOptions : NodeOptions {
  std::string mode = "fast";
  int timeout_s = 60;
};
Status NodeStop(const StopOptions& options);

struct MoveStateOptions {
  std::string data;
  std::string to;
  bool json = false;
};
Status NodeMoveState(const MoveStateOptions& options);

struct TokenOptions : NodeOptions {
  std::string url;
  int lifetime_s = 3600;
};
Status ClusterToken(const TokenOptions& options);

struct StatusOptions {
  std::string data;
  std::string url;
  bool json = false;
};
// Sets *healthy.
Status ClusterStatus(const StatusOptions& options, bool* healthy);

struct FailoverOptions {
  std::string data;
  std::string url;
  std::string to;            // empty: the cluster chooses
  bool immediate = false;    // without the checks of health and lag
  bool accept_loss = false;  // also without a full quorum; only with `immediate`
  int timeout_s = 60;
  bool json = false;
};
Status ClusterFailover(const FailoverOptions& options);

struct ForceQuorumOptions {
  std::string data;
  std::vector<std::string> nodes;  // the survivors, this one among them
  bool confirm_data_loss = false;
  bool json = false;
};
Status ClusterForceQuorum(const ForceQuorumOptions& options);

}  // namespace pgquorum::cli
