// What the SQL views see: the applied state and the newest reports, copied to shared memory.
#include "extension/pg/pg.h"

extern "C" {
#include "utils/timestamp.h"
}

#include <algorithm>

#include "bgworkers/consensus/health_policy.h"
#include "bgworkers/consensus/node.h"
#include "bgworkers/consensus/raft_metrics.h"

namespace pgquorum::consensus {

using failover::NodeId;
using failover::PeerView;
using failover::TimeNs;

namespace {

// Wall-clock time of a reading of this node's boot clock.
int64_t WallTime(TimeNs then, TimeNs now) {
  return then == 0 ? 0 : GetCurrentTimestamp() - (now - then) / 1000;
}

// Microseconds since 1970 (commands) to microseconds since 2000 (PostgreSQL).
int64_t FromUnix(int64_t unix_us) {
  constexpr int64_t kEpochDifference = (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
  return unix_us == 0 ? 0 : unix_us - kEpochDifference;
}

shared::MemberStatus StatusOf(Health health) {
  switch (health) {
    case Health::kHealthy:
      return shared::MemberStatus::kHealthy;
    case Health::kDegraded:
      return shared::MemberStatus::kDegraded;
    case Health::kFailed:
      return shared::MemberStatus::kFailed;
    case Health::kFenced:
      return shared::MemberStatus::kFenced;
    case Health::kUnknown:
      break;
  }
  return shared::MemberStatus::kUnknown;
}

shared::EventKind KindOf(const failover::HistoryEntry& entry) {
  if (entry.reason == failover::Reason::kSwitchover) {
    return shared::EventKind::kSwitchover;
  }
  if (entry.reason == failover::Reason::kForced || entry.reason == failover::Reason::kForceQuorum) {
    return shared::EventKind::kForcedFailover;
  }
  if (entry.from == entry.to) {
    return shared::EventKind::kResume;
  }
  return entry.from ? shared::EventKind::kFailover : shared::EventKind::kBootstrap;
}

}  // namespace

void Node::FillMember(shared::MemberView& out, const failover::Member& member, TimeNs now) const {
  const failover::Rule& rule = cluster_->rule();
  const failover::Appointment& appointment = cluster_->appointment();
  auto found = peers_.find(member.id);
  const PeerView* view = found == peers_.end() ? nullptr : &found->second;
  auto primary = peers_.find(appointment.node);
  HealthVerdict verdict = JudgeHealth(
      {*cluster_, member.id, view, primary == peers_.end() ? nullptr : &primary->second, now});
  out.raft_node_id = member.id.value();
  out.name.Set(member.info.name);
  out.host.Set(member.info.listen_host);
  out.port = member.info.listen_port;
  out.raft_host.Set(member.info.raft_host);
  out.raft_port = member.info.raft_port;
  out.priority = static_cast<int32_t>(member.info.priority);
  out.data_voter = rule.IsVoter(member.id) ? 1 : 0;
  out.synchronous = rule.IsSync(member.id) ? 1 : 0;
  out.is_self = member.id == self_ ? 1 : 0;
  out.connected = out.is_self != 0 || (view != nullptr && view->connected) ? 1 : 0;
  out.status = StatusOf(verdict.health);
  out.health_score = verdict.score;
  out.lag_bytes = verdict.lag_bytes;
  out.lag_us = verdict.lag_ms < 0 ? -1 : verdict.lag_ms * 1000;
  out.reason.Set(verdict.reason);
  if (!member.data()) {
    out.role = shared::MemberRole::kWitness;
  } else {
    out.application_name.Set(failover::StandbyName(member.info.name, appointment.timeline));
    out.role = member.id == appointment.node && appointment.settled ? shared::MemberRole::kPrimary
               : member.info.voting                                 ? shared::MemberRole::kStandby
                                                                    : shared::MemberRole::kObserver;
  }
  if (server_.facts().pg == failover::PgState::kPrimary && view != nullptr && view->report) {
    out.admission = static_cast<shared::Admission>(
        JudgeAdmission(*cluster_, server_.facts().history, &*view->report));
  }
  if (view == nullptr || !view->report) {
    return;
  }
  const failover::NodeReport& report = *view->report;
  out.streaming = report.receiver_running ? 1 : 0;
  if (report.pending_restart) {
    out.pending_restart =
        *report.pending_restart ? shared::PendingRestart::kYes : shared::PendingRestart::kNo;
  }
  out.timeline = report.history.timeline.value();
  out.boot_id = report.boot.value();
  bool primary_now = report.pg == failover::PgState::kPrimary;
  out.replay_lsn = (primary_now ? report.history.end : report.replay_lsn).value();
  out.flush_lsn =
      (primary_now ? report.history.end : std::max(report.receive_lsn, report.replay_lsn)).value();
  out.pledge_generation = report.pledge_epoch.generation;
  out.pledge_number = report.pledge_epoch.number;
  out.last_seen_us = WallTime(view->received_at, now);
  out.started_us = out.last_seen_us - static_cast<int64_t>(report.uptime_s) * USECS_PER_SEC;
}

void Node::Publish(TimeNs now) {
  shared::NodeView view{};
  view.published_us = GetCurrentTimestamp();
  const std::shared_ptr<const raft::HostStatus> published = host_->status();
  const raft::HostStatus& raft = *published;
  view.agent_state.Set(failover::ToString(agent_.state()));
  view.coordinator_state.Set(
      raft.role == raft::Role::kLeader ? (waiting_for_.empty() ? "idle" : waiting_for_) : "");
  view.lease_deadline_ns = static_cast<uint64_t>(std::max<TimeNs>(0, lease_deadline_));
  view.lease_renewals = lease_renewals_;
  view.lease_lapses = lease_lapses_;
  if (cluster_->created()) {
    const failover::Appointment& appointment = cluster_->appointment();
    const failover::Rule& rule = cluster_->rule();
    view.phase = cluster_->recruiting() ? shared::EpochPhase::kRevoked
                 : appointment.settled  ? shared::EpochPhase::kSettled
                                        : shared::EpochPhase::kAppointed;
    view.timeline = appointment.timeline.value();
    view.epoch_generation = cluster_->highest_epoch().generation;
    view.epoch_number = cluster_->highest_epoch().number;
    view.rule_version = rule.version;
    view.required_acks = rule.n;
    view.sync_acks = rule.g;
    view.sync_generation = server_.list_generation();
    if (const failover::Member* primary = cluster_->FindMember(appointment.node);
        primary != nullptr && appointment.settled && !cluster_->recruiting()) {
      view.primary_id = primary->id.value();
      view.primary_name.Set(primary->info.name);
      view.primary_host.Set(primary->info.listen_host);
      view.primary_port = primary->info.listen_port;
    }
    const failover::Settings& settings = cluster_->settings();
    view.failover_paused = settings.automatic_failover ? 0 : 1;
    view.lease_duration_ms = static_cast<uint32_t>(settings.lease_duration / failover::kMs);
    for (const auto& [id, member] : cluster_->members()) {
      if (view.member_count == shared::kMaxMembers) {
        break;
      }
      shared::MemberView& out = view.members[view.member_count++];
      FillMember(out, member, now);
      out.raft_voter = raft.configuration.IsVoter(raft::NodeId(id.value())) ? 1 : 0;
    }
  }
  shmem::PublishRaftMetrics(RaftMetrics(raft, machine_.leader_changes()));
  shmem::PublishNode(view);
  if (published_index_ != cluster_->applied_index()) {
    published_index_ = cluster_->applied_index();
    PublishHistory();
    PublishSettings();
  }
}

void Node::PublishSettings() {
  auto view = std::make_unique<shared::SettingsView>();
  *view = shared::SettingsView{};
  for (const failover::SettingText& setting : cluster_->settings().List()) {
    if (view->count == shared::kMaxSettings) {
      break;
    }
    shared::SettingView& out = view->entries[view->count++];
    out.name.Set(setting.name);
    out.value.Set(setting.value);
    out.default_value.Set(setting.default_value);
    out.unit.Set(setting.unit);
    out.allowed.Set(setting.allowed);
  }
  shmem::PublishSettings(*view);
}

void Node::PublishHistory() {
  auto view = std::make_unique<shared::HistoryView>();
  *view = shared::HistoryView{};
  const auto& history = cluster_->history();
  for (auto entry = history.rbegin(); entry != history.rend() && view->count < shared::kMaxHistory;
       ++entry) {
    shared::HistoryEntry& out = view->entries[view->count++];
    out.id = static_cast<uint64_t>(entry->started_us);
    out.epoch_generation = entry->epoch.generation;
    out.epoch_number = entry->epoch.number;
    out.kind = KindOf(*entry);
    out.outcome =
        entry->outcome == failover::RequestOutcome::kPending ? shared::EventOutcome::kRunning
        : entry->outcome == failover::RequestOutcome::kDone  ? shared::EventOutcome::kSucceeded
                                                             : shared::EventOutcome::kAbandoned;
    out.old_primary.Set(entry->from ? cluster_->NameOf(entry->from) : "");
    out.new_primary.Set(entry->to ? cluster_->NameOf(entry->to) : "");
    out.new_timeline = entry->timeline.value();
    out.detected_us = FromUnix(entry->outage_began_us);
    out.revoked_us = FromUnix(entry->started_us);
    out.appointed_us = FromUnix(entry->appointed_us);
    out.settled_us = FromUnix(entry->finished_us);
    out.reason.Set(entry->detail.empty() ? failover::ToString(entry->reason) : entry->detail);
  }
  shmem::PublishHistory(*view);
}

}  // namespace pgquorum::consensus
