#include "bgworkers/consensus/raft_options.h"

#include <algorithm>

#include "base/pure.h"

namespace pgquorum::consensus {
namespace {

constexpr uint64_t kNsOfMs = 1'000'000;
// Each tick wakes a thread: no more of them than the heartbeat needs, and none longer than what a
// pause of the process may last before it is noticed.
constexpr uint64_t kMinTicksOfHeartbeat = 4;
constexpr uint64_t kMaxTickMs = 25;

uint64_t RoundUp(uint64_t value, uint64_t unit) {
  return (value + unit - 1) / unit;
}

}  // namespace

void Apply(const raft_settings::Values& values, raft::Options& options) {
  uint64_t heartbeat_ms = static_cast<uint64_t>(values.heartbeat_ms);
  uint64_t beats = std::max(kMinTicksOfHeartbeat, RoundUp(heartbeat_ms, kMaxTickMs));
  options.tick_ns = heartbeat_ms * kNsOfMs / beats;
  options.heartbeat_ticks = static_cast<uint32_t>(beats);
  auto ticks = [&options](int ms) {
    return static_cast<uint32_t>(RoundUp(static_cast<uint64_t>(ms) * kNsOfMs, options.tick_ns));
  };
  options.election_ticks = ticks(values.election_timeout_ms);
  options.election_ticks_max = std::max(options.election_ticks + 1, ticks(values.longest_ms()));
  options.max_entries_per_append = static_cast<uint32_t>(values.max_entries_per_append);
}

}  // namespace pgquorum::consensus
