// Keeping (V, n, S, g) and the Raft membership in line with the nodes that are there.
#include <algorithm>

#include "bgworkers/failover/bug.h"
#include "bgworkers/failover/coordinator.h"
#include "bgworkers/failover/coordinator_views.h"

#include "base/pure.h"

namespace pgquorum::failover {
namespace {

// A learner this close to the leader's log becomes a voter.
constexpr uint64_t kCaughtUpEntries = 64;

uint64_t Lag(const NodeReport& primary, const NodeReport& standby) {
  uint64_t end = primary.history.end.value();
  uint64_t received = standby.receive_lsn.value();
  return end > received ? end - received : 0;
}

}  // namespace

std::optional<ChangeRule> NextRule(const Rule& rule, std::vector<NodeId> voters, uint32_t n,
                                   bool confirmed) {
  std::sort(voters.begin(), voters.end());
  ChangeRule change;
  change.epoch = rule.epoch;
  change.version = rule.version;
  change.g = n;
  if (n > 0) {
    std::copy_if(voters.begin(), voters.end(), std::back_inserter(change.sync),
                 [&rule](NodeId node) { return node != rule.primary; });
  }
  // First: V only grows, n only falls, the list becomes what it shall be.
  change.n = std::min(n, rule.n);
  std::set_union(rule.voters.begin(), rule.voters.end(), voters.begin(), voters.end(),
                 std::back_inserter(change.voters));
  bool list_right = change.sync == rule.sync && change.g == rule.g;
  if (change.n != rule.n || change.voters != rule.voters || !list_right) {
    return change;
  }
  // Then, with the list in force: V shrinks, n rises.
  if (!confirmed || (voters == rule.voters && n == rule.n)) {
    return std::nullopt;
  }
  change.voters = std::move(voters);
  change.n = n;
  change.confirmed = true;
  return change;
}

bool Coordinator::StaysVoter(const In& in, const Member& member, Out& out) {
  const NodeReport* report = FreshReport(in, member.id);
  const NodeReport* primary = FreshReport(in, in.cluster.rule().primary);
  const Settings& settings = in.cluster.settings();
  if (member.state == MemberState::kLeaving || !member.info.voting) {
    return false;
  }
  if (report != nullptr && report->repair != Repair::kNone) {
    bad_since_.emplace(member.id, in.now);
    return false;  // it waits for this
  }
  bool streams = report != nullptr && Streams(in, *report);
  // Attached without taking anything is as bad as not attached.
  bool behind = streams && primary != nullptr && Lag(*primary, *report) > 0 &&
                report->receive_lsn <= progress_[member.id];
  if (report != nullptr) {
    progress_[member.id] = report->receive_lsn;
  }
  if (streams && !behind) {
    bad_since_.erase(member.id);
    return true;
  }
  TimeNs since = bad_since_.emplace(member.id, in.now).first->second;
  WakeAt(out, in.now, since + settings.dead_voter_timeout);
  return in.now < since + settings.dead_voter_timeout;
}

bool Coordinator::MayBecomeVoter(const In& in, const Member& member) const {
  const NodeReport* report = FreshReport(in, member.id);
  const NodeReport* primary = FreshReport(in, in.cluster.rule().primary);
  return member.data() && member.info.voting && member.state == MemberState::kActive &&
         report != nullptr && primary != nullptr && Streams(in, *report) && Healthy(*report) &&
         report->known_epoch == in.cluster.highest_epoch() &&
         Lag(*primary, *report) <= in.cluster.settings().max_join_lag &&
         Contains(in.raft.voters.current, member.id);
}

// A voter that waits to leave V for its repair, but that V cannot spare.
void Coordinator::RepairInPlace(const In& in, Out& out) {
  const Rule& rule = in.cluster.rule();
  const NodeReport* allowed = rule.repair ? FreshReport(in, rule.repair) : nullptr;
  if (rule.repair && rule.IsVoter(rule.repair)) {
    if (allowed != nullptr && Streams(in, *allowed)) {
      Propose(in, out, AllowRepair{rule.epoch, NodeId()});
    }
    return;
  }
  for (NodeId voter : rule.voters) {
    const NodeReport* report = FreshReport(in, voter);
    bool needs = report != nullptr && (report->repair == Repair::kNeedsRewind ||
                                       report->repair == Repair::kNeedsReclone);
    auto since = bad_since_.find(voter);
    if (!needs || voter == rule.primary || since == bad_since_.end()) {
      continue;
    }
    TimeNs patience_ends = since->second + in.cluster.settings().dead_voter_timeout;
    if (in.now >= patience_ends) {
      Propose(in, out, AllowRepair{rule.epoch, voter});
      return;
    }
    WakeAt(out, in.now, patience_ends);
  }
}

void Coordinator::Maintain(const In& in, Out& out) {
  const ClusterState& cluster = in.cluster;
  const Rule& rule = cluster.rule();
  const NodeReport* primary = FreshReport(in, rule.primary);
  const FailoverRequest* request = cluster.PendingRequest();
  if (primary == nullptr || primary->boot != cluster.appointment().boot ||
      primary->pg != PgState::kPrimary || (request != nullptr && request->draining)) {
    return;
  }
  std::vector<NodeId> voters = {rule.primary};
  std::vector<NodeId> lost;
  for (const auto& [id, member] : cluster.members()) {
    if (id == rule.primary) {
      continue;
    }
    if (!rule.IsVoter(id)) {
      if (MayBecomeVoter(in, member)) {
        voters.push_back(id);
      }
    } else if (StaysVoter(in, member, out)) {
      voters.push_back(id);
    } else {
      lost.push_back(id);
    }
  }
  // Below the floor lost voters stay: then commits wait for them rather than for nobody.
  uint32_t floor = cluster.settings().async ? 0 : std::min(cluster.MinAcks(), rule.n);
  while (voters.size() - 1 < floor && !lost.empty()) {
    voters.push_back(lost.back());
    lost.pop_back();
  }
  uint32_t n = cluster.WantedAcks(voters.size());
  if (!cluster.settings().async) {
    uint32_t most = static_cast<uint32_t>(voters.size() - 1);
    n = std::max(n, std::min(cluster.MinAcks(), most));
  }
  RepairInPlace(in, out);
  bool confirmed = primary->list_epoch == rule.epoch && primary->list_version == rule.version &&
                   primary->list_confirmed;
  std::optional<ChangeRule> change = NextRule(
      rule, std::move(voters), n, confirmed || PGQUORUM_FAILOVER_BUG(kRuleWithoutConfirmation));
  if (change) {
    Propose(in, out, *change);
  } else if (!confirmed) {
    out.waiting_for = "the synchronous list to be in force";
  }
}

void Coordinator::HandleMembership(const In& in, Out& out) {
  if (in.raft.change_pending) {
    return;
  }
  auto change = [&out](RaftChange::Kind kind, NodeId node) {
    if (out.raft_changes.empty()) {  // one at a time
      out.raft_changes.push_back({kind, node});
    }
  };
  for (const auto& [id, member] : in.cluster.members()) {
    bool voter = Contains(in.raft.voters.current, id);
    bool learner = Contains(in.raft.learners, id);
    if (member.state == MemberState::kLeaving) {
      if (in.cluster.IsVoterOfAnyRule(id)) {
        continue;
      }
      if (voter || learner) {
        change(RaftChange::Kind::kRemove, id);
      } else {
        Propose(in, out, ForgetMember{id});
      }
      continue;
    }
    if (voter) {
      if (member.state == MemberState::kJoining) {
        Propose(in, out, SetMemberState{id, MemberState::kActive});
      }
      continue;
    }
    if (!learner) {
      change(RaftChange::Kind::kAddLearner, id);
      continue;
    }
    auto match = in.raft.match.find(id);
    bool caught_up =
        match != in.raft.match.end() && match->second + kCaughtUpEntries >= in.raft.last_index;
    if (caught_up && FreshReport(in, id) != nullptr) {
      change(RaftChange::Kind::kPromote, id);
    }
  }
  for (const std::vector<NodeId>* nodes : {&in.raft.voters.current, &in.raft.learners}) {
    for (NodeId node : *nodes) {
      if (in.cluster.FindMember(node) == nullptr) {
        change(RaftChange::Kind::kRemove, node);
      }
    }
  }
}

}  // namespace pgquorum::failover
