// The vocabulary of failover: nodes, epochs, timelines, positions. Plain values, ordered and cheap
// to copy.
#pragma once

#include <compare>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "base/strong_id.h"

namespace pgquorum::failover {

// Given by the Raft entry that adds the member, never reused. Equal to the node's Raft id.
using NodeId = StrongId<struct NodeIdTag>;
// Random, new at every start and every crash restart of the server.
using BootId = StrongId<struct BootIdTag>;
// PostgreSQL's byte position in the WAL and timeline number.
using Lsn = StrongId<struct LsnTag>;
using Timeline = StrongId<struct TimelineTag, uint32_t>;
// Names one verb of an administrator (switchover, forced failover), chosen at random by who asks.
using RequestId = StrongId<struct RequestIdTag>;

// Nanoseconds of this machine's CLOCK_BOOTTIME. Never compared between machines.
using TimeNs = int64_t;
inline constexpr TimeNs kMs = 1'000'000;
inline constexpr TimeNs kNever = std::numeric_limits<TimeNs>::max();

// The number of a leadership. `number` grows for ever, over generations too, and alone gives the
// order; `generation` is random and tells histories apart after force_quorum.
struct Epoch {
  uint64_t number = 0;
  uint64_t generation = 0;

  explicit operator bool() const { return number != 0; }
  auto operator<=>(const Epoch&) const = default;
};

// How far a history reaches: on `timeline`, up to the byte before `lsn`. Ordered by timeline first:
// timelines are assigned by Raft, so a later one beats a longer WAL.
struct Position {
  Timeline timeline;
  Lsn lsn;

  explicit operator bool() const { return static_cast<bool>(timeline); }
  auto operator<=>(const Position&) const = default;
};

// The ancestors of a timeline, oldest first, as in PostgreSQL's .history file: `timeline` was left
// at `end`.
struct TimelineSwitch {
  Timeline timeline;
  Lsn end;
  auto operator<=>(const TimelineSwitch&) const = default;
};

// One linear history: ancestors, then `timeline` up to `end`.
struct History {
  std::vector<TimelineSwitch> ancestors;
  Timeline timeline;
  Lsn end;

  bool operator==(const History&) const = default;

  // Where this history leaves `t` (`end` for the current one); zero when `t` is not part of it.
  Lsn EndOf(Timeline t) const;
  // A node whose WAL ends at `p` can stream from here without giving up a byte.
  bool Contains(Position p) const { return p.timeline && EndOf(p.timeline) >= p.lsn; }
  // Both name the same timelines with the same switch points as far as they overlap. False means
  // that one timeline id was used twice: only a re-clone helps.
  bool Compatible(const History& other) const;
};

std::string IdText(auto id) {
  return std::to_string(id.value());
}
std::string ToString(Epoch epoch);        // its number: "5"
std::string ToString(Position position);  // "t7:0/1A2B3C"
std::string ToString(Lsn lsn);            // "0/1A2B3C"

// Bounds of everything that is coded: a hostile message cannot make a node allocate beyond them.
inline constexpr std::size_t kMaxNodes = 64;
inline constexpr std::size_t kMaxNameLength = 31;
inline constexpr std::size_t kMaxTextLength = 1024;

}  // namespace pgquorum::failover

#include "base/pure.h"
