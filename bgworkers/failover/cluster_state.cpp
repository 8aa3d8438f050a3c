// Rules, revokes, appointments: what decides who may write. Members, tokens and settings are in
// cluster_members.cpp, snapshots in state_codec.cpp.
#include "bgworkers/failover/cluster_state.h"

#include <algorithm>

#include "base/check.h"
#include "bgworkers/failover/bug.h"
#include "bgworkers/failover/state_helpers.h"

#include "base/pure.h"

namespace pgquorum::failover {

bool Rule::IsVoter(NodeId node) const {
  return Contains(voters, node);
}
bool Rule::IsSync(NodeId node) const {
  return Contains(sync, node);
}

bool Rule::Recruited(const std::set<NodeId>& pledged) const {
  if (pledged.contains(primary)) {
    return true;
  }
  std::size_t others = 0;
  for (NodeId node : voters) {
    others += node != primary && pledged.contains(node) ? 1 : 0;
  }
  // In asynchronous mode no set of others is enough by count: whoever answers.
  return async ? others > 0 : others >= voters.size() - n;
}

Epoch ClusterState::highest_epoch() const {
  return recruiting_ ? recruiting_->epoch : appointment_.epoch;
}

bool ClusterState::IsVoterOfAnyRule(NodeId node) const {
  return std::any_of(rules_.begin(), rules_.end(),
                     [node](const Rule& rule) { return rule.IsVoter(node); });
}

bool ClusterState::RecruitedForAllRules(const std::set<NodeId>& pledged) const {
  return std::all_of(rules_.begin(), rules_.end(),
                     [&pledged](const Rule& rule) { return rule.Recruited(pledged); });
}

bool ClusterState::MustPledge(NodeId node) const {
  if (!recruiting_) {
    return false;
  }
  const Member* member = FindMember(node);
  return member != nullptr && member->data() && member->info.voting &&
         (recruiting_->accept_loss || member->state == MemberState::kActive ||
          IsVoterOfAnyRule(node));
}

bool ClusterState::IsAssigned(Timeline timeline) const {
  return timeline <= timeline_base_ || timelines_.contains(timeline);
}

Position ClusterState::Effective(const History& history) const {
  Position reached;
  for (const TimelineSwitch& s : history.ancestors) {
    if (IsAssigned(s.timeline)) {
      reached = {s.timeline, s.end};
    } else if (PGQUORUM_FAILOVER_BUG(kForeignTailHides)) {
      return reached;
    }
  }
  return IsAssigned(history.timeline) ? Position{history.timeline, history.end} : reached;
}

uint32_t ClusterState::MinAcks() const {
  if (settings_.min_acks >= 0) {
    return static_cast<uint32_t>(settings_.min_acks);
  }
  return DataMembers() <= 2 ? 0 : 1;
}

uint32_t ClusterState::WantedAcks(std::size_t voters) const {
  if (settings_.async || voters == 0) {
    return 0;
  }
  std::size_t wanted = settings_.wanted_acks != 0 ? settings_.wanted_acks : voters / 2;
  return static_cast<uint32_t>(std::min(wanted, voters - 1));
}

Timeline ClusterState::AssignTimeline(Timeline floor, [[maybe_unused]] Timeline parent) {
  if (PGQUORUM_FAILOVER_BUG(kLocalTimelines)) {
    timelines_.insert(parent + 1);
    highest_timeline_ = std::max(highest_timeline_, parent + 1);
    return parent + 1;
  }
  highest_timeline_ = std::max(highest_timeline_, floor) + 1;
  timelines_.insert(highest_timeline_);
  if (timelines_.size() > kMaxTimelines) {
    // No living history is that old; the base only answers "was it assigned".
    timeline_base_ = *timelines_.begin();
    timelines_.erase(timelines_.begin());
  }
  return highest_timeline_;
}

HistoryEntry& ClusterState::BeginHistory(const Revoke& c) {
  if (!history_.empty() && history_.back().outcome == RequestOutcome::kPending) {
    history_.back().outcome = RequestOutcome::kFailed;
    history_.back().detail = "superseded";
    history_.back().finished_us = c.now_us;
  }
  HistoryEntry entry;
  entry.reason = c.reason;
  entry.outage_began_us = c.outage_began_us;
  entry.started_us = c.now_us;
  history_.push_back(entry);
  if (history_.size() > kMaxHistory) {
    history_.pop_front();
  }
  return history_.back();
}

ApplyResult ClusterState::Do(const Revoke& c) {
  if (c.current != highest_epoch()) {
    return Superseded(c.current, highest_epoch());
  }
  Epoch next{c.current.number + 1, c.current.generation};
  HistoryEntry& entry = BeginHistory(c);
  entry.epoch = next;
  entry.from = rule().primary;
  recruiting_ = Recruiting{next, c.reason, rule().primary, c.request, c.accept_loss, std::nullopt};
  for (FailoverRequest& request : requests_) {
    if (request.outcome != RequestOutcome::kPending) {
      continue;
    }
    if (request.verb.id == c.request) {
      request.epoch = next;
    } else {
      request.outcome = RequestOutcome::kFailed;
      request.detail = std::string("a failover began: ") + ToString(c.reason);
    }
  }
  return {};
}

ApplyResult ClusterState::Do(const FetchTail& c) {
  if (!recruiting_ || recruiting_->epoch != c.epoch) {
    return Superseded(c.epoch, highest_epoch());
  }
  if (!c.node) {
    recruiting_->fetch.reset();
    return {};
  }
  if (c.node == c.source || !MustPledge(c.node) || !MustPledge(c.source)) {
    return Refused("both nodes must be recruited");
  }
  recruiting_->fetch = c;
  return {};
}

ApplyResult ClusterState::Do(const Appoint& c) {
  if (!recruiting_ || recruiting_->epoch != c.epoch) {
    return Superseded(c.epoch, highest_epoch());
  }
  if (!Sorted(c.voters) || !Contains(c.voters, c.node) || !c.boot || !c.position) {
    return Refused("the appointment is incomplete");
  }
  for (NodeId voter : c.voters) {
    if (!MustPledge(voter)) {
      return Refused("node " + NameOf(voter) + " cannot be a voter of this appointment");
    }
  }
  if (c.n > c.voters.size() - 1) {
    return Refused("more acknowledgements than standbys");
  }
  if (c.n < MinAcks() && !recruiting_->accept_loss && !settings_.async) {
    return Refused("fewer acknowledgements than minimum_acks");
  }
  Rule next;
  next.epoch = c.epoch;
  next.primary = c.node;
  next.voters = c.voters;
  next.n = settings_.async ? 0 : c.n;
  next.g = next.n;
  next.async = settings_.async;
  for (NodeId voter : c.voters) {
    if (voter != c.node && next.g > 0) {
      next.sync.push_back(voter);
    }
  }
  bool wait = recruiting_->accept_loss ||
              std::any_of(rules_.begin(), rules_.end(), [](const Rule& r) { return r.n == 0; });
  // An older unsettled rule that asks for the very same recruits adds nothing.
  std::erase_if(rules_, [&next](const Rule& rule) {
    return rule.primary == next.primary && rule.voters == next.voters && rule.n == next.n &&
           rule.async == next.async;
  });
  if (rules_.size() >= kMaxRules) {
    return Refused("too many unsettled appointments");
  }
  rules_.push_back(std::move(next));
  Timeline timeline = AssignTimeline(c.timeline_floor, c.position.timeline);
  appointment_ = Appointment{c.epoch, c.node, c.boot, timeline, c.position, wait, false};
  recruiting_.reset();
  if (!history_.empty()) {
    history_.back().to = c.node;
    history_.back().timeline = timeline;
    history_.back().appointed_us = c.now_us;
  }
  return {Status::Ok(), NodeId(), timeline};
}

ApplyResult ClusterState::Do(const Resume& c) {
  if (recruiting_ || c.epoch != appointment_.epoch) {
    return Superseded(c.epoch, highest_epoch());
  }
  if (c.node != rule().primary) {
    return Refused("only the primary of the epoch can resume it");
  }
  if (!c.boot || c.boot == appointment_.boot) {
    return Refused("this start may write already");
  }
  if (appointment_.settled) {
    Revoke restart;
    restart.outage_began_us = c.now_us;
    restart.now_us = c.now_us;
    HistoryEntry& entry = BeginHistory(restart);
    entry.epoch = c.epoch;
    entry.from = c.node;
    entry.to = c.node;
    entry.detail = "resumed after a restart";
  }
  Timeline timeline = AssignTimeline(c.timeline_floor, appointment_.timeline);
  bool wait = !appointment_.settled && appointment_.wait_for_leases;
  appointment_ = Appointment{c.epoch, c.node, c.boot, timeline, Position(), wait, false};
  ++rules_.back().version;  // the names in the list change with the timeline
  if (!history_.empty()) {
    history_.back().timeline = timeline;
    history_.back().appointed_us = c.now_us;
  }
  return {Status::Ok(), NodeId(), timeline};
}

ApplyResult ClusterState::Do(const Settle& c) {
  if (recruiting_ || c.epoch != appointment_.epoch) {
    return Superseded(c.epoch, highest_epoch());
  }
  if (c.boot != appointment_.boot || c.timeline != appointment_.timeline || !c.boot) {
    return Refused("the node restarted since");
  }
  if (appointment_.settled) {
    return Refused("settled already");
  }
  appointment_.settled = true;
  // The primary cannot leave. Who was leaving and had to become it (nobody else could) stays, until
  // an administrator asks again.
  Member& member = members_[appointment_.node];
  if (member.state == MemberState::kLeaving) {
    member.state = MemberState::kActive;
  }
  longest_lease_ = settings_.lease_duration;
  rules_.erase(rules_.begin(), rules_.end() - 1);
  if (!history_.empty() && history_.back().outcome == RequestOutcome::kPending) {
    history_.back().outcome = RequestOutcome::kDone;
    history_.back().finished_us = c.now_us;
  }
  for (FailoverRequest& request : requests_) {
    if (request.outcome != RequestOutcome::kPending || !request.epoch) {
      continue;
    }
    bool as_wished = !request.verb.target || request.verb.target == appointment_.node;
    request.outcome = as_wished ? RequestOutcome::kDone : RequestOutcome::kFailed;
    request.detail = as_wished ? "" : NameOf(appointment_.node) + " became the primary instead";
  }
  return {};
}

ApplyResult ClusterState::Do(const AllowRepair& c) {
  if (recruiting_ || c.epoch != appointment_.epoch || !appointment_.settled) {
    return Superseded(c.epoch, highest_epoch());
  }
  if (c.node && (c.node == rule().primary || !rule().IsVoter(c.node))) {
    return Refused("only a voter other than the primary needs this");
  }
  rules_.back().repair = c.node;
  return {};
}

ApplyResult ClusterState::Do(const ChangeRule& c) {
  const Rule& old = rule();
  if (recruiting_ || c.epoch != appointment_.epoch || c.version != old.version) {
    return Refused("the rule changed since");
  }
  if (!appointment_.settled) {
    return Refused("the appointment is not settled");
  }
  if (!Sorted(c.voters) || !Sorted(c.sync) || !Contains(c.voters, old.primary)) {
    return Refused("voters must be sorted and hold the primary");
  }
  for (NodeId voter : c.voters) {
    const Member* member = FindMember(voter);
    if (member == nullptr || !member->data() || !member->info.voting) {
      return Refused("node " + NameOf(voter) + " cannot be a voter");
    }
  }
  for (NodeId node : c.sync) {
    if (node == old.primary || !Contains(c.voters, node)) {
      return Refused("the synchronous set must be standbys that are voters");
    }
  }
  if (c.g < c.n || c.g > c.sync.size() || c.n > c.voters.size() - 1) {
    return Refused("acknowledgements must satisfy n <= g <= size of the synchronous set");
  }
  if (c.n < std::min(MinAcks(), old.n) && !settings_.async) {
    return Refused("fewer acknowledgements than minimum_acks");
  }
  bool shrinks = std::any_of(old.voters.begin(), old.voters.end(),
                             [&c](NodeId voter) { return !Contains(c.voters, voter); });
  if ((shrinks || c.n > old.n) && !c.confirmed) {
    return Refused("the synchronous list must be in force before");
  }
  for (NodeId node : old.sync) {
    if (!Contains(c.voters, node)) {
      return Refused("node " + NameOf(node) + " must leave the synchronous set first");
    }
  }
  if (c.n > old.g) {
    return Refused("the list must ask for as many acknowledgements first");
  }
  Rule& rule = rules_.back();
  rule.voters = c.voters;
  rule.n = c.n;
  rule.sync = c.sync;
  rule.g = c.g;
  rule.async = c.n == 0 && (settings_.async || rule.async);
  ++rule.version;
  return {};
}

}  // namespace pgquorum::failover
