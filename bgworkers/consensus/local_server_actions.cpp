// What the agent asks for, carried out. Each action is idempotent; the agent repeats it until the
// facts show its effect.
#include "extension/pg/pg.h"

extern "C" {
#include "miscadmin.h"
}

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "bgworkers/consensus/local_server.h"
#include "bgworkers/consensus/postgres_guard.h"
#include "extension/shmem.h"

namespace pgquorum::consensus {

using failover::ClusterState;
using failover::Epoch;
using failover::NodeId;
using failover::TimeNs;

namespace {

// How soon a standby whose upstream is gone, or refuses it, tries again.
constexpr uint32_t kRetrieveRetryMs = 100;

}  // namespace

void LocalServer::Execute(const failover::Action& action, const ClusterState& cluster) {
  Status status = std::visit([&](const auto& a) { return Do(a, cluster); }, action);
  std::string text = failover::ToString(action);
  if (status.ok()) {
    ereport(DEBUG1, (errmsg_internal("pgquorum: %s", text.c_str())));
    return;
  }
  facts_.detail = status.message();
  ereport(LOG, (errmsg("pgquorum: %s failed: %s", text.c_str(), status.ToString().c_str())));
}

Status LocalServer::ApplySettings() {
  ++settings_.sync_generation;
  return settings_file_.Apply(settings_);
}

Status LocalServer::Do(const failover::CloseGate& a, const ClusterState&) {
  shmem::CloseGate(a.retryable);
  return Status::Ok();
}

Status LocalServer::Do(const failover::OpenGate& a, const ClusterState& cluster) {
  gate_ = a;
  return PutGate(cluster.rule());
}

// The gate as the rule and the lease stand now. A gate of one epoch never takes the rule of
// another.
Status LocalServer::PutGate(const failover::Rule& rule) {
  if (rule.epoch != gate_.epoch) {
    return Status::Error("55000", "the rule in force is of another epoch");
  }
  shmem::GateOpening opening{};
  opening.epoch_generation = rule.epoch.generation;
  opening.epoch_number = rule.epoch.number;
  opening.rule_version = rule.version;
  opening.lease_deadline_ns = static_cast<uint64_t>(std::max<TimeNs>(0, lease_deadline_));
  opening.required_acks = rule.n;
  shmem::OpenGate(opening);
  return Status::Ok();
}

Status LocalServer::Do(const failover::Admit& a, const ClusterState&) {
  shmem::SetAdmit(a.who == failover::Admission::kClients ? shared::Admit::kClients
                                                         : shared::Admit::kAdministrators);
  return Status::Ok();
}

Status LocalServer::Do(const failover::ClearUpstream&, const ClusterState&) {
  wanted_upstream_ = NodeId();
  wanted_upstream_timeline_ = failover::Timeline();
  settings_.primary_conninfo.clear();
  settings_.primary_slot_name.clear();
  settings_.lift_replay_delay = true;
  // Nothing comes by itself without an upstream: no polling, and no log line for each look.
  settings_.wal_retrieve_retry_interval_ms = 0;
  return ApplySettings();
}

Status LocalServer::Do(const failover::StopReceiver&, const ClusterState&) {
  // The startup process ends the receiver when it reads the empty upstream; while replay is paused
  // or waits for a conflicting query it does not, so the receiver is told as well.
  EndReceiver(gatherer_.last().receiver);
  WakeReplay();
  return Status::Ok();
}

Status LocalServer::Do(const failover::SettleReplay&, const ClusterState&) {
  // Readers are cancelled only when replay turns out to wait for them (RefreshReplay): a session
  // that merely reads, or waits for the outcome of this very switchover, is in nobody's way.
  if (settle_asked_ == 0) {
    settle_asked_ = static_cast<TimeNs>(shmem::BootTimeNs());
  }
  Status lifted = LiftReplayPause();
  WakeReplay();
  return lifted;
}

Status LocalServer::Do(const failover::WritePledge& a, const ClusterState&) {
  return SavePledge(a.epoch, facts_.ordered_timeline, facts_.foreign_timeline);
}

Status LocalServer::Do(const failover::MarkForeignTimeline& a, const ClusterState&) {
  return SavePledge(facts_.pledge_epoch, facts_.ordered_timeline, a.timeline);
}

Status LocalServer::SavePledge(Epoch epoch, std::optional<failover::Timeline> ordered,
                               failover::Timeline foreign) {
  ByteWriter out;
  out.U64(epoch.number);
  out.U64(epoch.generation);
  out.U32(foreign.value());
  out.U32(ordered.value_or(failover::Timeline()).value());
  Status written = pledge_file_.Write(out.data());
  if (written.ok()) {
    facts_.pledge_epoch = epoch;
    facts_.ordered_timeline = ordered;
    facts_.foreign_timeline = foreign;
  }
  return written;
}

Result<Upstream> LocalServer::UpstreamTo(NodeId node, const std::string& application_name,
                                         const ClusterState& cluster) const {
  const failover::Member* member = cluster.FindMember(node);
  if (member == nullptr) {
    return Status::Error("55000", "the upstream is no member of the cluster");
  }
  Upstream upstream;
  upstream.host = member->info.listen_host;
  upstream.port = member->info.listen_port;
  upstream.application_name = application_name;
  upstream.tls = tls_;
  upstream.pki_directory = paths_.state_directory + "/pki";
  return upstream;
}

Status LocalServer::Do(const failover::SetUpstream& a, const ClusterState& cluster) {
  Result<Upstream> upstream = UpstreamTo(a.node, a.name, cluster);
  if (!upstream.ok()) {
    return upstream.status();
  }
  wanted_upstream_ = a.node;
  wanted_upstream_timeline_ = a.timeline;
  settings_.primary_conninfo = BuildPrimaryConninfo(upstream.value());
  settings_.primary_slot_name = SlotName(identity_.node_name);
  settings_.lift_replay_delay = false;
  settings_.wal_retrieve_retry_interval_ms = kRetrieveRetryMs;
  Status applied = ApplySettings();
  WakeReplay();
  return applied;
}

Status LocalServer::Do(const failover::SetSyncList& a, const ClusterState&) {
  if (list_.epoch == a.epoch && list_.version == a.version && list_.generation != 0) {
    return ReloadConfiguration();  // asked again: somebody has not read it yet
  }
  Result<std::string> text = BuildSynchronousStandbyNames(a.g, a.names);
  if (!text.ok()) {
    return text.status();
  }
  shmem::AcceptLists({text.value(), list_text_});
  list_text_ = text.value();
  settings_.synchronous_standby_names = list_text_;
  Status applied = ApplySettings();
  list_ =
      ListChange{a.epoch, a.version, settings_.sync_generation, a.g, a.names, false, Lsn(), false};
  return applied;
}

Status LocalServer::Do(const failover::Promote& a, const ClusterState&) {
  if (promotion_.state() == Promotion::State::kRunning) {
    return Status::Ok();
  }
  // Durable before the promotion: what began this timeline was an order, not somebody's hand.
  Status recorded = SavePledge(facts_.pledge_epoch, a.timeline, failover::Timeline());
  if (!recorded.ok()) {
    return recorded;
  }
  promotion_ = Promotion();
  Status begun = promotion_.Begin(facts_.history.timeline, a.timeline);
  WakeReplay();
  return begun;
}

Status LocalServer::Do(const failover::WriteMarker& a, const ClusterState&) {
  Result<failover::Position> marker = consensus::WriteMarker(failover::ToString(a.epoch));
  if (!marker.ok()) {
    return marker.status();
  }
  if (marker.value().timeline != a.timeline) {
    return Status::Error("55000", "the marker was written on another timeline");
  }
  facts_.marker = marker.value();
  return Status::Ok();
}

Status LocalServer::Do(const failover::NudgeStandbys&, const ClusterState&) {
  return consensus::WriteMarker("nudge").status();
}

Status LocalServer::Do(const failover::Checkpoint& a, const ClusterState&) {
  checkpoint_tag_asked_ = a.tag;
  checkpoint_from_ = gatherer_.last().insert;
  gatherer_.Invalidate();
  return RequestCheckpointNow();
}

// The postmaster restarts itself in place, as a standby, when it finds the order on its way out.
Status LocalServer::Restart(StopMode mode, const char* reason) {
  if (step_down_) {
    // The administrator stops the server: it must end, not come back as a standby.
    return Status::Ok();
  }
  identity::DemoteOrder order;
  order.postmaster_pid = static_cast<uint64_t>(PostmasterPid);
  order.boot_id = facts_.boot.value();
  order.reason = reason;
  Status saved = identity::Save(paths_.state_directory + "/" + identity::kDemoteFile, order);
  if (!saved.ok()) {
    return saved;
  }
  ereport(LOG, (errmsg("pgquorum: restarting as a standby: %s", reason)));
  stop_began_ = static_cast<TimeNs>(shmem::BootTimeNs());
  return StopServer(mode);
}

Status LocalServer::CloseForGood() {
  return Restart(StopMode::kImmediate, "this node was shut out by a forced quorum");
}

Status LocalServer::Do(const failover::DemoteRestart&, const ClusterState&) {
  shmem::CloseGate();
  return Restart(StopMode::kImmediate, "this node is not the primary any more");
}

Status LocalServer::Do(const failover::FastStop&, const ClusterState&) {
  shmem::CloseGate();
  return Restart(StopMode::kFast, "planned switchover");
}

Status LocalServer::Do(const failover::EndWalsenders& a, const ClusterState& cluster) {
  std::string keep = cluster.NameOf(a.except) + ".t";
  EndWalSenders(gatherer_.last().senders, [&](const WalSenderFact& sender) {
    return sender.application_name.rfind(keep, 0) != 0;
  });
  return Status::Ok();
}

Status LocalServer::Repair(identity::Intent::Kind kind, NodeId source, Epoch epoch,
                           const ClusterState& cluster) {
  Result<Upstream> upstream =
      UpstreamTo(source, "pgquorum repair of " + identity_.node_name, cluster);
  if (!upstream.ok()) {
    return upstream.status();
  }
  identity::Intent intent;
  intent.kind = kind;
  intent.source_node = cluster.NameOf(source);
  intent.source_conninfo = BuildPrimaryConninfo(upstream.value());
  intent.epoch_generation = epoch.generation;
  intent.epoch_number = epoch.number;
  intent.reason = facts_.detail;
  intent.attempts = facts_.repair_attempts;
  Status saved = identity::Save(paths_.state_directory + "/" + identity::kIntentFile, intent);
  if (!saved.ok()) {
    return saved;
  }
  facts_.repair_running = true;
  return Restart(StopMode::kImmediate, kind == identity::Intent::Kind::kRewind
                                           ? "rewinding"
                                           : "taking a new base backup");
}

Status LocalServer::Do(const failover::Rewind& a, const ClusterState& cluster) {
  return Repair(identity::Intent::Kind::kRewind, a.source, a.epoch, cluster);
}

Status LocalServer::Do(const failover::Reclone& a, const ClusterState& cluster) {
  return Repair(identity::Intent::Kind::kReclone, a.source, a.epoch, cluster);
}

Status LocalServer::Do(const failover::AcceptDataDirectory&, const ClusterState&) {
  // Durable first: after another start nothing else would tell.
  Status accepted = mark_.Accept();
  if (accepted.ok()) {
    facts_.restored = false;
    shmem::Attach()->boot.restored = 0;
    // The counterpart of what was said at the start (extension/hooks/boot).
    ereport(LOG, (errmsg("pgquorum: this data directory counts from now on")));
  }
  return accepted;
}

}  // namespace pgquorum::consensus
