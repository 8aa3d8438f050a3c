#include "bgworkers/failover/coordinator.h"

#include <algorithm>

#include "bgworkers/failover/coordinator_views.h"

#include "base/pure.h"

namespace pgquorum::failover {
namespace {
constexpr TimeNs kProposalRetry = 500 * kMs;
}  // namespace

void Coordinator::Reset() {
  *this = Coordinator(self_);
}

void Coordinator::Propose(const In& in, Out& out, Command command) {
  TimeNs& repeat = proposed_[ToString(command)];
  if (repeat != 0 && in.now < repeat) {
    out.wake_at = std::min(out.wake_at, repeat);
    return;
  }
  repeat = in.now + kProposalRetry;
  out.wake_at = std::min(out.wake_at, repeat);
  out.proposals.push_back(std::move(command));
}

// Starts the clocks of this leader.
void Coordinator::Track(const In& in) {
  if (in.raft.term != term_) {
    Reset();
    term_ = in.raft.term;
  }
  std::erase_if(proposed_, [&in](const auto& p) { return p.second <= in.now - kProposalRetry; });
  Epoch epoch = in.cluster.highest_epoch();
  if (epoch != epoch_seen_) {
    epoch_seen_ = epoch;
    epoch_since_ = in.now;
    complete_since_ = 0;
    fetch_node_ = NodeId();
    fetch_tried_.clear();
    not_serving_since_ = 0;
    bad_since_.clear();
    progress_.clear();
  }
  if (in.cluster.appointment().timeline != appointment_seen_) {
    appointment_seen_ = in.cluster.appointment().timeline;
    appointed_since_ = in.now;
    not_serving_since_ = 0;
  }
}

CoordinatorOutput Coordinator::Step(const CoordinatorInputs& in) {
  CoordinatorOutput out;
  if (!in.raft.caught_up || !in.cluster.created()) {
    return out;
  }
  Track(in);
  if (BeginGeneration(in, out)) {
    return out;
  }
  HandleRequest(in, out);
  if (in.cluster.recruiting()) {
    DoRecruit(in, out);
  } else {
    AnswerResume(in, out);
    if (!in.cluster.appointment().settled) {
      DoSettle(in, out);
    } else {
      Maintain(in, out);
    }
    Detect(in, out);
  }
  HandleMembership(in, out);
  return out;
}

// A membership was forced, and the state is still that of before. Nothing else is decided on it: it
// counts on nodes that are shut out. Whoever leads does this, so a crash or a change of leaders
// between the two entries loses nothing.
bool Coordinator::BeginGeneration(const In& in, Out& out) {
  Epoch highest = in.cluster.highest_epoch();
  if (!in.raft.forced || in.raft.forced->generation == highest.generation) {
    return false;
  }
  ForceQuorum force{
      highest, in.raft.forced->generation, {}, in.raft.forced->requested_by, in.wall_us};
  for (NodeId node : in.raft.forced->survivors) {
    if (in.cluster.FindMember(node) != nullptr) {
      force.survivors.push_back(node);
    }
  }
  Propose(in, out, std::move(force));
  out.waiting_for = "the forced quorum to begin";
  return true;
}

void Coordinator::AnswerResume(const In& in, Out& out) {
  const Appointment& app = in.cluster.appointment();
  const NodeReport* report = FreshReport(in, in.cluster.rule().primary);
  if (report != nullptr && report->wants_resume && report->boot != app.boot &&
      report->known_epoch == app.epoch && report->pledge_epoch <= app.epoch) {
    Timeline floor = HighestReportedTimeline(in);
    if (!CanBegin(*report, floor)) {
      out.waiting_for = in.cluster.NameOf(report->node) + " has a history file of timeline " +
                        std::to_string(report->newest_timeline.value()) + ", too far ahead";
      return;
    }
    Propose(in, out, Resume{app.epoch, report->node, report->boot, floor, in.wall_us});
  }
}

}  // namespace pgquorum::failover
