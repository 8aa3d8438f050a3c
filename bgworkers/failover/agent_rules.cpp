// The agent's state table: conditions and rows.
#include <array>

#include "bgworkers/failover/agent.h"
#include "bgworkers/failover/agent_context.h"

#include "base/pure.h"

namespace pgquorum::failover {

struct AgentRules {
  using C = Agent::Context;
  using A = Agent;
  using S = AgentState;
  using Guard = bool (*)(const A&, const C&);

  static bool In(const A& a, std::initializer_list<S> states) {
    for (S s : states) {
      if (a.state_ == s) {
        return true;
      }
    }
    return false;
  }
  static bool Writes(const C& c) {
    return c.facts.pg == PgState::kPrimary || c.facts.pg == PgState::kPromoting;
  }
  static bool Standby(const C& c) { return c.facts.pg == PgState::kStandby; }

  // ---- rows of every state ----
  static bool Witness(const A& a, const C& c) { return c.facts.witness && a.state_ != S::kWitness; }
  static bool Restarted(const A& a, const C& c) {
    return a.boot_ != c.facts.boot && a.state_ != S::kStarting;
  }
  static bool Quarantined(const A& a, const C& c) {
    return !c.facts.quarantine.empty() && !Writes(c) && a.state_ != S::kClosed;
  }
  static bool RevokedForSwitchover(const A& a, const C& c) {
    return c.handing_over && c.facts.pg == PgState::kPrimary &&
           !In(a, {S::kHandingOver, S::kDemoting});
  }
  static bool WritesWithoutLeave(const A& a, const C& c) {
    bool wrong_timeline =
        c.mine && c.facts.pg == PgState::kPrimary && c.facts.history.timeline != c.app.timeline;
    bool too_early = c.facts.pg == PgState::kPrimary && a.state_ == S::kPreparing;
    if (!Writes(c) || (c.mine && !wrong_timeline && !too_early) ||
        In(a, {S::kHandingOver, S::kDemoting})) {
      return false;
    }
    // After a restart of the worker alone the entry may not have come back yet; the gate is shut by
    // the lease meanwhile.
    bool may_be_stale =
        a.state_ == S::kStarting && !c.current && c.now - a.entered_at_ < c.settings.demote_timeout;
    return !may_be_stale;
  }
  static bool LeaseLostForLong(const A& a, const C& c) {
    return In(a, {S::kPrimary, S::kDraining}) && a.lease_lost_at_ != 0 &&
           c.now - a.lease_lost_at_ >= c.settings.demote_timeout &&
           !PGQUORUM_FAILOVER_BUG(kIgnoreLease);
  }
  // The last bytes of a primary that is stopping come over the connection that is there; when it
  // has ended, no other one brings more.
  static bool AwaitsTail(const A& a, const C& c) {
    if (c.recruiting->reason != Reason::kSwitchover || !c.facts.receiver_streaming ||
        c.facts.upstream != c.recruiting->from) {
      return false;
    }
    const FailoverRequest* request = c.cluster.FindRequest(c.recruiting->request);
    return request != nullptr && request->verb.target == a.self_ &&
           c.now - a.recruiting_since_ < c.settings.switchover_tail_timeout;
  }
  static bool Recruited(const A& a, const C& c) {
    return c.must_pledge && Standby(c) && !c.Broken() && !AwaitsTail(a, c) &&
           !In(a, {S::kRecruitStop, S::kRecruitSettle, S::kRecruitPledge, S::kPledged, S::kFetching,
                   S::kClosed});
  }

