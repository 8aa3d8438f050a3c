// A state directory on its way to another place (pgquorum node move-state): the file `moving`, in
// both directories. Where it lies no server starts as a member, so neither the original nor the
// copy votes before the other one cannot.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace pgquorum::identity {

inline constexpr char kMovingFile[] = "moving";

struct MoveOrder {
  // kCopied: the copy is whole and durable. The move can only be finished; the original is given
  // up.
  enum class Phase { kCopying, kCopied };
  uint64_t cluster_id = 0;
  uint64_t raft_node_id = 0;
  std::string from;  // absolute, as `to`
  std::string to;
  Phase phase = Phase::kCopying;
  // The copy's Raft directory (FileSystem::DirectoryNumber): a copy of the copy is not taken for
  // it. 0: not known yet, or the node has no log.
  uint64_t raft_directory = 0;
  bool operator==(const MoveOrder&) const = default;

  std::string Format() const;
  static Result<MoveOrder> Parse(std::string_view text);
};

// Why a server with this order in its state directory stays closed, and what to do: one line.
std::string WhyMoving(const MoveOrder& order);

}  // namespace pgquorum::identity

#include "base/pure.h"
