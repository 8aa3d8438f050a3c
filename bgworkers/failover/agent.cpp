#include "bgworkers/failover/agent.h"

#include <algorithm>
#include <utility>

#include "bgworkers/failover/agent_context.h"

#include "base/pure.h"

namespace pgquorum::failover {
namespace {

constexpr TimeNs kRetry = 1000 * kMs;

Fit Compare(const LocalFacts& facts, const NodeReport* primary) {
  if (primary == nullptr || !facts.replay_settled || facts.pg != PgState::kStandby) {
    return Fit::kUnknown;
  }
  const History& theirs = primary->history;
  if (facts.foreign_timeline && theirs.EndOf(facts.foreign_timeline)) {
    return Fit::kIncompatible;  // begun by hand here, assigned there
  }
  if (!theirs.Compatible(facts.history)) {
    return Fit::kIncompatible;
  }
  Position position = facts.position();
  // WAL of the assigned timeline can only have come from that primary; its report may be older.
  if (position.timeline == theirs.timeline || theirs.Contains(position)) {
    return Fit::kContained;
  }
  return Fit::kDiverged;
}

const NodeReport* FindPrimary(const AgentInputs& in, NodeId self) {
  const Appointment& app = in.cluster.appointment();
  auto peer = in.peers.find(app.node);
  if (app.node == self || peer == in.peers.end() || !peer->second.report) {
    return nullptr;
  }
  const NodeReport& report = *peer->second.report;
  bool promoted = report.boot == app.boot && report.pg == PgState::kPrimary &&
                  report.history.timeline == app.timeline;
  return promoted ? &report : nullptr;
}

}  // namespace

const char* ToString(AgentState state) {
  static const char* const kNames[kAgentStates] = {
      "starting",     "witness",        "closed",         "waiting",  "following",
      "recruit_stop", "recruit_settle", "recruit_pledge", "pledged",  "fetching",
      "resuming",     "preparing",      "promoting",      "marking",  "barrier",
      "primary",      "draining",       "handing_over",   "demoting", "repairing"};
  auto index = static_cast<std::size_t>(state);
  return index < kAgentStates ? kNames[index] : "any";
}

std::string Agent::DumpTransitions() {
  std::string text = "| from | condition | to | why |\n|---|---|---|---|\n";
  for (const Transition& t : Transitions()) {
    text += std::string("| ") + ToString(t.from) + " | " + t.condition + " | " + ToString(t.to) +
            " | " + t.why + " |\n";
  }
  return text;
}

Position EffectivePosition(const ClusterState& cluster, const LocalFacts& facts) {
  History history = facts.history;
  while (facts.foreign_timeline && history.EndOf(facts.foreign_timeline) &&
         !history.ancestors.empty()) {
    history.timeline = history.ancestors.back().timeline;
    history.end = history.ancestors.back().end;
    history.ancestors.pop_back();
  }
  return cluster.Effective(history);
}

AgentOutput Agent::Step(const AgentInputs& in) {
  Context c(in);
  if (in.cluster.created() && !in.facts.witness) {
    bool usable = !c.recruiting && in.facts.boot && c.app.epoch >= in.facts.pledge_epoch;
    bool this_start =
        c.app.boot == in.facts.boot ||
        (PGQUORUM_FAILOVER_BUG(kObeyStaleAppointment) && !c.app.settled && c.app.boot) ||
        (PGQUORUM_FAILOVER_BUG(kResumeWithoutBoot) && c.app.settled && c.app.boot);
    c.mine = usable && c.app.node == self_ && this_start;
    c.resumable = usable && !c.mine && in.cluster.rule().primary == self_;
    c.handing_over =
        c.recruiting && c.recruiting->reason == Reason::kSwitchover && c.recruiting->from == self_;
    c.member = in.cluster.FindMember(self_) != nullptr;
    c.must_pledge = in.cluster.MustPledge(self_);
    c.primary =
        c.app.epoch >= in.facts.pledge_epoch && !c.recruiting ? FindPrimary(in, self_) : nullptr;
    c.fit = Compare(in.facts, c.primary);
    c.position = EffectivePosition(in.cluster, in.facts);
    const FailoverRequest* request = in.cluster.PendingRequest();
    if (c.mine && request != nullptr && request->draining && !request->epoch) {
      c.draining = request;
    }
  }
  if (c.recruiting && recruiting_seen_ != c.recruiting->epoch) {
    recruiting_seen_ = c.recruiting->epoch;
    recruiting_since_ = c.now;
  }
  if (c.LeaseValid() || (state_ != AgentState::kPrimary && state_ != AgentState::kDraining)) {
    lease_lost_at_ = 0;
  } else if (lease_lost_at_ == 0) {
    lease_lost_at_ = c.now;
  }
  if (entered_at_ == 0) {
    entered_at_ = c.now;  // the first step of this agent
    boot_ = in.facts.boot;
  }
  Run(c);
  boot_ = in.facts.boot;

  AgentOutput out;
  detail_.clear();
  Act(c, out.actions);
  Deduplicate(c, out.actions);
  bool leads = c.mine && state_ >= AgentState::kPromoting && state_ <= AgentState::kDraining;
  out.lease_epoch = leads ? c.app.epoch : Epoch();
  out.report = MakeReport(c);
  out.report_now = WorthReporting(c, out.report);
  if (out.report_now) {
    last_report_ = out.report;
  }
  out.wake_at = WakeAt(c);
  return out;
}

void Agent::Enter(AgentState next, const Context& c) {
  if (next == AgentState::kStarting) {
    boot_ = c.facts.boot;
  }
  if (next == AgentState::kFollowing) {
    follow_node_ = c.app.node;
    follow_timeline_ = c.app.timeline;
  }
  if (next == AgentState::kRepairing && state_ == AgentState::kFollowing) {
    reclone_for_ = follow_timeline_;
    recycled_ = c.facts.stream_error == StreamError::kWalRecycled;
  }
  state_ = next;
  entered_at_ = c.now;
}

// An action is sent once and repeated each second while the facts do not show its effect.
void Agent::Deduplicate(const Context& c, std::vector<Action>& out) {
  std::vector<std::pair<Action, TimeNs>> pending;
  std::vector<Action> send;
  for (Action& action : out) {
    auto known = std::find_if(pending_.begin(), pending_.end(),
                              [&action](const auto& p) { return p.first == action; });
    if (known != pending_.end() && c.now < known->second) {
      pending.push_back(*known);
      continue;
    }
    pending.emplace_back(action, c.now + kRetry);
    send.push_back(std::move(action));
  }
  pending_ = std::move(pending);
  out = std::move(send);
}

TimeNs Agent::WakeAt(const Context& c) const {
  TimeNs wake = kNever;
  auto at = [&wake, &c](TimeNs time) {
    if (time > c.now) {
      wake = std::min(wake, time);
    }
  };
  for (const auto& [action, retry] : pending_) {
    at(retry);
  }
  if (state_ == AgentState::kPrimary || state_ == AgentState::kDraining) {
    at(c.lease_deadline);
    if (lease_lost_at_ != 0) {
      at(lease_lost_at_ + c.settings.demote_timeout);
    }
  }
  if ((state_ == AgentState::kPrimary || state_ == AgentState::kBarrier) && nudge_due_ != 0) {
    at(nudge_due_);
  }
  if (state_ == AgentState::kFollowing && c.recruiting) {
    at(recruiting_since_ + c.settings.switchover_tail_timeout);
  }
  if (state_ == AgentState::kHandingOver) {
    at(entered_at_ + c.settings.switchover_tail_timeout);
  }
  if (state_ == AgentState::kStarting) {
    at(entered_at_ + c.settings.demote_timeout);
  }
  if (state_ == AgentState::kRepairing) {
    at(entered_at_ + c.settings.appointment_timeout);
  }
  if (state_ == AgentState::kBarrier) {
    at(entered_at_ + c.settings.appointment_timeout / 4);
  }
  return wake;
}

}  // namespace pgquorum::failover
