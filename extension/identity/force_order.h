// A person's decision that a cluster goes on without most of its voters
// (docs/design/0011-forced-quorum.md). The same bytes in three places, so that nobody has to know
// more than one of them:
//
//   STATE/force_quorum   on the survivor that carries it out, from the command until the worker's
//                        start has put it into the Raft log
//   the context of the forced configuration entry, on every survivor
//   STATE/shut_out       on a node that was left out and has come back: closed for good
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "extension/identity/peers.h"

namespace pgquorum::identity {

inline constexpr char kForceOrderFile[] = "force_quorum";  // both in the state directory
inline constexpr char kShutOutFile[] = "shut_out";

struct ForceOrder {
  uint64_t cluster_id = 0;
  uint64_t generation = 0;      // random, never 0: tells this decision from every other
  uint64_t node = 0;            // a survivor: the one whose log takes it
  std::vector<Peer> survivors;  // ascending ids, as `lost`; no node is in both
  std::vector<Peer> lost;       // shut out: their ids never count again
  std::string requested_by;
  int64_t ordered_us = 0;  // UNIX microseconds
  bool operator==(const ForceOrder&) const = default;

  bool Survives(uint64_t raft_node_id) const;
  bool ShutsOut(uint64_t raft_node_id) const;

  std::string Format() const;
  static Result<ForceOrder> Parse(std::string_view text);
};

// "node2, node3"
std::string NamesOf(const std::vector<Peer>& peers);

// Why a node with this order in STATE/shut_out stays closed, and what to do: one line.
std::string WhyShutOut(const ForceOrder& order);

}  // namespace pgquorum::identity

#include "base/pure.h"
