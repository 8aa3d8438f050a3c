// Internal to the state machine: small predicates and refusals.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "bgworkers/failover/cluster_state.h"

namespace pgquorum::failover {

inline bool Contains(const std::vector<NodeId>& nodes, NodeId node) {
  return std::find(nodes.begin(), nodes.end(), node) != nodes.end();
}

inline bool Sorted(const std::vector<NodeId>& nodes) {  // and without duplicates
  return std::adjacent_find(nodes.begin(), nodes.end(), std::greater_equal<>()) == nodes.end();
}

inline ApplyResult Refused(std::string detail) {
  return {Status::Error("RX002", "the cluster's state does not allow this change")
              .WithDetail(std::move(detail)),
          NodeId(), Timeline()};
}

inline ApplyResult Superseded(Epoch asked, Epoch highest) {
  return {Status::Error("RX101", "epoch " + ToString(asked) + " has been superseded")
              .WithDetail("the highest epoch is " + ToString(highest)),
          NodeId(), Timeline()};
}

}  // namespace pgquorum::failover

#include "base/pure.h"