  // ---- starting, waiting, following ----
  static bool StillPrimary(const A&, const C& c) {
    return c.mine && c.facts.pg == PgState::kPrimary;
  }
  static bool StillFollowing(const A&, const C& c) {
    return Standby(c) && c.cluster.created() && !c.recruiting && c.app.node &&
           c.app.epoch >= c.facts.pledge_epoch && c.Following(c.app.node, c.app.timeline) &&
           !c.Broken();
  }
  static bool ReadyStandby(const A&, const C& c) { return Standby(c) && c.cluster.created(); }
  static bool Broken(const A&, const C& c) { return c.Broken(); }
  static bool Appointed(const A&, const C& c) {
    return c.mine && c.Stopped() && c.facts.replay_settled && !c.Broken();
  }
  static bool Resumable(const A&, const C& c) { return c.resumable && !c.Broken(); }
  static bool DoesNotFit(const A&, const C& c) {
    return !PGQUORUM_FAILOVER_BUG(kConnectBeforeCompare) &&
           (c.fit == Fit::kDiverged || c.fit == Fit::kIncompatible);
  }
  static bool Fits(const A& a, const C& c) {
    if (PGQUORUM_FAILOVER_BUG(kConnectBeforeCompare) && c.primary != nullptr && !c.must_pledge) {
      return true;
    }
    return c.fit == Fit::kContained && c.member && !c.must_pledge &&
           a.reclone_for_ != c.app.timeline;
  }
  static bool RecloneKnown(const A& a, const C& c) {
    return a.reclone_for_ && a.reclone_for_ == c.app.timeline && !c.mine && !c.resumable;
  }
  static bool TargetChanged(const A& a, const C& c) {
    return !c.recruiting && (c.app.node != a.follow_node_ || c.app.timeline != a.follow_timeline_);
  }
  static bool StreamBroken(const A& a, const C& c) {
    return c.facts.stream_error != StreamError::kNone &&
           c.Following(a.follow_node_, a.follow_timeline_);
  }

  // ---- recruiting ----
  static bool RecruitingOver(const A&, const C& c) { return !c.must_pledge; }
  static bool ReceiverStopped(const A&, const C& c) {
    return c.Stopped() || PGQUORUM_FAILOVER_BUG(kPositionBeforeStop);
  }
  static bool ReplayEnded(const A&, const C& c) {
    return c.facts.replay_settled || PGQUORUM_FAILOVER_BUG(kPositionBeforeStop);
  }
  static bool PledgeDurable(const A&, const C& c) {
    return c.recruiting != nullptr &&
           (c.facts.pledge_epoch >= c.recruiting->epoch || PGQUORUM_FAILOVER_BUG(kNoPledge));
  }
  static bool HigherRevoke(const A&, const C& c) {
    return c.recruiting != nullptr && c.facts.pledge_epoch < c.recruiting->epoch &&
           !PGQUORUM_FAILOVER_BUG(kNoPledge);
  }
  static bool FetchForMe(const A& a, const C& c) {
    if (c.recruiting == nullptr || !c.recruiting->fetch || c.recruiting->fetch->node != a.self_ ||
        c.position >= c.recruiting->fetch->until || !c.facts.replay_settled) {
      return false;
    }
    auto source = c.peers.find(c.recruiting->fetch->source);
    if (c.facts.foreign_timeline) {
      return false;  // what was begun by hand here is not known there
    }
    return source != c.peers.end() && source->second.report &&
           source->second.report->pledge_epoch == c.recruiting->epoch &&
           source->second.report->pledge_position &&
           source->second.report->history.Compatible(c.facts.history) &&
           source->second.report->history.Contains(c.facts.position());
  }
  static bool FetchOver(const A& a, const C& c) {
    if (c.recruiting == nullptr || !c.recruiting->fetch || c.recruiting->fetch->node != a.self_) {
      return true;
    }
    Position until = c.recruiting->fetch->until;
    Position received{c.facts.receive_timeline, c.facts.receive_lsn};
    return c.facts.upstream == c.recruiting->fetch->source &&
           (received >= until || c.facts.position() >= until);
  }

