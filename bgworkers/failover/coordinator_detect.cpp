// Is the primary gone, and would a failover succeed?
#include <algorithm>

#include "bgworkers/failover/coordinator.h"
#include "bgworkers/failover/coordinator_views.h"

#include "base/pure.h"

namespace pgquorum::failover {

// Missed heartbeats may be the heartbeats' fault: voters still receive new WAL from the primary, or
// this node was stalled itself.
bool Coordinator::CounterEvidence(const In& in, NodeId primary) const {
  const Settings& settings = in.cluster.settings();
  auto fresh_ms = static_cast<uint32_t>(settings.failure_timeout / (2 * kMs));
  const NodeReport* own = AnyReport(in, self_);
  if (own != nullptr && own->stalled_ms > fresh_ms) {
    return true;
  }
  for (NodeId voter : in.cluster.rule().voters) {
    const NodeReport* report = voter == primary ? nullptr : FreshReport(in, voter);
    if (report != nullptr && Streams(in, *report) && report->receive_age_ms < fresh_ms) {
      return true;
    }
  }
  return false;
}

Coordinator::Evidence Coordinator::Judge(const In& in, Out& out) {
  const Settings& settings = in.cluster.settings();
  const Appointment& app = in.cluster.appointment();
  const PeerView* view = FindView(in, app.node);
  TimeNs last_sign = in.raft.leader_since;
  if (view != nullptr && view->report) {
    last_sign = view->received_at;
  }
  if (view != nullptr && view->reset_at != 0 && view->listener_refused) {
    return {Reason::kPostmasterGone, std::min(last_sign, view->reset_at)};
  }
  TimeNs silent_at = last_sign + settings.failure_timeout;
  if (in.now >= silent_at) {
    TimeNs patience_ends = silent_at + settings.lease_duration;
    if (in.now < patience_ends && CounterEvidence(in, app.node)) {
      WakeAt(out, in.now, patience_ends);
      out.waiting_for = "the primary is silent, but there is evidence that it works";
      return {};
    }
    return {Reason::kHeartbeatsMissed, last_sign};
  }
  WakeAt(out, in.now, silent_at);
  const NodeReport* report = view != nullptr && view->report ? &*view->report : nullptr;
  if (report == nullptr) {
    return {};
  }
  if (!report->listener_ok) {
    return {Reason::kListenerDead, view->received_at};
  }
  if (!report->wal_writable) {
    return {Reason::kWalNotWritable, view->received_at};
  }
  if (report->wants_step_down || report->repair != Repair::kNone) {
    return {Reason::kStepDown, view->received_at};
  }
  bool serving = report->pg == PgState::kPrimary && report->boot == app.boot;
  if (serving || !app.settled) {
    not_serving_since_ = 0;
    return {};
  }
  // It restarted. A resume is quicker than a failover, unless the restart drags on.
  if (not_serving_since_ == 0) {
    not_serving_since_ = in.now;
  }
  TimeNs patience_ends = not_serving_since_ + settings.failure_timeout;
  if (in.now < patience_ends) {
    WakeAt(out, in.now, patience_ends);
    return {};
  }
  return {Reason::kPostmasterGone, not_serving_since_};
}

// Would the nodes that answer now be a full recruit and a group that may acknowledge?
bool Coordinator::EnoughAnswer(const In& in, bool without_primary, bool with_diverged) const {
  std::set<NodeId> answering;
  std::size_t candidates = 0;
  for (const auto& [id, member] : in.cluster.members()) {
    const NodeReport* report = FreshReport(in, id);
    if (report == nullptr || !member.data() || !member.info.voting ||
        (member.state != MemberState::kActive && !in.cluster.IsVoterOfAnyRule(id)) ||
        !(report->repair == Repair::kNone || (with_diverged && report->whole))) {
      continue;
    }
    if (id == in.cluster.rule().primary) {
      if (!without_primary) {
        answering.insert(id);
      }
      continue;
    }
    if (report->pg != PgState::kStandby && report->pg != PgState::kPrimary) {
      continue;
    }
    answering.insert(id);
    candidates += 1;
  }
  std::size_t acks = answering.empty() ? 0 : answering.size() - 1;
  bool allowed = in.cluster.settings().async || acks >= in.cluster.MinAcks();
  return candidates > 0 && allowed && in.cluster.RecruitedForAllRules(answering);
}

void Coordinator::Detect(const In& in, Out& out) {
  if (!in.cluster.settings().automatic_failover) {
    return;
  }
  Evidence evidence = Judge(in, out);
  if (evidence.reason == Reason::kNone) {
    return;
  }
  bool silent =
      evidence.reason == Reason::kHeartbeatsMissed || evidence.reason == Reason::kPostmasterGone;
  if (!EnoughAnswer(in, silent)) {
    out.waiting_for = std::string("primary lost (") + ToString(evidence.reason) +
                      "), but too few voters answer for a failover";
    return;
  }
  Revoke revoke;
  revoke.current = in.cluster.highest_epoch();
  revoke.reason = evidence.reason;
  revoke.outage_began_us = in.wall_us - (in.now - evidence.last_sign) / 1000;
  revoke.now_us = in.wall_us;
  Propose(in, out, revoke);
}

}  // namespace pgquorum::failover
