// STATE/peers: the members as this node last knew them. Only addresses: who may vote is in the Raft
// log. A node that has just joined, or lost its log, needs them to be reachable by the leader.
//
// Written by the command line at `cluster join`, then by the consensus worker whenever the
// membership changes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "extension/identity/identity.h"
#include "extension/identity/text_record.h"

namespace pgquorum::identity {

inline constexpr char kPeersFile[] = "peers";
inline constexpr std::size_t kMaxPeers = 64;

struct Peer {
  uint64_t raft_node_id = 0;
  std::string name;
  Endpoint listen;
  Endpoint raft;
  bool operator==(const Peer&) const = default;
};

struct Peers {
  uint64_t cluster_id = 0;
  std::vector<Peer> members;
  bool operator==(const Peers&) const = default;

  std::string Format() const;
  static Result<Peers> Parse(std::string_view text);
};

// A list of members inside of a record: `list` is the key of its length, `one` begins those of its
// elements. XX001 when it is malformed or longer than kMaxPeers.
void PutPeers(TextRecord& record, const std::string& list, const std::string& one,
              const std::vector<Peer>& peers);
Result<std::vector<Peer>> GetPeers(const TextRecord& record, const std::string& list,
                                   const std::string& one);

}  // namespace pgquorum::identity

#include "base/pure.h"
