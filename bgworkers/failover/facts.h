// Both sides of the agent: what the worker main tells it about this node's PostgreSQL (LocalFacts)
// and what it asks the worker main to do (Action).
//
// Contract of the worker main:
// - Facts are what *is*, read anew before every Agent::Step; never what was asked for.
// - Actions are carried out in order. Each is idempotent, and the agent repeats one (once a second)
//   until the facts show its effect, so a lost or failed action needs no answer.
// - An action that cannot be carried out changes no fact; put the error into LocalFacts::detail.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "bgworkers/failover/ids.h"
#include "bgworkers/failover/report.h"

namespace pgquorum::failover {

enum class Admission : uint8_t { kAdministrators = 1, kClients = 2 };

// Why the present upstream does not stream to us, as far as the server said so.
enum class StreamError : uint8_t {
  kNone = 0,
  kWalRecycled = 1,  // "requested WAL segment ... has already been removed"
  kDiverged = 2,     // requested starting point is not in the server's history, or PANIC on bad WAL
};

struct LocalFacts {
  BootId boot;           // shmem_startup_hook's; zero on a witness
  bool witness = false;  // no data here: every other fact but the health is then the default
  PgState pg = PgState::kDown;

  // The pledge file: the highest epoch this node durably promised. Read at start, then after
  // writes.
  Epoch pledge_epoch;

  // Gate and admission in shared memory.
  bool gate_open = false;
  Admission admission = Admission::kAdministrators;

  // Upstream as set in the configuration: from the moment SetUpstream is carried out (a receiver
  // may start any time after), until ClearUpstream is in force in every process that could start
  // one (zero: none). A pledge rests on this. upstream_timeline is the value of the SetUpstream
  // action that set it.
  NodeId upstream;
  Timeline upstream_timeline;
  bool receiver_running = false;
  // It has an upstream that sends to it. A receiver that has lost it may run on, or a new one may:
  // connecting to a server that has stopped takes its time.
  bool receiver_streaming = false;
  Timeline receive_timeline;    // of this boot; zero before anything was received
  Lsn receive_lsn;              // flushed by the receiver of this boot
  uint32_t receive_age_ms = 0;  // since new WAL (no keepalive) arrived
  StreamError stream_error = StreamError::kNone;

  // Standby: no upstream is set, the receiver is gone, replay consumed all local WAL and waits at
  // its end, and neither pause nor delay holds it. history.end is then the end of the last record.
  bool replay_settled = false;
  // Standby: timeline and end of replay. Primary: timeline and flushed end of the WAL. Ancestors
  // from the timeline history file.
  History history;
  // The newest id that a history file here has, leftovers of other histories included: a promotion
  // here can only come out above it.
  Timeline newest_timeline;
  Lsn wal_floor;  // the oldest WAL on disk that a standby can still be sent
  // Where replay ended when this boot first came to the end of its local WAL, before anything was
  // received; zero until then.
  Lsn boot_end;
  uint32_t replay_lag_ms = 0;

  // Primary. list_* name the newest SetSyncList that the checkpointer and every walsender show;
  // before the promotion (no checkpointer effect yet) that the configuration in force shows.
  Epoch list_epoch;
  uint64_t list_version = 0;
  bool list_confirmed = false;     // g members flushed past an LSN read after that
  Position marker;                 // end of the flushed WriteMarker record of this boot
  Timeline checkpointed;           // timeline in the control file's latest checkpoint record
  uint64_t checkpoint_tag = 0;     // tag of the newest Checkpoint action that is complete
  uint32_t commits_in_flight = 0;  // backends between pre-commit and the end of their wait

  // Rewind and re-clone, from the intent file.
  bool repair_running = false;
  bool repair_interrupted = false;  // half-rewound or half-cloned: must never serve
  uint32_t repair_attempts = 0;     // failed rewinds in a row since the last success
  // The newest timeline that a Promote action made this node begin; durable before the promotion,
  // zero when there was none yet. Tells an ordered promotion from one by hand even when the applied
  // state is old. Without a value (not recorded) only the applied state is asked.
  std::optional<Timeline> ordered_timeline;
  // The oldest timeline of this history that was begun here without an appointment (promoted by
  // hand); durable, cleared by a rewind or re-clone, and by Promote: the assigned timeline takes in
  // what lies below it.
  Timeline foreign_timeline;
  // The data directory is not the one that this node left: a backup_label, a copy from before the
  // last start, or WAL that ends below the state directory's mark. The last shows at the end of
  // replay: it comes together with the first replay_settled of a boot, never later.
  bool restored = false;
  std::string quarantine;  // not empty: why this node must stay closed

  // Health.
  bool listener_ok = true;
  bool wal_writable = true;
  bool wants_step_down = false;
  uint32_t stalled_ms = 0;  // the longest pause of the worker's loop that ended in the last second
  uint32_t connections = 0;
  uint64_t uptime_s = 0;
  std::string detail;
  std::optional<bool> pending_restart;  // a changed parameter waits for one; no value: not known
  std::string warning;                  // what will be a failure if nobody acts; empty: nothing