  // ---- appointed ----
  static bool ResumeAnswered(const A&, const C& c) { return !c.resumable; }
  static bool QuarantineLifted(const A&, const C& c) { return c.facts.quarantine.empty(); }
  static bool NotMine(const A&, const C& c) { return !c.mine; }
  static bool ListInForce(const A&, const C& c) {
    return c.facts.list_epoch == c.app.epoch && c.facts.list_version == c.cluster.rule().version &&
           c.facts.replay_settled && c.Stopped() &&
           (!c.app.fork || c.facts.position() >= c.app.fork);
  }
  static bool Promoted(const A&, const C& c) { return c.facts.pg == PgState::kPrimary; }
  static bool MarkerFlushed(const A&, const C& c) {
    return c.facts.marker.timeline == c.app.timeline;
  }
  static bool Settled(const A&, const C& c) {
    return c.app.settled || PGQUORUM_FAILOVER_BUG(kServeBeforeSettled);
  }
  static bool DrainWanted(const A&, const C& c) { return c.draining != nullptr; }
  static bool DrainUndone(const A&, const C& c) { return c.draining == nullptr; }
  static bool StopTooSlow(const A& a, const C& c) {
    return (c.facts.pg == PgState::kPrimary || c.facts.pg == PgState::kStopping) &&
           c.now - a.entered_at_ >= c.settings.switchover_tail_timeout;
  }
  static bool NothingToRepair(const A& a, const C& c) {
    return !c.Broken() && !DoesNotFit(a, c) && !RecloneKnown(a, c);
  }

