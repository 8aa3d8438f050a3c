// How a node becomes a member: what it asks, what it is given, and the client that asks
// (docs/design/0001-anatomy-of-a-node.md).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "bgworkers/transport/token.h"

namespace pgquorum::transport {

struct JoinRequest {
  std::string secret;  // of the token, 16 bytes; filled in by JoinClient
  std::string node_name;
  std::string listen_host;  // where clients and nodes reach PostgreSQL
  uint16_t listen_port = 0;
  std::string raft_host;  // where nodes reach the transport
  uint16_t raft_port = 0;
  uint64_t system_identifier = 0;           // 0: the data directory will be copied from the cluster
  std::string certificate_signing_request;  // PEM, see CreateNodeKey()
  bool witness = false;                     // wants to vote and to hold no data
};

struct JoinMember {
  uint64_t raft_node_id = 0;
  std::string name;
  std::string listen_host;
  uint16_t listen_port = 0;
  std::string raft_host;
  uint16_t raft_port = 0;
  bool operator==(const JoinMember&) const = default;
};

struct JoinResponse {
  std::string cluster_name;
  uint64_t cluster_id = 0;
  uint64_t raft_node_id = 0;  // of the new member
  uint64_t system_identifier = 0;
  uint64_t primary_node_id = 0;  // one of `members`; 0 when there is none now
  std::vector<JoinMember> members;
  std::string ca_certificate;    // PEM
  std::string ca_key;            // PEM; empty for a witness, which admits nobody
  std::string node_certificate;  // PEM
  // "Ask there": set by a member that cannot decide itself; everything above is then empty.
  std::string leader_raft_host;
  uint16_t leader_raft_port = 0;
};

// Gives the owner's answer; from any thread, once, also after the transport has stopped.
using JoinAnswer = std::function<void(Result<JoinResponse>)>;

class JoinClient {
 public:
  struct Options {
    int timeout_ms = 30'000;  // for all, redirections included
    // Plain TCP: the token's fingerprint proves nothing then. Only for clusters that run without
    // TLS.
    bool insecure = false;
  };

  // Asks the member at host:port (its raft address). The TLS peer must present the CA that the
  // token names before a byte of the request is sent; a redirection to the leader is followed, with
  // the same check.
  //
  // Errors: 08006 (not reachable, or not in time), RX004 (another CA than the token's), 22023 (the
  // token), and what the cluster answered.
  static Result<JoinResponse> Join(const std::string& host, uint16_t port, const JoinToken& token,
                                   JoinRequest request, const Options& options);
};

}  // namespace pgquorum::transport
