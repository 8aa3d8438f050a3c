// The certificates of a node in its state directory (docs/design/0001-anatomy-of-a-node.md), and
// the request that brings them to a joining node.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "extension/cli/files.h"
#include "extension/identity/identity.h"
#include "extension/identity/peers.h"

namespace pgquorum::cli {

struct Admission {
  std::string cluster_name;
  uint64_t cluster_id = 0;
  uint64_t raft_node_id = 0;
  uint64_t system_identifier = 0;
  uint64_t primary = 0;  // raft node id; 0: the cluster has none now
  std::vector<identity::Peer> members;
};

// Makes this node's key, asks the member at `contact` to admit the node, and writes what it answers
// to `pki`. The member is believed only when its certificate is of the CA that the token names;
// with `insecure` (plain TCP) nothing proves who answers.
Result<Admission> AskToJoin(const fs::path& pki, const std::string& token,
                            const identity::Endpoint& contact, const identity::NodeIdentity& node,
                            bool insecure);

}  // namespace pgquorum::cli