  struct Row {
    Transition transition;
    Guard guard;
  };
  static const std::vector<Row>& Rows();
};

// Rows of kAny come first and are tried in every state; then those of the state, in this order.
const std::vector<AgentRules::Row>& AgentRules::Rows() {
  using R = AgentRules;
  static const std::vector<Row> kRows = {
      {{S::kAny, "this node holds no data", S::kWitness, "a witness only votes"}, R::Witness},
      {{S::kAny, "the server restarted", S::kStarting, "everything is judged anew"}, R::Restarted},
      {{S::kAny, "revoked for a switchover while primary", S::kHandingOver,
        "stop cleanly: the target receives the last byte"},
       R::RevokedForSwitchover},
      {{S::kAny, "writes without an appointment of this start", S::kDemoting,
        "nobody is a writer without an applied entry (S5)"},
       R::WritesWithoutLeave},
      {{S::kAny, "quarantined", S::kClosed, "an administrator must act"}, R::Quarantined},
      {{S::kAny, "no lease for demote_timeout", S::kDemoting,
        "waiters are dropped unanswered (S4)"},
       R::LeaseLostForLong},
      {{S::kAny, "standby and voter of a revoked rule", S::kRecruitStop, "pledge, then report"},
       R::Recruited},

      {{S::kStarting, "primary by an entry of this start", S::kMarking,
        "only the worker restarted"},
       R::StillPrimary},
      {{S::kStarting, "follows the appointed primary", S::kFollowing, "only the worker restarted"},
       R::StillFollowing},
      {{S::kStarting, "consistent standby", S::kWaiting, ""}, R::ReadyStandby},

      {{S::kWaiting, "repair interrupted, or directory restored", S::kRepairing,
        "such a directory never serves"},
       R::Broken},
      {{S::kWaiting, "appointed, replay at its end", S::kPreparing, ""}, R::Appointed},
      {{S::kWaiting, "primary of the epoch, restarted", S::kResuming, ""}, R::Resumable},
      {{S::kWaiting, "history differs from the primary's", S::kRepairing,
        "compare before connecting"},
       R::DoesNotFit},
      {{S::kWaiting, "streaming was refused for good", S::kRepairing, ""}, R::RecloneKnown},
      {{S::kWaiting, "position lies in the primary's history", S::kFollowing, ""}, R::Fits},

      {{S::kFollowing, "another appointment", S::kWaiting, "stop, settle, compare anew"},
       R::TargetChanged},
      {{S::kFollowing, "WAL recycled or diverged, says the sender", S::kRepairing, ""},
       R::StreamBroken},

      {{S::kRecruitStop, "appointed meanwhile", S::kWaiting, ""}, R::RecruitingOver},
      {{S::kRecruitStop, "receiver stopped", S::kRecruitSettle, ""}, R::ReceiverStopped},
      {{S::kRecruitSettle, "appointed meanwhile", S::kWaiting, ""}, R::RecruitingOver},
      {{S::kRecruitSettle, "restored, as the end of replay shows", S::kRepairing,
        "its position says too little"},
       R::Broken},
      {{S::kRecruitSettle, "replay at its end", S::kRecruitPledge, ""}, R::ReplayEnded},
      {{S::kRecruitPledge, "appointed meanwhile", S::kWaiting, ""}, R::RecruitingOver},
      {{S::kRecruitPledge, "pledge on disk", S::kPledged, "now the position counts"},
       R::PledgeDurable},
      {{S::kPledged, "appointed", S::kWaiting, ""}, R::RecruitingOver},
      {{S::kPledged, "higher revoke", S::kRecruitPledge, ""}, R::HigherRevoke},
      {{S::kPledged, "told to fetch its tail", S::kFetching, "only from a recruit of this epoch"},
       R::FetchForMe},
      {{S::kFetching, "appointed meanwhile", S::kWaiting, ""}, R::RecruitingOver},
      {{S::kFetching, "tail complete or called off", S::kRecruitStop, "the position is taken anew"},
       R::FetchOver},

      {{S::kResuming, "resumed", S::kWaiting, ""}, R::ResumeAnswered},
      {{S::kResuming, "restored, as the end of replay shows", S::kRepairing,
        "it lacks what it acknowledged"},
       R::Broken},
      {{S::kPreparing, "superseded", S::kWaiting, ""}, R::NotMine},
      {{S::kPreparing, "synchronous list in force", S::kPromoting, "the list before the promotion"},
       R::ListInForce},
      {{S::kPromoting, "superseded", S::kWaiting, ""}, R::NotMine},
      {{S::kPromoting, "promoted on the assigned timeline", S::kMarking, ""}, R::Promoted},
      {{S::kMarking, "marker flushed", S::kBarrier, ""}, R::MarkerFlushed},
      {{S::kBarrier, "settled", S::kPrimary, "n members flushed the marker"}, R::Settled},
      {{S::kPrimary, "switchover begins", S::kDraining, ""}, R::DrainWanted},
      {{S::kDraining, "switchover undone", S::kPrimary, "the gate opens again"}, R::DrainUndone},

      {{S::kHandingOver, "stop takes too long", S::kDemoting, "immediate instead"}, R::StopTooSlow},
      {{S::kRepairing, "nothing to repair", S::kWaiting, "another primary, or done"},
       R::NothingToRepair},
      {{S::kClosed, "quarantine lifted", S::kStarting, ""}, R::QuarantineLifted},
  };
  return kRows;
}

namespace {
// One step takes a bounded number of rows: each state is entered at most twice.
constexpr std::size_t kMaxRows = 2 * kAgentStates;
}  // namespace

std::span<const Transition> Agent::Transitions() {
  static const std::vector<Transition> kTransitions = [] {
    std::vector<Transition> rows;
    for (const AgentRules::Row& row : AgentRules::Rows()) {
      rows.push_back(row.transition);
    }
    return rows;
  }();
  return kTransitions;
}

// Takes rows until none holds.
void Agent::Run(const Context& c) {
  const std::vector<AgentRules::Row>& rows = AgentRules::Rows();
  taken_.resize(rows.size());
  for (std::size_t steps = 0; steps < kMaxRows; ++steps) {
    std::size_t i = 0;
    for (; i < rows.size(); ++i) {
      const Transition& t = rows[i].transition;
      if ((t.from == AgentState::kAny || t.from == state_) && rows[i].guard(*this, c)) {
        break;
      }
    }
    if (i == rows.size()) {
      return;
    }
    ++taken_[i];
    Enter(rows[i].transition.to, c);
  }
}

}  // namespace pgquorum::failover
