// What the nodes tell each other outside the Raft log: facts, never decisions. A report is sent to
// every peer at each heartbeat and at once after a change that matters (Action ReportNow); only the
// newest of a peer counts.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "bgworkers/failover/ids.h"

namespace pgquorum::failover {

enum class PgState : uint8_t {
  kDown = 0,      // a witness, or the server is not up
  kStarting = 1,  // not consistent yet
  kStandby = 2,   // in recovery, consistent
  kPromoting = 3,
  kPrimary = 4,  // not in recovery
  kStopping = 5,
};
const char* ToString(PgState state);

// Why a node cannot stream from the primary as it is.
enum class Repair : uint8_t {
  kNone = 0,
  kNeedsRewind = 1,
  kNeedsReclone = 2,
  kRunning = 3,      // rewind or re-clone is being carried out
  kQuarantined = 4,  // closed until an administrator acts; NodeReport::detail says why
};
const char* ToString(Repair repair);

struct NodeReport {
  NodeId node;
  BootId boot;
  uint64_t sequence = 0;  // grows within one life of the worker
  uint64_t worker = 0;    // random per life of the worker: a new one restarts `sequence`
  PgState pg = PgState::kDown;
  Repair repair = Repair::kNone;
  Epoch known_epoch;           // highest applied, revokes included
  uint64_t applied_index = 0;  // of the Raft log

  // Durable promise; `pledge_position` is set only when the pledge for this epoch is on disk, the
  // receiver has stopped and replay has ended: it counts only *effective* history (assigned
  // timelines).
  Epoch pledge_epoch;
  std::optional<Position> pledge_position;

  // Wishes.
  bool wants_resume = false;
  bool wants_step_down = false;

  // The local history; `history.end` is the flushed end on a primary, the replay end on a standby.
  History history;
  // Of this boot only (a restart resets PostgreSQL's value to the start of a segment).
  bool receiver_running = false;
  NodeId upstream;             // whom the configuration in force names
  Timeline upstream_timeline;  // ... and for which appointment
  Timeline receive_timeline;
  Lsn receive_lsn;              // flushed
  uint32_t receive_age_ms = 0;  // since WAL (not a keepalive) last arrived
  Lsn replay_lsn;
  uint32_t replay_lag_ms = 0;

  // Primary only.
  Position marker;        // end of the barrier record of this boot, flushed; zero before
  Timeline checkpointed;  // the last timeline with a checkpoint after its promotion
  Epoch list_epoch;       // rule whose list is in force everywhere ...
  uint64_t list_version = 0;
  bool list_confirmed = false;  // ... and g members flushed past an LSN read after that
  bool gate_open = false;
  RequestId
      drained;      // switchover request whose drain is complete: gate closed, no commit in flight
  Lsn drained_lsn;  // ... up to here

  // Health.
  bool listener_ok = true;
  bool wal_writable = true;
  bool clients_admitted = false;
  uint32_t stalled_ms = 0;  // the longest pause of this worker's loop in the last second
  uint32_t connections = 0;
  uint64_t uptime_s = 0;
  std::string state;   // the agent's state, for people
  std::string detail;  // one line, for people

  // The newest id that a history file of the node has; an assigned timeline must be above it.
  Timeline newest_timeline;
  // The oldest WAL that the node can still send: a standby that needs older must be cloned.
  Lsn wal_floor;
  std::string warning;  // what will be a failure if nobody acts, for people

  // Appended later: a node of an older version does not send them.
  bool whole = false;  // the data directory can pledge: no repair was interrupted, none restored
  std::optional<bool> pending_restart;  // a changed parameter is in force only after a restart

  bool operator==(const NodeReport&) const = default;
};

std::string Encode(const NodeReport& report);
// 22P03 for malformed bytes, 0A000 for an unknown version. Fields that a newer minor version
// appends are ignored.
Result<NodeReport> DecodeNodeReport(std::string_view bytes);

// A peer as this node sees it.
struct PeerView {
  std::optional<NodeReport> report;
  TimeNs received_at = 0;  // of the report, this node's clock
  bool connected = false;
  // The stream was reset or refused at that time and has not been up since; 0 = not so.
  TimeNs reset_at = 0;
  // After the reset, connecting to its PostgreSQL port was refused: the postmaster is gone.
  bool listener_refused = false;

  TimeNs Age(TimeNs now) const { return report ? now - received_at : kNever; }
};
using PeerViews = std::map<NodeId, PeerView>;

// Stores `report` unless it is older than the one already there; returns whether it did.
bool Accept(PeerView& peer, NodeReport report, TimeNs now);

}  // namespace pgquorum::failover

#include "base/pure.h"
