// What the agent asks for in each state. An action is wanted as long as the facts do not show its
// effect.
#include <algorithm>

#include "bgworkers/failover/agent.h"
#include "bgworkers/failover/agent_context.h"

#include "base/pure.h"

namespace pgquorum::failover {
namespace {

using Out = std::vector<Action>;

// Of a standby that has connected WAL arrives within this, when there is any.
constexpr TimeNs kFirstNudge = 100 * kMs;
// The server's own interval (bgwriter.c, LOG_SNAPSHOT_INTERVAL_MS).
constexpr TimeNs kLongestNudgePause = 15'000 * kMs;

void WantClosed(const LocalFacts& facts, Out& out, bool retryable = false) {
  if (facts.gate_open) {
    out.push_back(CloseGate{retryable});
  }
}

void WantAdmission(const LocalFacts& facts, Admission who, Out& out) {
  if (facts.admission != who) {
    out.push_back(Admit{who});
  }
}

void WantStopped(const LocalFacts& facts, Out& out) {
  if (facts.upstream) {
    out.push_back(ClearUpstream{});
  }
  if (facts.receiver_running) {
    out.push_back(StopReceiver{});
  }
}

SetSyncList ListOf(const ClusterState& cluster, Timeline timeline) {
  const Rule& rule = cluster.rule();
  SetSyncList list{rule.epoch, rule.version, rule.g, {}};
  for (NodeId node : rule.sync) {
    list.names.push_back(StandbyName(cluster.NameOf(node), timeline));
  }
  if (list.names.empty() && list.g > 0) {
    list.names.push_back("nobody.t0");  // an empty list would release every waiter
  }
  return list;
}

}  // namespace

void Agent::Act(const Context& c, Out& out) {
  switch (state_) {
    case AgentState::kStarting:
      if (!c.LeaseValid()) {
        WantClosed(c.facts, out);
      }
      break;
    case AgentState::kWitness:
      break;
    case AgentState::kClosed:
      WantClosed(c.facts, out);
      WantAdmission(c.facts, Admission::kAdministrators, out);
      WantStopped(c.facts, out);
      detail_ = c.facts.quarantine;
      break;
    case AgentState::kWaiting:
    case AgentState::kFollowing:
    case AgentState::kRecruitStop:
    case AgentState::kRecruitSettle:
    case AgentState::kRecruitPledge:
    case AgentState::kPledged:
    case AgentState::kFetching:
    case AgentState::kResuming:
      ActStandby(c, out);
      break;
    case AgentState::kPreparing:
    case AgentState::kPromoting:
    case AgentState::kMarking:
    case AgentState::kBarrier:
    case AgentState::kPrimary:
    case AgentState::kDraining:
      ActPrimary(c, out);
      break;
    case AgentState::kHandingOver:
    case AgentState::kDemoting:
      ActLeaving(c, out);
      break;
    case AgentState::kRepairing:
      ActRepair(c, out);
      break;
    case AgentState::kAny:
      break;
  }
}

void Agent::ActStandby(const Context& c, Out& out) {
  WantClosed(c.facts, out);
  if (c.facts.pg != PgState::kStandby) {
    return;
  }
  if (state_ == AgentState::kFollowing) {
    if (!c.Following(follow_node_, follow_timeline_)) {
      Timeline tag = PGQUORUM_FAILOVER_BUG(kNamesWithoutTimeline) ? Timeline(0) : follow_timeline_;
      out.push_back(
          SetUpstream{follow_node_, follow_timeline_, StandbyName(c.cluster.NameOf(self_), tag)});
    }
    bool confirmed = c.app.settled && c.app.timeline == follow_timeline_ &&
                     c.facts.receive_timeline == follow_timeline_ &&
                     c.facts.receive_lsn >= c.facts.boot_end && c.facts.boot_end;
    if (confirmed) {
      admitted_boot_ = c.facts.boot;
    }
    if (admitted_boot_ == c.facts.boot) {
      WantAdmission(c.facts, Admission::kClients, out);
    }
    return;
  }
  if (state_ == AgentState::kFetching) {
    NodeId source = c.recruiting->fetch->source;
    if (c.facts.upstream != source) {
      out.push_back(
          SetUpstream{source, Timeline(), StandbyName(c.cluster.NameOf(self_), Timeline())});
    }
    return;
  }
  if (PGQUORUM_FAILOVER_BUG(kPositionBeforeStop) && state_ == AgentState::kPledged) {
    return;
  }
  WantStopped(c.facts, out);
  if (c.Stopped() && !c.facts.replay_settled) {
    out.push_back(SettleReplay{});
  }
  if (state_ == AgentState::kRecruitPledge && c.recruiting && !PGQUORUM_FAILOVER_BUG(kNoPledge) &&
      c.facts.pledge_epoch < c.recruiting->epoch) {
    out.push_back(WritePledge{c.recruiting->epoch});
  }
}

void Agent::ActPrimary(const Context& c, Out& out) {
  const Rule& rule = c.cluster.rule();
  if (c.facts.list_epoch != rule.epoch || c.facts.list_version != rule.version) {
    out.push_back(ListOf(
        c.cluster, PGQUORUM_FAILOVER_BUG(kNamesWithoutTimeline) ? Timeline() : c.app.timeline));
  }
  bool serves = state_ == AgentState::kPrimary || state_ == AgentState::kDraining;
  if (!serves) {
    WantClosed(c.facts, out);
    WantAdmission(c.facts, Admission::kAdministrators, out);
  }
  switch (state_) {
    case AgentState::kPreparing:
      if (c.app.fork && c.facts.position() < c.app.fork) {
        detail_ = "appointed at " + ToString(c.app.fork) + " but the WAL ends at " +
                  ToString(c.facts.position());
      }
      break;
    case AgentState::kPromoting:
      if (c.facts.pg == PgState::kStandby) {
        out.push_back(Promote{c.app.timeline});
      }
      break;
    case AgentState::kMarking:
      out.push_back(WriteMarker{c.app.epoch, c.app.timeline});
      break;
    case AgentState::kBarrier: {
      // A voter whose history diverged can only take part after a rewind, which needs this.
      bool slow = c.now - entered_at_ >= c.settings.appointment_timeout / 4;
      if (slow && c.facts.checkpointed != c.app.timeline) {
        out.push_back(Checkpoint{c.app.timeline.value()});
      }
      Nudge(c, out);  // it may have been copied after the marker was written
      break;
    }
    case AgentState::kPrimary:
      if (c.LeaseValid() || PGQUORUM_FAILOVER_BUG(kIgnoreLease)) {
        if (!c.facts.gate_open && c.facts.list_epoch == rule.epoch) {
          out.push_back(OpenGate{c.app.epoch, c.app.timeline});
        }
      } else {
        WantClosed(c.facts, out);
        detail_ = "no lease";
      }
      WantAdmission(c.facts, Admission::kClients, out);
      if (c.facts.checkpointed != c.app.timeline) {
        out.push_back(Checkpoint{c.app.timeline.value()});
      }
      Nudge(c, out);
      break;
    case AgentState::kDraining:
      if (c.facts.checkpoint_tag != c.draining->verb.id.value()) {
        out.push_back(Checkpoint{c.draining->verb.id.value()});
      } else {
        WantClosed(c.facts, out, /*retryable=*/true);
      }
      break;
    default:
      break;
  }
}

// A base backup ends with a new segment, in which there is nothing: the standby that starts from it
// has nothing to receive, and so shows no position, before the next record. That is the server's
// own, up to 15 s later, when no client writes.
bool Agent::AwaitsFirstWal(const Context& c) const {
  return std::any_of(c.peers.begin(), c.peers.end(), [&](const auto& peer) {
    const PeerView& view = peer.second;
    if (peer.first == self_ || !view.report || !view.connected ||
        view.Age(c.now) > c.settings.failure_timeout) {
      return false;
    }
    const NodeReport& report = *view.report;
    return report.pg == PgState::kStandby && report.receiver_running && report.upstream == self_ &&
           report.upstream_timeline == c.app.timeline && report.receive_timeline != c.app.timeline;
  });
}

// One record is enough, unless it was written before the standby had connected. One whose
// connection never comes up costs less and less.
void Agent::Nudge(const Context& c, Out& out) {
  if (!AwaitsFirstWal(c)) {
    nudge_due_ = 0;
    return;
  }
  if (nudge_due_ == 0) {
    nudge_due_ = c.now + kFirstNudge;
    nudge_pause_ = kFirstNudge;
  } else if (c.now >= nudge_due_) {
    nudge_pause_ = std::min(2 * nudge_pause_, kLongestNudgePause);
    nudge_due_ = c.now + nudge_pause_;
    out.push_back(NudgeStandbys{});
  }
}

void Agent::ActLeaving(const Context& c, Out& out) {
  WantClosed(c.facts, out, state_ == AgentState::kHandingOver);
  if (PGQUORUM_FAILOVER_BUG(kEmptyListOnFence) && c.facts.pg == PgState::kPrimary) {
    out.push_back(SetSyncList{c.cluster.rule().epoch, c.cluster.rule().version + 1000, 0, {}});
  }
  if (c.facts.pg != PgState::kPrimary && c.facts.pg != PgState::kPromoting &&
      c.facts.pg != PgState::kStopping) {
    return;
  }
  if (state_ == AgentState::kHandingOver) {
    const FailoverRequest* request =
        c.recruiting ? c.cluster.FindRequest(c.recruiting->request) : nullptr;
    out.push_back(EndWalsenders{request != nullptr ? request->verb.target : NodeId()});
    out.push_back(FastStop{});
    return;
  }
  WantAdmission(c.facts, Admission::kAdministrators, out);
  bool by_hand = c.facts.ordered_timeline
                     ? *c.facts.ordered_timeline != c.facts.history.timeline
                     : c.current && !c.cluster.IsAssigned(c.facts.history.timeline);
  by_hand = by_hand && c.facts.pg == PgState::kPrimary;
  if (by_hand && !c.facts.history.EndOf(c.facts.foreign_timeline)) {
    out.push_back(MarkForeignTimeline{c.facts.history.timeline});
    return;  // durable first
  }
  out.push_back(DemoteRestart{});
}

// A voter keeps its WAL. The one exception: an appointment that stays unsettled may need this very
// voter for its barrier. The appointed node holds everything that was acknowledged, and a
// half-repaired node is never recruited, so nothing is lost; there are only fewer copies until the
// repair is done.
bool Agent::MayRepair(const Context& c) const {
  if (PGQUORUM_FAILOVER_BUG(kRepairInSet)) {
    return true;
  }
  if (!c.current) {
    return false;
  }
  if (!c.cluster.IsVoterOfAnyRule(self_)) {
    return true;
  }
  if (c.app.settled) {
    return c.cluster.rule().repair == self_;
  }
  return c.now - entered_at_ >= c.settings.appointment_timeout;
}

// A rewind cannot help: one timeline id with two contents, WAL that the source has no more, or it
// was tried often enough. When streaming failed for divergence that the histories do not show, the
// ids lie.
bool Agent::NeedsReclone(const Context& c) const {
  bool streaming_failed = reclone_for_ && reclone_for_ == c.app.timeline;
  return c.facts.restored || c.fit == Fit::kIncompatible ||
         (streaming_failed && (recycled_ || c.fit == Fit::kContained)) ||
         c.facts.repair_attempts >= c.settings.rewind_attempts;
}

void Agent::ActRepair(const Context& c, Out& out) {
  WantClosed(c.facts, out);
  if (admitted_boot_ != c.facts.boot) {
    WantAdmission(c.facts, Admission::kAdministrators, out);
  }
  if (c.facts.repair_running) {
    detail_ = "repair is running";
    return;
  }
  WantStopped(c.facts, out);
  if (c.Stopped() && !c.facts.replay_settled && c.facts.pg == PgState::kStandby) {
    out.push_back(SettleReplay{});
  }
  // A voter's restored directory lacks what it acknowledged: only a new copy makes up for that,
  // unless that loss was accepted and whoever answers is taken as it is.
  bool takes_part = c.recruiting && c.recruiting->accept_loss && c.must_pledge && c.current;
  bool accepted = takes_part || (MayRepair(c) && !c.cluster.IsVoterOfAnyRule(self_));
  if (c.facts.restored && !c.facts.repair_interrupted && accepted) {
    out.push_back(AcceptDataDirectory{});
    return;
  }
  if (!MayRepair(c)) {
    detail_ = "must leave the voters before it gives up WAL";
    return;
  }
  if (c.primary == nullptr || (!c.app.settled && !c.cluster.rule().IsVoter(self_))) {
    detail_ = "waits for a settled primary to repair from";
    return;
  }
  if (NeedsReclone(c)) {
    out.push_back(Reclone{c.app.node, c.app.epoch});
    return;
  }
  if (c.primary->checkpointed != c.app.timeline) {
    detail_ = "waits for the primary's checkpoint";
    return;
  }
  out.push_back(Rewind{c.app.node, c.app.epoch});
}

}  // namespace pgquorum::failover
