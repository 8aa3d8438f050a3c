// Verbs of the administrator: planned switchover and forced failover.
#include <algorithm>

#include "bgworkers/failover/coordinator.h"
#include "bgworkers/failover/coordinator_views.h"

#include "base/pure.h"

namespace pgquorum::failover {
namespace {
// The checkpoint before the gate closes may take long; nothing is closed meanwhile.
constexpr int64_t kCheckpointPatience = 12;  // times switchover_timeout
}  // namespace

void Coordinator::HandleRequest(const In& in, Out& out) {
  const FailoverRequest* request = in.cluster.PendingRequest();
  if (request == nullptr) {
    request_seen_ = RequestId();
    return;
  }
  if (request->verb.id != request_seen_) {
    request_seen_ = request->verb.id;
    drain_since_ = 0;
    gate_closed_since_ = 0;
  }
  if (request->epoch) {
    return;  // the appointment that follows ends it
  }
  if (request->verb.kind == RequestKind::kSwitchover) {
    Switchover(in, *request, out);
    return;
  }
  Revoke revoke;
  revoke.current = in.cluster.highest_epoch();
  revoke.reason = Reason::kForced;
  revoke.request = request->verb.id;
  revoke.outage_began_us = in.wall_us;
  revoke.now_us = in.wall_us;
  revoke.accept_loss = request->verb.accept_loss;
  Propose(in, out, revoke);
}

void Coordinator::Switchover(const In& in, const FailoverRequest& request, Out& out) {
  const ClusterState& cluster = in.cluster;
  const Appointment& app = cluster.appointment();
  RequestId id = request.verb.id;
  if (!cluster.recruiting() && cluster.rule().primary == self_) {
    out.hand_over = request.verb.target;
  }
  if (!request.draining) {
    NodeId target = request.verb.target ? request.verb.target : ChooseTarget(in);
    std::string why_not = WhyNotSwitchover(in, target);
    if (!why_not.empty()) {
      Propose(in, out, FinishRequest{id, RequestOutcome::kRefused, why_not});
    } else {
      Propose(in, out, BeginDrain{id, app.epoch, target});
    }
    return;
  }
  if (drain_since_ == 0) {
    drain_since_ = in.now;
  }
  const NodeReport* primary = FreshReport(in, app.node);
  const NodeReport* target = FreshReport(in, request.verb.target);
  bool closed = primary != nullptr && !primary->gate_open;
  if (closed && gate_closed_since_ == 0) {
    gate_closed_since_ = in.now;
  }
  bool drained = primary != nullptr && primary->boot == app.boot && primary->drained == id;
  if (drained && target != nullptr && Streams(in, *target) &&
      target->receive_lsn >= primary->drained_lsn) {
    Revoke revoke;
    revoke.current = cluster.highest_epoch();
    revoke.reason = Reason::kSwitchover;
    revoke.request = id;
    revoke.outage_began_us = in.wall_us - (in.now - gate_closed_since_) / 1000;
    revoke.now_us = in.wall_us;
    Propose(in, out, revoke);
    return;
  }
  TimeNs timeout = cluster.settings().switchover_timeout;
  TimeNs ends = drain_since_ + kCheckpointPatience * timeout;
  if (gate_closed_since_ != 0) {
    ends = std::min(ends, gate_closed_since_ + timeout);
  }
  WakeAt(out, in.now, ends);
  out.waiting_for = drained ? "the target to receive the last WAL" : "the primary to drain";
  std::string failure;
  if (target == nullptr || !Streams(in, *target)) {
    failure = "the target " + cluster.NameOf(request.verb.target) + " stopped streaming";
  } else if (in.now >= ends) {
    failure = "timed out waiting for " + out.waiting_for;
  }
  if (!failure.empty()) {
    Propose(in, out, FinishRequest{id, RequestOutcome::kFailed, failure});
  }
}

std::string Coordinator::WhyNotSwitchover(const In& in, NodeId target) const {
  const ClusterState& cluster = in.cluster;
  if (!target) {
    return "no standby is fit to become the primary";
  }
  std::string name = "node " + cluster.NameOf(target);
  const NodeReport* primary = FreshReport(in, cluster.rule().primary);
  const NodeReport* report = FreshReport(in, target);
  if (cluster.recruiting() || !cluster.appointment().settled || primary == nullptr ||
      primary->boot != cluster.appointment().boot || primary->pg != PgState::kPrimary) {
    return "there is no settled primary to switch over from";
  }
  if (!cluster.rule().IsVoter(target)) {
    return name + " is not a voter";
  }
  if (cluster.FindMember(target)->state == MemberState::kLeaving) {
    return name + " is leaving the cluster";
  }
  if (report == nullptr) {
    return name + " does not answer";
  }
  if (!Healthy(*report)) {
    return name + " is not healthy";
  }
  if (!Streams(in, *report)) {
    return name + " does not stream from the primary";
  }
  uint64_t end = primary->history.end.value();
  uint64_t received = report->receive_lsn.value();
  if (end > received && end - received > cluster.settings().max_switchover_lag) {
    return name + " lags by " + std::to_string(end - received) + " bytes, more than " +
           std::to_string(cluster.settings().max_switchover_lag);
  }
  if (!EnoughAnswer(in, /*without_primary=*/false)) {
    return "too few voters answer";
  }
  return "";
}

NodeId Coordinator::ChooseTarget(const In& in) const {
  NodeId best;
  auto rank = [&in](NodeId node) {
    return std::make_pair(in.cluster.FindMember(node)->info.priority,
                          AnyReport(in, node)->receive_lsn);
  };
  for (NodeId voter : in.cluster.rule().voters) {
    if (voter == in.cluster.rule().primary || !WhyNotSwitchover(in, voter).empty() ||
        in.cluster.FindMember(voter)->info.priority == 0) {
      continue;
    }
    if (!best || rank(voter) > rank(best)) {
      best = voter;
    }
  }
  return best;
}

}  // namespace pgquorum::failover
