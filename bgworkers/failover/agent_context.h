// Internal to the agent: what its rules look at, worked out once per step.
#pragma once

#include "bgworkers/failover/agent.h"
#include "bgworkers/failover/bug.h"

namespace pgquorum::failover {

// How this node's WAL relates to the appointed primary's history.
enum class Fit : uint8_t {
  kUnknown,       // the primary has not reported its promotion yet, or replay is not settled here
  kContained,     // can stream
  kDiverged,      // has WAL that the primary has not: rewind
  kIncompatible,  // a timeline id was used twice, or nothing in common: re-clone
};

struct Agent::Context {
  explicit Context(const AgentInputs& in)
      : cluster(in.cluster),
        facts(in.facts),
        peers(in.peers),
        now(in.now),
        lease_deadline(in.lease_deadline),
        current(in.current),
        settings(in.cluster.settings()),
        app(in.cluster.appointment()),
        recruiting(in.cluster.recruiting() ? &*in.cluster.recruiting() : nullptr) {}

  const ClusterState& cluster;
  const LocalFacts& facts;
  const PeerViews& peers;
  TimeNs now;
  TimeNs lease_deadline;
  bool current;
  const Settings& settings;
  const Appointment& app;
  const Recruiting* recruiting;

  // The appointment names this node and this start of it, and nothing supersedes it.
  bool mine = false;
  // This node is the primary of the rule, restarted: it may ask for resume.
  bool resumable = false;
  // Revoked by a switchover while it was the primary.
  bool handing_over = false;
  bool must_pledge = false;
  bool member = false;  // of the applied state
  // The appointed primary (another node), promoted on the assigned timeline by the named start.
  const NodeReport* primary = nullptr;
  Fit fit = Fit::kUnknown;
  const FailoverRequest* draining = nullptr;  // switchover away from this node
  Position position;                          // what counts of the local history

  bool Following(NodeId node, Timeline timeline) const {
    return facts.upstream == node && facts.upstream_timeline == timeline;
  }
  bool Stopped() const { return !facts.upstream && !facts.receiver_running; }
  bool Broken() const {
    return (facts.repair_running || facts.repair_interrupted || facts.restored) &&
           !PGQUORUM_FAILOVER_BUG(kRepairInSet);
  }
  bool LeaseValid() const { return lease_deadline > now; }
};

// The local history without a timeline that was begun by hand, cut to assigned timelines.
Position EffectivePosition(const ClusterState& cluster, const LocalFacts& facts);

}  // namespace pgquorum::failover

#include "base/pure.h"
