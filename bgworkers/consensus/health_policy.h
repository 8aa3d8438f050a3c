// How a member is judged from its last report: the words and numbers of system.cluster_health.
// Pure.
#pragma once

#include <cstdint>
#include <string>

#include "bgworkers/failover/cluster_state.h"
#include "bgworkers/failover/report.h"

namespace pgquorum::consensus {

enum class Health : uint8_t { kUnknown, kHealthy, kDegraded, kFailed, kFenced };

struct HealthInputs {
  const failover::ClusterState& cluster;
  failover::NodeId node;
  const failover::PeerView* view = nullptr;     // of the node; null: never heard of
  const failover::PeerView* primary = nullptr;  // of the primary; null: none, or never heard of
  failover::TimeNs now = 0;
};

struct HealthVerdict {
  Health health = Health::kUnknown;
  int32_t score = -1;      // 0 to 100; -1: unknown
  int64_t lag_bytes = -1;  // WAL that the primary has flushed and this node has not; -1: unknown
  int64_t lag_ms = -1;     // age of the oldest commit not replayed; -1: unknown
  std::string reason;      // why it is not healthy
};

// A standby further behind than this is not healthy.
inline constexpr int64_t kHealthyLagMs = 2000;
inline constexpr int64_t kHealthyLagBytes = int64_t{16} << 20;
// A node whose last report is older than this many heartbeat intervals is not known any more.
inline constexpr int64_t kStaleHeartbeats = 20;

HealthVerdict JudgeHealth(const HealthInputs& in);

}  // namespace pgquorum::consensus

#include "base/pure.h"
