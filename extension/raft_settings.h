// The settings that Raft's clock and messages go by, and how they must fit together. The preloaded
// library refuses to start with values that do not, and ALTER SYSTEM refuses to write them.
#pragma once

#include <string_view>

#include "base/status.h"

namespace pgquorum::raft_settings {

// As registry/settings/consensus.toml has them.
struct Values {
  int election_timeout_ms = 1000;    // the shortest wait of a follower
  int election_timeout_max_ms = -1;  // the longest; -1: twice the shortest
  int heartbeat_ms = 100;
  int max_entries_per_append = 100;

  int longest_ms() const {
    return election_timeout_max_ms == -1 ? 2 * election_timeout_ms : election_timeout_max_ms;
  }
};

struct Timing {
  const char* name;
  int Values::*field;  // milliseconds
};
inline constexpr Timing kTimings[] = {
    {"pgquorum.election_timeout", &Values::election_timeout_ms},
    {"pgquorum.election_timeout_max", &Values::election_timeout_max_ms},
    {"pgquorum.raft_heartbeat_interval", &Values::heartbeat_ms},
};

// 22023 with what to change. The range of each value alone is the server's business.
Status Check(const Values& values);

}  // namespace pgquorum::raft_settings

#include "base/pure.h"
