// What the Raft host measures, in the form that shared memory holds for the views.
#pragma once

#include "extension/raft_metrics.h"
#include "raftlog/runtime/host.h"

namespace pgquorum::consensus {

shared::RaftMetricsView RaftMetrics(const raft::HostStatus& status, uint64_t leader_changes);

}  // namespace pgquorum::consensus

#include "base/pure.h"
