// What the server this worker lives in is doing, gathered without SQL: from shared memory, the
// control file, and small files of the data directory. Cheap enough for every heartbeat (see
// README.md for measured costs); nothing here waits for another process longer than for a
// lightweight lock.
//
// Main thread of the worker only.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/status.h"
#include "bgworkers/failover/ids.h"

namespace pgquorum::consensus {

using failover::Lsn;
using failover::Timeline;

// One connected standby, as `pg_stat_replication` shows it.
struct WalSenderFact {
  int32_t pid = 0;
  std::string application_name;  // `node2.t7`; empty when the backend entry was not readable
  enum class State : uint8_t { kStartup, kBackup, kCatchup, kStreaming, kStopping };
  State state = State::kStartup;
  int64_t connected_at_us = 0;  // start of the process (PostgreSQL's clock); 0 = not readable
  Lsn sent;
  Lsn write;
  Lsn flush;
  Lsn apply;
  // The priority the walsender computed from the synchronous_standby_names *it* has in force; 0 =
  // it does not count for commits.
  int32_t sync_priority = 0;
  int64_t reply_age_ms = -1;  // since the standby's last message; -1 = none yet
};

// The walreceiver. All of this start only: `flushed` begins at the start of a segment and is
// therefore below what is on disk until the first WAL arrives, which `flushed_moved` tells.
struct ReceiverFact {
  bool running = false;    // a process exists or is being started: may still write WAL
  int32_t pid = 0;         // 0 while it is being started
  bool streaming = false;  // connected and in streaming state
  std::string host;        // of the connection; empty until connected
  int32_t port = 0;
  std::string slot;
  Timeline timeline;        // that `flushed` belongs to
  Lsn start;                // where streaming was asked to begin
  Timeline start_timeline;  // on which, last: what replay looks for; stays when the receiver ends
  Lsn flushed;              // end of WAL received and flushed since the start of the receiver
  bool flushed_moved = false;
  int64_t message_age_ms = -1;  // since the last message of the upstream, keepalives included
  int64_t wal_age_ms = -1;      // since `flushed` last moved, as seen by this gatherer
};

struct ReplayFact {
  Timeline timeline;  // of the last record replayed
  Lsn end;            // end of the last record replayed: the node's position once replay has ended
  bool paused = false;   // a pause is in force or requested (administrator or parameter change)
  int32_t delay_ms = 0;  // recovery_min_apply_delay in force in this process
  int64_t lag_ms = 0;    // 0 when all that was received is replayed, else age of the last commit
};

// pg_control, checked by its CRC.
struct ControlFact {
  uint64_t system_identifier = 0;
  int32_t state = 0;             // enum DBState (catalog/pg_control.h)
  Timeline checkpoint_timeline;  // of the last checkpoint or restart point
  Lsn checkpoint_redo;
  Timeline min_recovery_timeline;
  Lsn min_recovery_end;
  bool checksums = false;
  bool wal_log_hints = false;
  uint32_t wal_segment_size = 0;  // bytes
};

struct PostgresFacts {
  int64_t gathered_at_ns = 0;  // CLOCK_BOOTTIME

  bool in_recovery = true;
  bool hot_standby_active = false;  // consistent and admitting read-only sessions
  bool promote_triggered = false;  // promotion has begun in this recovery, not necessarily finished

  // History of the timeline being written (primary) or replayed (standby); `end` is the flushed end
  // on a primary and the replay end on a standby. Empty timeline: not known yet (no record
  // replayed).
  failover::History history;
  // The highest timeline id that any history file here has, placeholders included, or the current
  // one: an assigned id must be above it (PlaceTimelinePlaceholders). Looked up every few seconds.
  Timeline newest_known;

  // Primary only; zero in recovery. `insert` is the end of the last record.
  Lsn insert;
  Lsn write;
  Lsn flush;

  // The oldest WAL that a walsender here can send; zero: not known. Looked up every few seconds,
  // and never above the truth: the files only go.
  Lsn wal_floor;

  ReplayFact replay;      // in recovery only
  ReceiverFact receiver;  // in recovery only

  std::vector<WalSenderFact> senders;  // on standbys too (cascading)
  int32_t sync_waiters = 0;            // backends waiting for the quorum now
  bool sync_defined = false;           // the checkpointer has a non-empty list in force

  ControlFact control;
  bool checkpointed_timeline = false;  // primary: a checkpoint on `history.timeline` is complete

  int32_t client_backends = 0;
  uint64_t wal_free_bytes = 0;   // of pg_wal's file system, for an unprivileged process
  bool wal_writable = true;      // room for two more segments
  bool pending_restart = false;  // a changed parameter is in force only after a restart
  int64_t uptime_s = 0;          // of the postmaster (a crash restart does not reset it)
};

// Keeps what need not be read again: names of walsenders by pid, the parsed history, the control
// file for `kSlowInterval`.
class FactGatherer {
 public:
  FactGatherer() = default;

  // Never ERRORs and never fails as a whole: a part that could not be read keeps its last value,
  // and `warnings()` says which.
  // The one thing it writes: on a timeline that is new to it, it completes the history files
  // (CompleteTimelines).
  const PostgresFacts& Gather();
  const PostgresFacts& last() const { return facts_; }
  const std::vector<std::string>& warnings() const { return warnings_; }

  // The next Gather() reads everything again (after a promotion, a checkpoint request, ...).
  void Invalidate();
  // The next Gather() reads the control file: somebody waits for a checkpoint to end.
  void InvalidateControl() { control_read_at_ = 0; }

  // Process id of the startup process; 0 when there is none (a primary).
  int32_t startup_pid() const { return startup_pid_; }

 private:
  struct SenderName {
    std::string application_name;
    int64_t connected_at_us = 0;
  };

  void GatherRole();
  void GatherReceiver();
  void GatherReplay();
  void GatherHistory();
  void GatherWalFiles();
  void GatherNewestTimeline();
  void GatherSenders();
  void GatherBackends();
  void ReadBackends();
  void GatherSyncQueue();
  void GatherControl();
  void GatherDisk();
  void GatherSettings();
  void Warn(const char* part, const Status& status);

  static constexpr int64_t kSlowIntervalNs = 1'000'000'000;
  // Lists pg_wal, which may hold thousands of files.
  static constexpr int64_t kTimelinesIntervalNs = 5'000'000'000;

  PostgresFacts facts_;
  std::vector<std::string> warnings_;
  std::map<int32_t, SenderName> sender_names_;  // by pid
  int32_t startup_pid_ = 0;
  int64_t backends_read_at_ = 0;
  int64_t control_read_at_ = 0;
  int64_t disk_read_at_ = 0;
  int64_t settings_read_at_ = 0;
  int64_t timelines_read_at_ = 0;
  int64_t segments_read_at_ = 0;
  Timeline history_of_;
  Lsn last_received_;
  int64_t last_received_at_ = 0;
};

// The end of the last record, now; not in recovery. Where the server says that the next record
// begins is, on a page's edge, behind that page's header, which nobody can have flushed before
// there is a record.
Lsn InsertedEnd();

// pg_control now, without the cache. XX001 when it could not be read consistently.
Result<ControlFact> ReadControlFile();

}  // namespace pgquorum::consensus
