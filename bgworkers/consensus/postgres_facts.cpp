#include "bgworkers/consensus/postgres_facts.h"

#include <sys/statvfs.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include "bgworkers/consensus/postgres_guard.h"
#include "bgworkers/consensus/postgres_timeline.h"
#include "bgworkers/consensus/postgres_wal.h"
#include "extension/identity/files.h"
#include "extension/pg/compat.h"
#include "sqlstates.h"

extern "C" {
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogrecovery.h"
#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "miscadmin.h"
#include "replication/walreceiver.h"
#include "replication/walsender.h"
#include "replication/walsender_private.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "utils/backend_status.h"
#include "utils/timestamp.h"
}

namespace pgquorum::consensus {

namespace {

int64_t BootTimeNs() {
  timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// Milliseconds from `then` to now by PostgreSQL's clock; -1 for "never". Never negative otherwise:
// the wall clock may have been set back.
int64_t AgeMs(TimestampTz then) {
  if (then == 0) {
    return -1;
  }
  return std::max<int64_t>(0, (GetCurrentTimestamp() - then) / 1000);
}

WalSenderFact::State StateOf(WalSndState state) {
  switch (state) {
    case WALSNDSTATE_STARTUP:
      return WalSenderFact::State::kStartup;
    case WALSNDSTATE_BACKUP:
      return WalSenderFact::State::kBackup;
    case WALSNDSTATE_CATCHUP:
      return WalSenderFact::State::kCatchup;
    case WALSNDSTATE_STREAMING:
      return WalSenderFact::State::kStreaming;
    case WALSNDSTATE_STOPPING:
      return WalSenderFact::State::kStopping;
  }
  return WalSenderFact::State::kStartup;
}

}  // namespace

Lsn InsertedEnd() {
  const XLogRecPtr next = GetXLogInsertRecPtr();
  const uint64 offset = XLogSegmentOffset(next, wal_segment_size);
  if (offset == SizeOfXLogLongPHD) {
    return Lsn(next - SizeOfXLogLongPHD);
  }
  return Lsn(offset % XLOG_BLCKSZ == SizeOfXLogShortPHD ? next - SizeOfXLogShortPHD : next);
}

Result<ControlFact> ReadControlFile() {
  // Reading races with a writer; the CRC tells (pg_controldata has the same exposure).
  constexpr int kAttempts = 3;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    ControlFileData copy;
    bool crc_ok = false;
    Status status = Guarded("could not read the control file", [&] {
      ControlFileData* file = get_controlfile(DataDir, &crc_ok);
      copy = *file;
      pfree(file);
    });
    if (!status.ok()) {
      return status;
    }
    if (!crc_ok) {
      continue;
    }
    ControlFact fact;
    fact.system_identifier = copy.system_identifier;
    fact.state = copy.state;
    fact.checkpoint_timeline = Timeline(copy.checkPointCopy.ThisTimeLineID);
    fact.checkpoint_redo = Lsn(copy.checkPointCopy.redo);
    fact.min_recovery_timeline = Timeline(copy.minRecoveryPointTLI);
    fact.min_recovery_end = Lsn(copy.minRecoveryPoint);
    fact.checksums = copy.data_checksum_version != 0;
    fact.wal_log_hints = copy.wal_log_hints;
    fact.wal_segment_size = copy.xlog_seg_size;
    return fact;
  }
  return Status::Error(sqlstate::kDataCorrupted, "the control file fails its checksum");
}

void FactGatherer::Invalidate() {
  backends_read_at_ = 0;
  control_read_at_ = 0;
  disk_read_at_ = 0;
  timelines_read_at_ = 0;
  segments_read_at_ = 0;
  history_of_ = Timeline();
}

void FactGatherer::Warn(const char* part, const Status& status) {
  warnings_.push_back(std::string(part) + ": " + status.ToString());
}

const PostgresFacts& FactGatherer::Gather() {
  warnings_.clear();
  facts_.gathered_at_ns = BootTimeNs();
  facts_.uptime_s = AgeMs(PgStartTime) / 1000;
  GatherRole();
  GatherSenders();
  GatherBackends();
  GatherReceiver();
  GatherReplay();
  GatherHistory();
  GatherNewestTimeline();
  GatherWalFiles();
  GatherSyncQueue();
  GatherControl();
  GatherDisk();
  GatherSettings();
  return facts_;
}

void FactGatherer::GatherRole() {
  facts_.in_recovery = RecoveryInProgress();
  facts_.hot_standby_active = facts_.in_recovery && HotStandbyActive();
  facts_.promote_triggered = facts_.in_recovery && PromoteIsTriggered();
  if (facts_.in_recovery) {
    TimeLineID timeline = 0;
    const XLogRecPtr end = GetXLogReplayRecPtr(&timeline);
    facts_.replay.timeline = Timeline(timeline);
    facts_.replay.end = Lsn(end);
    facts_.history.timeline = Timeline(timeline);
    facts_.history.end = Lsn(end);
    facts_.insert = facts_.write = facts_.flush = Lsn();
    return;
  }
  TimeLineID timeline = 0;
  facts_.flush = Lsn(GetFlushRecPtr(&timeline));
  facts_.write = Lsn(GetXLogWriteRecPtr());
  facts_.insert = InsertedEnd();
  facts_.history.timeline = Timeline(timeline);
  facts_.history.end = facts_.flush;
  facts_.replay = ReplayFact();
}

void FactGatherer::GatherReceiver() {
  ReceiverFact& fact = facts_.receiver;
  if (!facts_.in_recovery) {
    fact = ReceiverFact();
    last_received_ = Lsn();
    return;
  }
  // A copy under the spinlock, plain assignments only.
  static WalRcvData copy;
  SpinLockAcquire(&WalRcv->mutex);
  std::memcpy(static_cast<void*>(&copy), WalRcv, sizeof copy);
  SpinLockRelease(&WalRcv->mutex);

  const bool was_running = fact.running;
  fact.running = copy.walRcvState != WALRCV_STOPPED;
  if (was_running && !fact.running) {
    timelines_read_at_ = 0;  // it may have brought history files; a pledge reports the newest
  }
  fact.pid = fact.running ? copy.pid : 0;
  fact.streaming = copy.walRcvState == WALRCV_STREAMING;
  fact.host = fact.running && copy.ready_to_display ? copy.sender_host : "";
  fact.port = fact.running && copy.ready_to_display ? copy.sender_port : 0;
  fact.slot = fact.running ? copy.slotname : "";
  fact.timeline = Timeline(copy.receivedTLI);
  fact.start = Lsn(copy.receiveStart);
  fact.start_timeline = Timeline(copy.receiveStartTLI);
  fact.flushed = Lsn(copy.flushedUpto);
  fact.flushed_moved = fact.flushed > fact.start;
  if (!fact.flushed_moved && fact.streaming) {
    // The receiver takes what was replayed before for flushed, so what the upstream sends again up
    // to there moves nothing. While the primary is idle that is all there is.
    const Lsn again = std::min(Lsn(pg_atomic_read_u64(&copy.writtenUpto)), facts_.replay.end);
    if (again > fact.start) {
      fact.flushed = again;
      fact.flushed_moved = true;
    }
  }
  fact.message_age_ms = fact.running ? AgeMs(copy.lastMsgReceiptTime) : -1;
  if (fact.flushed != last_received_) {
    last_received_ = fact.flushed;
    last_received_at_ = facts_.gathered_at_ns;
  }
  fact.wal_age_ms =
      fact.flushed_moved ? (facts_.gathered_at_ns - last_received_at_) / 1'000'000 : -1;
}

void FactGatherer::GatherReplay() {
  if (!facts_.in_recovery) {
    return;
  }
  ReplayFact& fact = facts_.replay;
  fact.paused = GetRecoveryPauseState() != RECOVERY_NOT_PAUSED;
  fact.delay_ms = recovery_min_apply_delay;
  const bool caught_up = !facts_.receiver.flushed_moved || facts_.receiver.flushed <= fact.end;
  fact.lag_ms = caught_up ? 0 : std::max<int64_t>(0, AgeMs(GetLatestXTime()));
}

void FactGatherer::GatherHistory() {
  const Timeline timeline = facts_.history.timeline;
  if (timeline == history_of_ || !timeline) {
    return;
  }
  Result<std::vector<failover::TimelineSwitch>> ancestors = ReadTimelineHistory(".", timeline);
  if (!ancestors.ok()) {
    // Without ancestors this node claims less than it has, and nobody will be told to follow it.
    facts_.history.ancestors.clear();
    Warn("timeline history", ancestors.status());
    return;
  }
  facts_.history.ancestors = std::move(ancestors).value();
  // Others may want to follow this node from now on.
  if (Result<int> done = CompleteTimelines(".", timeline, facts_.history.ancestors); !done.ok()) {
    Warn("timeline files", done.status());
  }
  history_of_ = timeline;
  timelines_read_at_ = 0;
}

void FactGatherer::GatherNewestTimeline() {
  const int64_t now = facts_.gathered_at_ns;
  if (timelines_read_at_ == 0 || now - timelines_read_at_ >= kTimelinesIntervalNs) {
    Result<TimelineFiles> files = ListTimelineFiles(".");
    if (files.ok()) {
      timelines_read_at_ = now;
      for (const std::vector<uint32_t>* ids : {&files.value().real, &files.value().placeholders}) {
        if (!ids->empty()) {
          facts_.newest_known = std::max(facts_.newest_known, Timeline(ids->back()));
        }
      }
    } else {
      Warn("timeline files", files.status());
    }
  }
  facts_.newest_known = std::max(facts_.newest_known, facts_.history.timeline);
}

void FactGatherer::GatherWalFiles() {
  const auto size = static_cast<uint64_t>(wal_segment_size);
  // The server removes files below this one only, and says so at once.
  const XLogSegNo removed = XLogGetLastRemovedSegno();  // 0: none yet
  facts_.wal_floor = std::max(facts_.wal_floor, Lsn(removed == 0 ? 0 : (removed + 1) * size));
  const int64_t now = facts_.gathered_at_ns;
  if (!facts_.history.end ||
      (segments_read_at_ != 0 && now - segments_read_at_ < kTimelinesIntervalNs)) {
    return;
  }
  Result<uint64_t> oldest = OldestSegment(".", facts_.history.end.value() / size,
                                          static_cast<uint32_t>(wal_segment_size));
  if (!oldest.ok()) {
    Warn("WAL files", oldest.status());
    return;
  }
  segments_read_at_ = now;
  facts_.wal_floor = Lsn(oldest.value() * size);
}

void FactGatherer::GatherSenders() {
  facts_.senders.clear();
  for (int i = 0; i < max_wal_senders; ++i) {
    WalSnd* slot = &WalSndCtl->walsnds[i];
    WalSenderFact fact;
    TimestampTz reply_time = 0;
    SpinLockAcquire(&slot->mutex);
    fact.pid = slot->pid;
    if (fact.pid != 0) {
      fact.state = StateOf(slot->state);
      fact.sent = Lsn(slot->sentPtr);
      fact.write = Lsn(slot->write);
      fact.flush = Lsn(slot->flush);
      fact.apply = Lsn(slot->apply);
      fact.sync_priority = slot->sync_standby_priority;
      reply_time = slot->replyTime;
    }
    SpinLockRelease(&slot->mutex);
    if (fact.pid != 0) {
      fact.reply_age_ms = AgeMs(reply_time);
      facts_.senders.push_back(std::move(fact));
    }
  }
}

void FactGatherer::GatherBackends() {
  const bool unnamed = std::any_of(
      facts_.senders.begin(), facts_.senders.end(),
      [this](const WalSenderFact& s) { return sender_names_.find(s.pid) == sender_names_.end(); });
  const bool startup_unknown = facts_.in_recovery && startup_pid_ == 0;
  if (unnamed || startup_unknown || backends_read_at_ == 0 ||
      facts_.gathered_at_ns - backends_read_at_ >= kSlowIntervalNs) {
    ReadBackends();
  }
  for (WalSenderFact& fact : facts_.senders) {
    const auto found = sender_names_.find(fact.pid);
    if (found != sender_names_.end()) {
      fact.application_name = found->second.application_name;
      fact.connected_at_us = found->second.connected_at_us;
    }
  }
}

// A copy of all backend entries: the only way to a walsender's name. Its cost grows with
// max_connections, hence the cache.
void FactGatherer::ReadBackends() {
  int count = 0;
  Status status = Guarded("could not read the backend entries", [&] {
    pgstat_clear_backend_activity_snapshot();
    count = pgstat_fetch_stat_numbackends();
  });
  if (!status.ok()) {
    Warn("backends", status);
    return;
  }
  backends_read_at_ = facts_.gathered_at_ns;
  sender_names_.clear();
  startup_pid_ = 0;
  facts_.client_backends = 0;
  for (int i = 1; i <= count; ++i) {
    // The snapshot exists: this only indexes it.
    const PgBackendStatus* entry = pgstat_fetch_stat_beentry(i);
    if (entry == nullptr || entry->st_procpid <= 0) {
      continue;
    }
    if (entry->st_backendType == B_WAL_SENDER) {
      // The name arrives with the connection, before the walsender's slot is taken.
      sender_names_[entry->st_procpid] = {entry->st_appname, entry->st_proc_start_timestamp};
    } else if (entry->st_backendType == B_STARTUP) {
      startup_pid_ = entry->st_procpid;
    } else if (entry->st_backendType == B_BACKEND) {
      ++facts_.client_backends;
    }
  }
  pgstat_clear_backend_activity_snapshot();
}

void FactGatherer::GatherSyncQueue() {
  int waiters = 0;
  LWLockAcquire(SyncRepLock, LW_SHARED);
  for (SHM_QUEUE& queue : WalSndCtl->SyncRepQueue) {
    void* member = SHMQueueNext(&queue, &queue, offsetof(PGPROC, syncRepLinks));
    while (member != nullptr) {
      ++waiters;
      PGPROC* proc = static_cast<PGPROC*>(member);
      member = SHMQueueNext(&queue, &proc->syncRepLinks, offsetof(PGPROC, syncRepLinks));
    }
  }
  facts_.sync_defined = (WalSndCtl->sync_standbys_status & SYNC_STANDBY_DEFINED) != 0;
  LWLockRelease(SyncRepLock);
  facts_.sync_waiters = waiters;
}

void FactGatherer::GatherControl() {
  if (control_read_at_ == 0 || facts_.gathered_at_ns - control_read_at_ >= kSlowIntervalNs) {
    Result<ControlFact> control = ReadControlFile();
    if (control.ok()) {
      facts_.control = control.value();
      control_read_at_ = facts_.gathered_at_ns;
    } else {
      Warn("control file", control.status());
    }
  }
  facts_.checkpointed_timeline = !facts_.in_recovery && facts_.history.timeline &&
                                 facts_.control.checkpoint_timeline == facts_.history.timeline;
}

// Every process that reads the configuration finds out by itself.
void FactGatherer::GatherSettings() {
  if (settings_read_at_ == 0 || facts_.gathered_at_ns - settings_read_at_ >= kSlowIntervalNs) {
    settings_read_at_ = facts_.gathered_at_ns;
    facts_.pending_restart = compat::AnySettingAwaitsRestart();
  }
}

void FactGatherer::GatherDisk() {
  if (disk_read_at_ != 0 && facts_.gathered_at_ns - disk_read_at_ < kSlowIntervalNs) {
    return;
  }
  struct statvfs fs;
  if (statvfs("pg_wal", &fs) != 0) {
    Warn("pg_wal", Status::Error(sqlstate::kIoError, identity::ErrnoText(errno)));
    return;
  }
  disk_read_at_ = facts_.gathered_at_ns;
  facts_.wal_free_bytes = uint64_t{fs.f_bavail} * fs.f_frsize;
  facts_.wal_writable = (fs.f_flag & ST_RDONLY) == 0 &&
                        facts_.wal_free_bytes >= 2 * static_cast<uint64_t>(wal_segment_size);
}

}  // namespace pgquorum::consensus
