#include "extension/pg/pg.h"

extern "C" {
#include "miscadmin.h"
#include "replication/walreceiver.h"
#include "storage/proc.h"
#include "utils/timestamp.h"
}

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "bgworkers/consensus/local_server.h"
#include "bgworkers/consensus/postgres_guard.h"
#include "extension/identity/files.h"
#include "extension/shmem.h"

namespace pgquorum::consensus {

using failover::ClusterState;
using failover::Epoch;
using failover::NodeId;
using failover::PgState;
using failover::TimeNs;

namespace {

// Each probe costs the server a process; a hung listener is rare, and nothing is lost meanwhile.
constexpr TimeNs kProbeInterval = 2000 * failover::kMs;
constexpr TimeNs kProbeTimeout = 3000 * failover::kMs;
// How long replay may take to its end before the queries that could hold it up are cancelled.
constexpr TimeNs kReplayPatience = 100 * failover::kMs;

// A generation above every one that a process of this boot has seen: a restarted worker must not
// take an old list for its own.
uint64_t HighestSeenGeneration() {
  shared::Root* root = shmem::Attach();
  uint64_t highest = 0;
  for (uint32_t i = 0; root != nullptr && i < root->process_slots; ++i) {
    highest = std::max(highest, root->processes()[i].sync_generation.load());
  }
  return highest;
}

}  // namespace

LocalServer::LocalServer(Paths paths, const identity::NodeIdentity& identity, bool tls)
    : paths_(std::move(paths)),
      identity_(identity),
      tls_(tls),
      settings_file_(paths_.data_directory),
      pledge_file_(paths_.state_directory + "/pledge", identity.cluster_id),
      mark_(paths_.state_directory + "/" + identity::kMarkFile) {
  settings_.sync_generation = HighestSeenGeneration();
}

Status LocalServer::Open() {
  facts_.witness = identity_.witness;
  if (facts_.witness) {
    return Status::Ok();
  }
  // A worker that was restarted alone finds a server at work: a standby is told its upstream anew
  // by the agent, but a primary's list stays as it is, for emptying it would release every waiter.
  settings_.synchronous_standby_names = SettingInForce("synchronous_standby_names");
  list_text_ = settings_.synchronous_standby_names;
  settings_.lift_replay_delay = true;
  Status applied = ApplySettings();
  if (!applied.ok()) {
    return applied;
  }
  const shared::Boot& boot = shmem::Attach()->boot;
  facts_.boot = failover::BootId(boot.boot_id);
  facts_.restored = boot.restored != 0;
  facts_.repair_attempts = boot.intent_outcome == shared::IntentOutcome::kFailed
                               ? std::max(1U, boot.intent_attempts)
                               : 0;
  if (boot.mode == shared::Mode::kClosed) {
    facts_.quarantine = std::string(boot.closed_reason.view());
  }
  facts_.ordered_timeline = failover::Timeline();
  if (Status marked = boot.mode == shared::Mode::kMember ? mark_.Open() : Status::Ok();
      !marked.ok()) {
    facts_.quarantine = marked.message();
    return marked;
  }
  Result<std::optional<std::string>> content = pledge_file_.Read();
  if (!content.ok()) {
    facts_.quarantine = content.status().message();
    return content.status();
  }
  if (content.value()) {
    ByteReader in(*content.value());
    facts_.pledge_epoch.number = in.U64();
    facts_.pledge_epoch.generation = in.U64();
    facts_.foreign_timeline = failover::Timeline(in.U32());
    facts_.ordered_timeline = failover::Timeline(in.U32());
    if (!in.Finished()) {
      facts_.quarantine = "the pledge file holds no pledge";
      return Status::Error("XX001", facts_.quarantine);
    }
  }
  bool repaired = boot.intent_outcome == shared::IntentOutcome::kRewound ||
                  boot.intent_outcome == shared::IntentOutcome::kRecloned;
  if (repaired && facts_.foreign_timeline) {
    return SavePledge(facts_.pledge_epoch, facts_.ordered_timeline, failover::Timeline());
  }
  return Status::Ok();
}

const failover::LocalFacts& LocalServer::Refresh(TimeNs now) {
  if (facts_.witness) {
    // Of its server, which holds nothing of the cluster, no more than this is anybody's business:
    // its timelines and positions mean nothing to the others.
    facts_.uptime_s = static_cast<uint64_t>((GetCurrentTimestamp() - PgStartTime) / USECS_PER_SEC);
    return facts_;
  }
  if (checkpoint_tag_asked_ != facts_.checkpoint_tag) {
    gatherer_.InvalidateControl();
  }
  const PostgresFacts& pg = gatherer_.Gather();
  RefreshRole(pg);
  RefreshReplay(pg);
  RefreshMark(pg, now);
  RestartLostReplay(pg);
  RefreshStreaming(pg);
  RefreshPromotion(pg);
  RefreshList(pg);
  RefreshHealth(pg, now);
  return facts_;
}

void LocalServer::RefreshRole(const PostgresFacts& pg) {
  if (stop_began_ != 0) {
    facts_.pg = PgState::kStopping;
  } else if (!pg.in_recovery) {
    facts_.pg = PgState::kPrimary;
  } else if (promotion_.state() == Promotion::State::kRunning || pg.promote_triggered) {
    facts_.pg = PgState::kPromoting;
  } else {
    // After a rewind or a base backup a server may be consistent only with WAL that it does not
    // have yet: at the end of its own it is a standby that needs an upstream, not one that still
    // starts.
    reached_local_end_ = reached_local_end_ || facts_.replay_settled;
    facts_.pg =
        pg.hot_standby_active || reached_local_end_ ? PgState::kStandby : PgState::kStarting;
  }
  facts_.history = pg.history;
  facts_.newest_timeline = pg.newest_known;
  facts_.wal_floor = pg.wal_floor;
  facts_.checkpointed = pg.control.checkpoint_timeline;
  if (!pg.in_recovery && checkpoint_tag_asked_ != facts_.checkpoint_tag &&
      pg.control.checkpoint_redo >= checkpoint_from_) {
    facts_.checkpoint_tag = checkpoint_tag_asked_;
  }
  const shared::Gate& gate = shmem::Attach()->gate;
  facts_.gate_open = shmem::GateIsOpen();
  facts_.admission = gate.admit.load() == static_cast<uint32_t>(shared::Admit::kClients)
                         ? failover::Admission::kClients
                         : failover::Admission::kAdministrators;
  facts_.commits_in_flight = static_cast<uint32_t>(std::max<int64_t>(0, shmem::Waiters()));
}

// The startup process is who starts and ends receivers: a change of upstream holds when it has read
// it.
bool LocalServer::StartupProcessFollows() const {
  if (gatherer_.startup_pid() == 0) {
    return true;
  }
  shared::Root* root = shmem::Attach();
  for (uint32_t i = 0; i < root->process_slots; ++i) {
    const shared::ProcessSlot& slot = root->processes()[i];
    if (slot.pid.load() == gatherer_.startup_pid()) {
      return slot.sync_generation.load() >= settings_.sync_generation;
    }
  }
  return false;
}

void LocalServer::RefreshReplay(const PostgresFacts& pg) {
  Status in_force_status = settings_file_.CheckInForce();
  bool in_force = in_force_status.ok() && (!pg.in_recovery || StartupProcessFollows());
  if (!in_force) {
    facts_.detail = in_force_status.ok() ? "the startup process has not read its configuration yet"
                                         : in_force_status.message();
  }
  if (in_force) {
    facts_.upstream = wanted_upstream_;
    facts_.upstream_timeline = wanted_upstream_timeline_;
  }
  facts_.receiver_running = pg.receiver.running;
  facts_.receiver_streaming = pg.receiver.streaming;
  if (pg.receiver.flushed_moved) {
    facts_.receive_timeline = pg.receiver.timeline;
    facts_.receive_lsn = pg.receiver.flushed;
  }
  facts_.receive_age_ms =
      pg.receiver.wal_age_ms < 0 ? 0 : static_cast<uint32_t>(pg.receiver.wal_age_ms);
  // The age of the last commit says too much after a quiet hour: one new record, not yet replayed,
  // is no hour's lag. So it counts no longer than this node has not been caught up.
  TimeNs now = static_cast<TimeNs>(shmem::BootTimeNs());
  if (pg.replay.lag_ms == 0 || behind_since_ == 0) {
    behind_since_ = now;
  }
  facts_.replay_lag_ms = static_cast<uint32_t>(
      std::min<int64_t>(pg.replay.lag_ms, (now - behind_since_) / failover::kMs));
  facts_.replay_settled = false;
  if (!pg.in_recovery) {
    return;
  }
  if (facts_.upstream || !in_force) {
    replay_end_.Reset();
    return;
  }
  if (replay_end_.Poll(pg, gatherer_.startup_pid())) {
    settle_asked_ = 0;
    facts_.replay_settled = true;
    failover::Position position = replay_end_.position();
    facts_.history.end = position.lsn;
    if (!facts_.boot_end && !facts_.receive_lsn) {
      facts_.boot_end = position.lsn;
    }
  } else {
    facts_.detail = replay_end_.obstacle();
    if (settle_asked_ != 0 && now - settle_asked_ > kReplayPatience) {
      settle_asked_ = now;
      Result<int> cancelled = CancelReplayConflicts();
      if (cancelled.ok() && cancelled.value() > 0) {
        ereport(LOG, (errmsg("pgquorum: cancelled %d queries that replay waited for",
                             cancelled.value())));
      }
    }
  }
}

// Does the directory hold what this node is known to have had? Asked once a boot, before anything
// was received; what is decided stays until the directory is replaced or accepted. Then, and only
// then, the mark moves on.
void LocalServer::RefreshMark(const PostgresFacts& pg, TimeNs now) {
  shared::Boot& boot = shmem::Attach()->boot;
  if (boot.mode != shared::Mode::kMember) {
    return;
  }
  if (boot.mark_compared == 0) {
    if (!facts_.replay_settled) {
      return;
    }
    boot.mark_compared = 1;
    if (!facts_.restored && EndsBelowMark(facts_.history, mark_.position())) {
      boot.restored = 1;
      facts_.restored = true;
      ereport(LOG, (errmsg("pgquorum: this data directory does not count for what the node has "
                           "acknowledged: its WAL ends at %s, but had reached %s",
                           failover::ToString(facts_.position()).c_str(),
                           failover::ToString(mark_.position()).c_str())));
    }
  }
  if (!facts_.restored) {
    mark_.Note(surviving_.Look(facts_.history, pg.insert, pg.flush), now);
  }
  if (Status failed = mark_.TakeError(); !failed.ok()) {
    ereport(LOG, (errmsg("pgquorum: the mark: %s", failed.message().c_str())));
  }
}

void LocalServer::RefreshStreaming(const PostgresFacts& pg) {
  StreamLook look;
  look.now = static_cast<TimeNs>(pg.gathered_at_ns);
  look.upstream_set = pg.in_recovery && facts_.upstream;
  look.segment_size = pg.control.wal_segment_size;
  look.upstream_floor = upstream_floor_;
  look.asked_from = pg.receiver.start;
  look.flushed = pg.receiver.flushed_moved ? pg.receiver.flushed : Lsn();
  look.replayed = pg.replay.end;
  look.receiver_pid = pg.receiver.pid;
  look.replay_awaits_wal = !pg.replay.paused && ReplayAwaitsWal(gatherer_.startup_pid());
  const failover::StreamError before = facts_.stream_error;
  facts_.stream_error = stream_judge_.Look(look);
  if (facts_.stream_error == before) {
    return;
  }
  if (facts_.stream_error == failover::StreamError::kWalRecycled) {
    ereport(LOG, (errmsg("pgquorum: the upstream has removed WAL that this standby needs")));
  } else if (facts_.stream_error == failover::StreamError::kDiverged) {
    ereport(LOG, (errmsg("pgquorum: what the upstream sends does not continue the WAL here")));
  }
}

void LocalServer::RefreshPromotion(const PostgresFacts& pg) {
  if (promotion_.state() != Promotion::State::kRunning) {
    return;
  }
  switch (promotion_.Poll()) {
    case Promotion::State::kDone:
      gatherer_.Invalidate();
      facts_.pg = PgState::kPromoting;  // primary with the next look, which reads the new history
      break;
    case Promotion::State::kFailed:
      ereport(LOG,
              (errmsg("pgquorum: promotion failed: %s", promotion_.error().message().c_str())));
      facts_.detail = promotion_.error().message();
      // Out of recovery on a timeline that no entry assigned: a writer that must not be.
      if (!pg.in_recovery) {
        shmem::CloseGate();
        Status stopped =
            Restart(StopMode::kImmediate, "promoted on a timeline that was not assigned");
        if (!stopped.ok()) {
          ereport(LOG, (errmsg("pgquorum: could not stop: %s", stopped.message().c_str())));
        }
      }
      break;
    default:
      break;
  }
}

void LocalServer::RefreshList(const PostgresFacts& pg) {
  if (!list_.epoch) {
    return;
  }
  if (!list_.in_force) {
    bool mine = settings_file_.CheckInForce().ok();
    // On a standby nobody waits for the list yet: what this process has read is what counts.
    list_.in_force =
        mine && (pg.in_recovery || shmem::SyncGenerationInForce(list_.generation, list_.g == 0));
    if (list_.in_force) {
      // Read now: what was released under the list of before may be above what was gathered.
      list_.confirm_after = pg.in_recovery ? Lsn() : InsertedEnd();
      shmem::AcceptLists({list_text_});
    }
  }
  if (list_.in_force && !list_.confirmed && !pg.in_recovery) {
    if (!list_.confirm_after) {
      list_.confirm_after = InsertedEnd();
    }
    uint32_t flushed = 0;
    for (const WalSenderFact& sender : pg.senders) {
      bool named = std::find(list_.names.begin(), list_.names.end(), sender.application_name) !=
                   list_.names.end();
      flushed += named && sender.flush >= list_.confirm_after ? 1 : 0;
    }
    list_.confirmed = flushed >= list_.g;
  }
  if (list_.in_force) {
    facts_.list_epoch = list_.epoch;
    facts_.list_version = list_.version;
    facts_.list_confirmed = list_.confirmed;
  }
}

void LocalServer::RefreshHealth(const PostgresFacts& pg, TimeNs now) {
  ListenerProbe::Result found = probe_.Poll(now, kProbeTimeout);
  // An exchange that waits is not begun anew, or its time would never be over.
  if (now >= probe_at_ && found != ListenerProbe::Result::kPending) {
    probe_at_ = now + kProbeInterval;
    probe_.Start(now);
  }
  switch (found) {
    case ListenerProbe::Result::kAlive:
      facts_.listener_ok = true;
      break;
    case ListenerProbe::Result::kDead:
      // A server that does not accept sessions yet refuses by protocol, which counts as alive.
      facts_.listener_ok = false;
      facts_.detail = probe_.error();
      break;
    default:
      break;
  }
  facts_.wal_writable = pg.wal_writable;
  facts_.wants_step_down = step_down_;
  facts_.pending_restart = pg.pending_restart;
  facts_.connections = static_cast<uint32_t>(pg.client_backends);
  facts_.uptime_s = static_cast<uint64_t>(pg.uptime_s);
}

void LocalServer::UpdateGate(TimeNs lease_deadline, const ClusterState& cluster) {
  lease_deadline_ = lease_deadline;
  if (!shmem::GateIsOpen()) {
    return;
  }
  if (!PutGate(cluster.rule()).ok()) {
    // A later epoch is in the log than the one this gate was opened for.
    shmem::CloseGate();
  }
}

void LocalServer::ReconcileSlots(const SlotPlan& plan) {
  if (facts_.witness) {
    return;
  }
  const PostgresFacts& pg = gatherer_.last();
  Status retained = rewind_retention_.Update(pg.control.checkpoint_redo, pg.history.end);
  if (!retained.ok() && retained.sqlstate() != "57P03") {
    ereport(LOG, (errmsg("pgquorum: retaining WAL for a rewind: %s", retained.message().c_str())));
  }
  Status status = consensus::ReconcileSlots(plan);
  if (!status.ok() && status.sqlstate() != "57P03") {
    ereport(LOG, (errmsg("pgquorum: replication slots: %s", status.message().c_str())));
  }
}

}  // namespace pgquorum::consensus