  Position position() const { return {history.timeline, history.end}; }
};

// No commit may start from now on. `retryable`: new writes get a retryable error (the router holds
// them) instead of "read-only". Fact: gate_open.
struct CloseGate {
  bool retryable = false;
  bool operator==(const CloseGate&) const = default;
};
// Commits may start while the lease deadline lies ahead. Fact: gate_open.
struct OpenGate {
  Epoch epoch;
  Timeline timeline;
  bool operator==(const OpenGate&) const = default;
};
// Whom authentication lets in; kAdministrators also stops statements of older sessions. Fact:
// admission.
struct Admit {
  Admission who = Admission::kAdministrators;
  bool operator==(const Admit&) const = default;
};
// Empties primary_conninfo and restore_command and reloads. Fact: upstream.
struct ClearUpstream {
  bool operator==(const ClearUpstream&) const = default;
};
// Ends a running receiver. Fact: receiver_running.
struct StopReceiver {
  bool operator==(const StopReceiver&) const = default;
};
// Lifts pause and delay, cancels queries that conflict with replay. Fact: replay_settled.
struct SettleReplay {
  bool operator==(const SettleReplay&) const = default;
};
// Durable before pledge_epoch shows it (temporary file, fsync, rename, fsync of the directory).
struct WritePledge {
  Epoch epoch;
  bool operator==(const WritePledge&) const = default;
};
// Streams from `node`; `name` goes into application_name. Fact: upstream, upstream_timeline.
struct SetUpstream {
  NodeId node;
  Timeline timeline;
  std::string name;  // "node2.t7"
  bool operator==(const SetUpstream&) const = default;
};
// synchronous_standby_names and the generation, then reload. g = 0: the empty list. `names` is
// never empty when g > 0. Facts: list_*.
struct SetSyncList {
  Epoch epoch;
  uint64_t version = 0;
  uint32_t g = 0;
  std::vector<std::string> names;
  bool operator==(const SetSyncList&) const = default;
};
// pg must show kPromoting (or kPrimary) from the moment this was carried out.
// Records the timeline durably (LocalFacts::ordered_timeline; foreign_timeline is none from then
// on), then places the empty .history files
// below `timeline`, promotes, removes them. Facts: pg, history.
struct Promote {
  Timeline timeline;
  bool operator==(const Promote&) const = default;
};
// Inserts and flushes the barrier record on this timeline. Fact: marker.
struct WriteMarker {
  Epoch epoch;
  Timeline timeline;
  bool operator==(const WriteMarker&) const = default;
};
// Inserts and flushes a small WAL record: a standby that connected while nobody writes has received
// nothing yet, and its position counts only then. Fact: none here; the standby's report.
struct NudgeStandbys {
  bool operator==(const NudgeStandbys&) const = default;
};
// An immediate checkpoint, in the background. Facts: checkpointed, checkpoint_tag.
struct Checkpoint {
  uint64_t tag = 0;
  bool operator==(const Checkpoint&) const = default;
};
// Immediate stop, start again as a standby (the gate was closed before). Fact: boot.
struct DemoteRestart {
  bool operator==(const DemoteRestart&) const = default;
};
// Switchover: fast stop (shutdown checkpoint reaches the attached walsenders), start as a standby.
struct FastStop {
  bool operator==(const FastStop&) const = default;
};
// Ends every walsender but that of `except`.
struct EndWalsenders {
  NodeId except;
  bool operator==(const EndWalsenders&) const = default;
};
// Durable intent, restart, pg_rewind from `source` in the postmaster. Facts: repair_*.
struct Rewind {
  NodeId source;
  Epoch epoch;  // of the source's appointment
  bool operator==(const Rewind&) const = default;
};
// The same with a new base backup.
struct Reclone {
  NodeId source;
  Epoch epoch;
  bool operator==(const Reclone&) const = default;
};
// The node was promoted by hand to `timeline`: remember it. Fact: foreign_timeline.
struct MarkForeignTimeline {
  Timeline timeline;
  bool operator==(const MarkForeignTimeline&) const = default;
};
// The restored data directory is this node's own from now on. Fact: restored.
struct AcceptDataDirectory {
  bool operator==(const AcceptDataDirectory&) const = default;
};

using Action = std::variant<CloseGate, OpenGate, Admit, ClearUpstream, StopReceiver, SettleReplay,
                            WritePledge, SetUpstream, SetSyncList, Promote, WriteMarker,
                            NudgeStandbys, Checkpoint, DemoteRestart, FastStop, EndWalsenders,
                            Rewind, Reclone, MarkForeignTimeline, AcceptDataDirectory>;
std::string ToString(const Action& action);

// The application_name of a standby: "node2.t7". It takes this name only when its position lies in
// the history of timeline 7.
std::string StandbyName(const std::string& node, Timeline timeline);

}  // namespace pgquorum::failover

#include "base/pure.h"
