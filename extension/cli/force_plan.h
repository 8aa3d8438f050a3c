// What `cluster force-quorum` decides before it writes anything: pure, so that each refusal is
// tested without a cluster (docs/design/0011-forced-quorum.md).
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "extension/identity/force_order.h"
#include "raftlog/core.h"

namespace pgquorum::cli {

// The order for `self`, whose log takes it. `names` survive, everybody else is shut out: the
// members that this node knows, and those that its log names in addition. Errors: 22023 (the own
// node is not named), 42704 (no member), 55000 (nobody would be shut out).
Result<identity::ForceOrder> PlanForce(uint64_t self, const identity::Peers& members,
                                       const raft::Configuration& present,
                                       const std::vector<std::string>& names);

// 55000 when those that `answer`, with this node, are a majority: then nothing needs to be forced.
Status RefuseWithMajority(uint64_t self, const raft::Configuration& present,
                          const identity::Peers& members, const std::set<uint64_t>& answer);

// 55000 when a survivor's log is the longer one by Raft's order: the order belongs there.
Status RefuseBehind(const raft::LogPosition& own,
                    const std::vector<std::pair<std::string, raft::LogPosition>>& survivors);

// 55000 when nobody but this node survives and its data directory is `half_repaired`, which never
// serves: it could decide, and never write again.
Status RefuseWithoutCopy(const identity::ForceOrder& order, bool half_repaired);

}  // namespace pgquorum::cli

#include "base/pure.h"
