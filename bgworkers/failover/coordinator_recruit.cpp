// From the revoke to the settled appointment.
#include <algorithm>

#include "bgworkers/failover/bug.h"
#include "bgworkers/failover/coordinator.h"
#include "bgworkers/failover/coordinator_views.h"

#include "base/pure.h"

namespace pgquorum::failover {
namespace {

bool AvoidsOldPrimary(Reason reason) {
  return reason == Reason::kListenerDead || reason == Reason::kWalNotWritable ||
         reason == Reason::kStepDown || reason == Reason::kSwitchover || reason == Reason::kForced;
}

std::string Names(const CoordinatorInputs& in, const std::set<NodeId>& nodes) {
  std::string text;
  for (NodeId node : nodes) {
    text += (text.empty() ? "" : ", ") + in.cluster.NameOf(node);
  }
  return text.empty() ? "none" : text;
}

}  // namespace

void Coordinator::DoRecruit(const In& in, Out& out) {
  const Recruiting& recruiting = *in.cluster.recruiting();
  std::vector<Recruit> recruits;
  for (const auto& [id, member] : in.cluster.members()) {
    const NodeReport* report = AnyReport(in, id);
    // A pledge and its position last, so an old report counts; to be a candidate the node must
    // answer.
    if (!in.cluster.MustPledge(id) || report == nullptr ||
        report->pledge_epoch != recruiting.epoch || !report->pledge_position) {
      continue;
    }
    recruits.push_back({id, report, *report->pledge_position, FreshReport(in, id) != nullptr});
  }
  if (Fetching(in, out) || !Complete(in, recruits, out)) {
    return;
  }
  if (complete_since_ == 0) {
    complete_since_ = in.now;
  }
  const Settings& settings = in.cluster.settings();
  const FailoverRequest* request = in.cluster.FindRequest(recruiting.request);
  NodeId target = request != nullptr ? request->verb.target : NodeId();
  bool target_here = std::any_of(recruits.begin(), recruits.end(),
                                 [target](const Recruit& r) { return r.node == target; });
  TimeNs patience_ends = complete_since_ + settings.switchover_tail_timeout;
  if (target && !target_here && in.now < patience_ends && FreshReport(in, target) != nullptr) {
    WakeAt(out, in.now, patience_ends);
    out.waiting_for = "the target of the switchover to pledge";
    return;
  }
  const Recruit* wanted = Prefer(in, recruits);
  if (wanted == nullptr) {
    out.waiting_for = "a recruited node that is fit to be the primary";
    return;
  }
  const Recruit* best = wanted;
  for (const Recruit& r : recruits) {
    bool further = PGQUORUM_FAILOVER_BUG(kLongestWalWins) ? r.position.lsn > best->position.lsn
                                                          : r.position > best->position;
    best = further ? &r : best;
  }
  if (best->position == wanted->position || PGQUORUM_FAILOVER_BUG(kLongestWalWins)) {
    AppointOne(in, recruits, PGQUORUM_FAILOVER_BUG(kLongestWalWins) ? *best : *wanted, out);
    return;
  }
  if (FetchFirst(in, *wanted, *best, out)) {
    return;
  }
  // The wanted node cannot get the tail: a node that has it.
  const Recruit* other = nullptr;
  for (const Recruit& r : recruits) {
    if (r.alive && r.position == best->position && r.report->wal_writable &&
        CanLead(in, *r.report) && CanBegin(*r.report, HighestReportedTimeline(in))) {
      other = &r;
    }
  }
  if (other != nullptr) {
    AppointOne(in, recruits, *other, out);
  } else {
    out.waiting_for = "the most advanced node, " + in.cluster.NameOf(best->node) + ", to answer";
  }
}

bool Coordinator::Complete(const In& in, const std::vector<Recruit>& recruits, Out& out) {
  const Recruiting& recruiting = *in.cluster.recruiting();
  std::set<NodeId> pledged;
  for (const Recruit& r : recruits) {
    pledged.insert(r.node);
  }
  bool whoever = recruiting.accept_loss;
  for (const Rule& rule : in.cluster.rules()) {
    whoever = whoever || rule.async;
  }
  bool complete =
      recruiting.accept_loss ? !pledged.empty() : in.cluster.RecruitedForAllRules(pledged);
  if (PGQUORUM_FAILOVER_BUG(kOnlyLastRule)) {
    complete = in.cluster.rule().Recruited(pledged);
  }
  if (PGQUORUM_FAILOVER_BUG(kRecruitOffByOne) && !complete && !pledged.empty()) {
    std::set<NodeId> more = pledged;
    for (NodeId voter : in.cluster.rule().voters) {
      if (voter != in.cluster.rule().primary && more.insert(voter).second) {
        break;
      }
    }
    complete = in.cluster.RecruitedForAllRules(more);
  }
  if (!complete) {
    out.waiting_for = "recruits for epoch " + ToString(recruiting.epoch) +
                      ", pledged so far: " + Names(in, pledged);
    return false;
  }
  if (!whoever) {
    return true;
  }
  // Whoever answers may be recruited: give those who answer the time to.
  TimeNs gather_ends = epoch_since_ + in.cluster.settings().async_gather_time;
  for (const auto& [id, member] : in.cluster.members()) {
    bool coming = in.cluster.MustPledge(id) && !pledged.contains(id) &&
                  FreshReport(in, id) != nullptr && in.now < gather_ends;
    if (coming) {
      WakeAt(out, in.now, gather_ends);
      out.waiting_for = "more voters to pledge";
      return false;
    }
  }
  return true;
}

// Whom the administrator or the priorities want, among the recruits that answer.
const Coordinator::Recruit* Coordinator::Prefer(const In& in,
                                                const std::vector<Recruit>& recruits) const {
  const Recruiting& recruiting = *in.cluster.recruiting();
  const FailoverRequest* request = in.cluster.FindRequest(recruiting.request);
  NodeId target = request != nullptr ? request->verb.target : NodeId();
  auto rank = [&](const Recruit& r) {
    bool avoided = r.node == recruiting.from && AvoidsOldPrimary(recruiting.reason);
    const Member& member = *in.cluster.FindMember(r.node);
    uint32_t priority = member.info.priority;
    bool stays = member.state != MemberState::kLeaving;
    bool assigned = in.cluster.IsAssigned(r.report->history.timeline);
    return std::make_tuple(r.node == target, assigned, stays, priority > 0, !avoided, priority,
                           r.position,
                           // The lowest id at last, so that every leader chooses the same.
                           ~r.node.value());
  };
  Timeline floor = HighestReportedTimeline(in);
  const Recruit* best = nullptr;
  for (const Recruit& r : recruits) {
    bool fit = r.alive && r.report->repair == Repair::kNone && CanBegin(*r.report, floor) &&
               CanLead(in, *r.report) && (r.report->wal_writable || r.node == target);
    if (fit && (best == nullptr || rank(r) > rank(*best))) {
      best = &r;
    }
  }
  return best;
}

// A fetch that was ordered (by this leader or the one before) goes on until it is complete or too
// late.
bool Coordinator::Fetching(const In& in, Out& out) {
  const std::optional<FetchTail>& fetch = in.cluster.recruiting()->fetch;
  if (!fetch) {
    return false;
  }
  if (fetch_node_ != fetch->node) {
    fetch_node_ = fetch->node;
    fetch_since_ = in.now;
  }
  const NodeReport* report = FreshReport(in, fetch->node);
  TimeNs patience_ends = fetch_since_ + 2 * in.cluster.settings().switchover_tail_timeout;
  bool done = report != nullptr && report->pledge_position &&
              report->pledge_epoch == fetch->epoch && *report->pledge_position >= fetch->until;
  if (done || report == nullptr) {
    fetch_tried_.insert(fetch->node);
    return false;
  }
  if (FreshReport(in, fetch->source) == nullptr || in.now >= patience_ends) {
    // A node that fetches reports no position: while it goes on it is no recruit.
    fetch_tried_.insert(fetch->node);
    Propose(in, out, FetchTail{fetch->epoch, NodeId(), NodeId(), Position()});
    return true;
  }
  WakeAt(out, in.now, patience_ends);
  out.waiting_for = in.cluster.NameOf(fetch->node) + " to fetch its tail from " +
                    in.cluster.NameOf(fetch->source);
  return true;
}

// The wanted node lacks WAL that a recruit has. True: it is being fetched.
bool Coordinator::FetchFirst(const In& in, const Recruit& wanted, const Recruit& best, Out& out) {
  const Recruiting& recruiting = *in.cluster.recruiting();
  History source = best.report->history;
  source.end = std::max(source.end, best.position.lsn);
  bool possible = best.alive && CanLead(in, *best.report) &&
                  source.Compatible(wanted.report->history) && source.Contains(wanted.position);
  if (!possible || fetch_tried_.contains(wanted.node)) {
    return false;
  }
  Propose(in, out, FetchTail{recruiting.epoch, wanted.node, best.node, best.position});
  return true;
}

void Coordinator::AppointOne(const In& in, const std::vector<Recruit>& recruits,
                             const Recruit& winner, Out& out) {
  const ClusterState& cluster = in.cluster;
  const Settings& settings = cluster.settings();
  History reach = winner.report->history;
  std::vector<NodeId> voters = {winner.node};
  std::vector<NodeId> diverged;
  for (const Recruit& r : recruits) {
    if (r.node == winner.node || !r.alive || r.report->repair != Repair::kNone) {
      continue;
    }
    const History& theirs = r.report->history;
    bool fits = reach.Compatible(theirs) && reach.Contains({theirs.timeline, theirs.end});
    (fits ? voters : diverged).push_back(r.node);
  }
  // A diverged recruit must be rewound before it can acknowledge: only when nobody else is there.
  uint32_t floor = cluster.recruiting()->accept_loss ? 0 : cluster.MinAcks();
  while (voters.size() - 1 < floor && !diverged.empty()) {
    voters.push_back(diverged.back());
    diverged.pop_back();
  }
  std::sort(voters.begin(), voters.end());
  uint32_t n = cluster.WantedAcks(voters.size());
  if (!settings.async) {
    if (voters.size() - 1 < floor) {
      out.waiting_for = "more voters: " + std::to_string(floor) + " must be able to acknowledge";
      return;
    }
    n = std::max(n, floor);
  }
  const NodeReport* old = AnyReport(in, cluster.recruiting()->from);
  bool forced =
      cluster.recruiting()->reason == Reason::kForced || cluster.recruiting()->accept_loss;
  if (settings.async && !forced && old != nullptr &&
      old->history.end.value() > winner.position.lsn.value() + settings.max_failover_lag) {
    out.waiting_for = cluster.NameOf(winner.node) + " lags too far for an automatic failover";
    return;
  }
  Appoint appoint;
  appoint.epoch = cluster.recruiting()->epoch;
  appoint.node = winner.node;
  appoint.boot = winner.report->boot;
  appoint.position = winner.position;
  appoint.voters = voters;
  appoint.n = n;
  appoint.timeline_floor = HighestReportedTimeline(in);
  appoint.now_us = in.wall_us;
  Propose(in, out, appoint);
}

// Commits of an older rule may need no standby: then its primary must have pledged, or every lease
// that could have been granted before the revoke was committed must have ended.
bool Coordinator::LeasesOver(const In& in, Out& out) const {
  const Appointment& app = in.cluster.appointment();
  if (!app.wait_for_leases || PGQUORUM_FAILOVER_BUG(kNoLeaseWait)) {
    return true;
  }
  bool pledged = true;
  for (const Rule& rule : in.cluster.rules()) {
    const NodeReport* report = AnyReport(in, rule.primary);
    pledged = pledged && (rule.primary == app.node ||
                          (report != nullptr && report->pledge_epoch >= app.epoch));
  }
  const Settings& settings = in.cluster.settings();
  TimeNs over = epoch_since_ + in.cluster.longest_lease() + settings.clock_drift_margin;
  if (pledged || in.now >= over) {
    return true;
  }
  WakeAt(out, in.now, over);
  out.waiting_for = "the old primary's lease to end";
  return false;
}

void Coordinator::DoSettle(const In& in, Out& out) {
  const Appointment& app = in.cluster.appointment();
  const Rule& rule = in.cluster.rule();
  if (!app.boot) {
    out.waiting_for = "the first member to ask for resume";
    return;
  }
  const NodeReport* primary = AnyReport(in, app.node);
  bool marked = primary != nullptr && primary->boot == app.boot &&
                primary->marker.timeline == app.timeline && primary->list_epoch == app.epoch;
  uint32_t flushed = 0;
  for (NodeId node : rule.sync) {
    const NodeReport* report = AnyReport(in, node);
    bool counts = marked && report != nullptr && report->upstream == app.node &&
                  report->upstream_timeline == app.timeline &&
                  report->receive_timeline == app.timeline &&
                  report->receive_lsn >= primary->marker.lsn;
    flushed += counts ? 1 : 0;
  }
  bool barrier = marked && flushed >= rule.n;
  if (PGQUORUM_FAILOVER_BUG(kSettleWithoutBarrier)) {
    barrier = primary != nullptr && primary->boot == app.boot && primary->pg == PgState::kPrimary;
  }
  if (barrier) {
    if (LeasesOver(in, out)) {
      Propose(in, out, Settle{app.epoch, app.boot, app.timeline, in.wall_us});
    }
    return;
  }
  out.waiting_for = !marked ? in.cluster.NameOf(app.node) + " to promote and write its marker"
                            : "the marker's flush on " + std::to_string(rule.n) +
                                  " standbys, so far on " + std::to_string(flushed);
  WakeAt(out, in.now, appointed_since_ + in.cluster.settings().appointment_timeout);
  if (Stuck(in)) {
    Revoke revoke;
    revoke.current = in.cluster.highest_epoch();
    revoke.reason = Reason::kAppointmentStuck;
    revoke.outage_began_us = in.wall_us;
    revoke.now_us = in.wall_us;
    Propose(in, out, revoke);
  }
}

// Too few of the appointment's own members can take part in its barrier, but another set would do.
bool Coordinator::Stuck(const In& in) const {
  if (in.now < appointed_since_ + in.cluster.settings().appointment_timeout) {
    return false;
  }
  const Rule& rule = in.cluster.rule();
  auto able = [&](NodeId node) { return CanStillFlush(in, node); };
  if (std::count_if(rule.sync.begin(), rule.sync.end(), able) >= rule.n) {
    return false;
  }
  // A diverged node that waits for its repair is recruited, and appointed with, like any other.
  return EnoughAnswer(in, FreshReport(in, rule.primary) == nullptr, /*with_diverged=*/true);
}

// A member that is being repaired does not answer, and is the more able afterwards: to supersede
// the appointment then would take the source away from it, and it might never end. Unless it takes
// longer than any voter may.
bool Coordinator::CanStillFlush(const In& in, NodeId node) const {
  const NodeReport* report = FreshReport(in, node);
  if (report != nullptr && report->repair == Repair::kNone) {
    return true;
  }
  const NodeReport* last = AnyReport(in, node);
  bool repairs =
      last != nullptr && last->repair != Repair::kNone && last->repair != Repair::kQuarantined;
  return repairs && in.now < appointed_since_ + in.cluster.settings().dead_voter_timeout;
}

}  // namespace pgquorum::failover
