// The layout of pgquorum's shared memory: what one node's processes tell each other.
//
// Who writes what:
//   Boot       the postmaster, once, in shmem_startup_hook, before any child exists; two fields
//              about the data directory are the consensus worker's afterwards
//   Gate       the consensus worker; read by every backend at commit and at authentication
//   NodeView, HistoryView, SettingsView, RaftMetricsView
//              the consensus worker (SeqLocked); read by the SQL views
//   Counters   everybody, by atomic addition
//   Requests   claimed by backends, answered by the consensus worker (extension/request_queue.h)
//   ProcessSlot  each process writes its own (index: its PGPROC number)
//
// All of it is plain memory without pointers. It is gone after a crash restart of the server, so
// nothing durable lives here. Both libraries compile this file; Header::layout tells a mixed pair.
//
// Conventions: 0 and the empty text mean "unknown" unless a field says otherwise. Times named *_us
// are microseconds since 2000-01-01 UTC (PostgreSQL's TimestampTz); times named *_ns are readings
// of CLOCK_BOOTTIME in nanoseconds, comparable within one machine boot only. An LSN is PostgreSQL's
// XLogRecPtr.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "extension/raft_metrics.h"
#include "extension/seqlock.h"

namespace pgquorum::shared {

inline constexpr uint32_t kMagic = 0x5047514d;  // "PGQM"
// Raised with every change of the layout: the two libraries of a half-done upgrade must not mix.
inline constexpr uint32_t kLayout = 6;

inline constexpr std::size_t kMaxMembers = 16;
inline constexpr std::size_t kMaxHistory = 64;
inline constexpr std::size_t kRequestSlots = 32;

// Text of at most N - 1 bytes, always terminated. Longer input is cut between UTF-8 characters.
template <std::size_t N>
struct Text {
  char data[N];

  void Set(std::string_view value) {
    std::size_t length = value.size() < N ? value.size() : N - 1;
    if (length < value.size()) {
      while (length > 0 && (static_cast<unsigned char>(value[length]) & 0xC0) == 0x80) {
        --length;
      }
    }
    std::memset(data, 0, N);
    std::memcpy(data, value.data(), length);
  }
  std::string_view view() const { return {data, ::strnlen(data, N)}; }
  bool empty() const { return data[0] == '\0'; }
};

using Name = Text<64>;  // node name, cluster name, application name
using Host = Text<256>;
using Reason = Text<256>;

// ---- identity and mode, fixed at boot ------------------------------------------------------

enum class Mode : uint32_t {
  kStandalone = 0,  // no marker: pgquorum leaves the server's role alone, no consensus worker
  kMember = 1,
  kClosed = 2,  // marker without a usable state directory: a standby for administrators only
};

// What the postmaster did about an intent before this start.
enum class IntentOutcome : uint32_t { kNone = 0, kRewound = 1, kRecloned = 2, kFailed = 3 };

struct Boot {
  uint64_t boot_id;     // random, new at every start and crash restart; never 0
  uint64_t boot_count;  // 1 at the start, one more at each crash restart of the same postmaster
  int64_t started_us;   // this boot
  uint64_t started_ns;  // this boot
  Mode mode;
  IntentOutcome intent_outcome;
  uint32_t postmaster_pid;
  // kFailed: attempts of the intent so far. Whoever writes the intent anew for another try carries
  // the number over, or the bound never comes.
  uint32_t intent_attempts;
  // 1: the data directory is not the one that this node left (extension/identity/mark.h). The
  // worker sets it too, when replay ends below the mark, and clears it when the node accepts the
  // directory.
  uint32_t restored;
  // The worker's: 1 once the end of replay was compared with the mark in this boot.
  uint32_t mark_compared;
  uint32_t witness;  // 1: the node votes and holds no data; its server is its own, empty one
  uint64_t cluster_id;
  uint64_t raft_node_id;
  uint64_t system_identifier;
  Name cluster_name;
  Name node_name;
  Host listen_host;
  Host raft_host;
  uint32_t listen_port;
  uint32_t raft_port;
  Text<1024> state_directory;  // absolute
  Reason closed_reason;        // kClosed only
};

// ---- the gate: what a commit needs to know ---------------------------------------------------

// Whom authentication admits. Members' own replication connections always pass.
enum class Admit : uint32_t { kAdministrators = 0, kClients = 1 };

// Every field is read without a lock by each committing backend. Order of the writer:
//   open:  lease_deadline_ns, required_acks, rule_version, then open = 1 (release)
//   close: open = 0 first
struct Gate {
  std::atomic<uint32_t> open;               // 1: commits may start in the epoch below
  std::atomic<uint32_t> admit;              // Admit
  std::atomic<uint32_t> retryable;          // closed for a moment (switchover): 40001, not 25006
  std::atomic<uint64_t> lease_deadline_ns;  // CLOCK_BOOTTIME; commits may start before it
  std::atomic<uint64_t> epoch_generation;
  std::atomic<uint64_t> epoch_number;
  std::atomic<uint64_t> rule_version;
  // n of the rule: standby acknowledgements behind every answer. 0: no quorum backs the answer, so
  // the gate is checked once more after the commit and a late answer is dropped.
  std::atomic<uint32_t> required_acks;
  // Hash (ListHash below) of the synchronous_standby_names that the rule asks for; 0: no demand.
  // Two are accepted while a change is under way (the old list until every process has the new
  // one).
  std::atomic<uint32_t> accepted_list_count;
  std::atomic<uint64_t> accepted_list_hash[2];
  // CLOCK_BOOTTIME until which logins wait, for this node is about to serve as the primary; 0: it
  // is not. Not later than a second after its appointment.
  std::atomic<uint64_t> settling_until_ns;
};

// FNV-1a of the setting's text as written to pgquorum.conf; never 0.
inline uint64_t ListHash(std::string_view synchronous_standby_names) {
  uint64_t hash = 0xcbf29ce484222325ULL;
  for (char c : synchronous_standby_names) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  }
  return hash == 0 ? 1 : hash;
}

// ---- what the views show ---------------------------------------------------------------------

enum class MemberRole : uint32_t {
  kUnknown = 0,
  kPrimary = 1,
  kStandby = 2,
  kWitness = 3,
  kObserver = 4,
};

enum class MemberStatus : uint32_t {
  kUnknown = 0,   // no report: nothing is claimed
  kHealthy = 1,   // primary with a lease, or standby streaming the settled timeline, <= 2 s behind
  kDegraded = 2,  // serves, but late, rewinding, re-cloning or without its quorum
  kFailed = 3,    // known to be down
  kFenced = 4,    // up, but may not serve as what it was
};

enum class EpochPhase : uint32_t {
  kNone = 0,  // the cluster has no primary yet
  kRevoked = 1,
  kAppointed = 2,
  kSettled = 3,
};

// Whether a member may stream from this node now, as far as its last report tells.
enum class Admission : uint8_t {
  kUnknown = 0,  // this node is no primary, or the member has not reported
  kFits = 1,
  kPledged = 2,   // it has promised itself to a later epoch
  kDiverged = 3,  // its WAL is not part of this node's history
};

// Whether a changed parameter is in force only after a restart.
enum class PendingRestart : uint8_t { kUnknown = 0, kNo = 1, kYes = 2 };

struct MemberView {
  uint64_t raft_node_id;  // 0: the entry is unused
  Name name;
  Host host;
  Host raft_host;
  uint32_t port;
  uint32_t raft_port;
  MemberRole role;
  MemberStatus status;
  int32_t health_score;  // 0 to 100; -1 unknown
  int32_t priority;      // -1 unknown; 0 never primary
  uint8_t raft_voter;
  uint8_t data_voter;   // in V of the rule
  uint8_t synchronous;  // named in synchronous_standby_names
  uint8_t streaming;    // its receiver runs (reported by the member itself)
  uint8_t connected;    // this node has a live connection to it (1 for itself)
  uint8_t is_self;
  PendingRestart pending_restart;
  Admission admission;
  uint32_t timeline;
  uint64_t boot_id;
  uint64_t flush_lsn;  // WAL on its disk
  uint64_t replay_lsn;
  uint64_t pledge_generation;
  uint64_t pledge_number;
  int64_t lag_bytes;     // behind the primary's flushed WAL; -1 unknown
  int64_t lag_us;        // -1 unknown
  int64_t started_us;    // of the server, for the uptime
  int64_t last_seen_us;  // last report
  uint64_t round_trip_us;
  Name application_name;  // as it appears in synchronous_standby_names
  Reason reason;          // why the status is not healthy, or why it cannot be promoted
};

struct NodeView {
  int64_t published_us;
  // The group's applied state.
  EpochPhase phase;
  uint32_t timeline;  // of the epoch; 0 before the first
  uint64_t epoch_generation;
  uint64_t epoch_number;
  uint64_t rule_version;
  uint32_t required_acks;    // n of the rule
  uint32_t sync_acks;        // g of the list in force
  uint64_t sync_generation;  // of the list in force
  uint64_t primary_id;       // 0: none
  Name primary_name;
  Host primary_host;
  uint32_t primary_port;
  uint32_t failover_paused;
  // The lease of this node; 0 when it holds none.
  uint64_t lease_started_ns;
  uint64_t lease_deadline_ns;
  uint64_t lease_renewals;
  uint64_t lease_lapses;
  uint32_t lease_duration_ms;
  uint32_t member_count;
  Name agent_state;        // what this node's failover agent is doing, from its state table
  Name coordinator_state;  // empty when this node is not the Raft leader
  MemberView members[kMaxMembers];
};

enum class EventKind : uint32_t {
  kBootstrap = 1,
  kFailover = 2,
  kSwitchover = 3,
  kForcedFailover = 4,
  kResume = 5,
};
enum class EventOutcome : uint32_t { kRunning = 0, kSucceeded = 1, kAbandoned = 2 };

// One change of the primary, from the applied log: the same on every node but for the times that
// only the coordinator saw.
struct HistoryEntry {
  uint64_t id;  // Raft index of the revoke (or first entry) of the change
  uint64_t epoch_generation;
  uint64_t epoch_number;
  EventKind kind;
  EventOutcome outcome;
  Name old_primary;
  Name new_primary;
  uint32_t old_timeline;
  uint32_t new_timeline;
  int64_t detected_us;
  int64_t revoked_us;
  int64_t appointed_us;
  int64_t promoted_us;
  int64_t settled_us;
  uint64_t lost_bytes_bound;  // accept_loss only: WAL that may be gone
  Reason reason;
};

struct HistoryView {
  uint32_t count;
  uint32_t padding;
  HistoryEntry entries[kMaxHistory];  // newest first
};

// Settings of the cluster, from the applied log.
inline constexpr std::size_t kMaxSettings = 40;

struct SettingView {
  Name name;
  Name value;
  Name default_value;
  Text<8> unit;
  Text<96> allowed;
};

struct SettingsView {
  uint32_t count;
  uint32_t padding;
  SettingView entries[kMaxSettings];  // by name
};

// ---- counters --------------------------------------------------------------------------------

struct Counters {
  std::atomic<uint64_t> commits_checked;
  std::atomic<uint64_t> commits_refused;             // by the gate, at pre-commit
  std::atomic<uint64_t> writes_refused;              // early, at the first write of a statement
  std::atomic<uint64_t> answers_dropped;             // recheck after a commit without a quorum
  std::atomic<uint64_t> synchronous_commit_raised;   // forced up to "on"
  std::atomic<uint64_t> synchronous_commit_lowered;  // used below "on" by a privileged role
  std::atomic<uint64_t> connections_refused;         // by the authentication hook
  // Backends between pre-commit and the end of the wait: a node with waiters stops immediate.
  std::atomic<int64_t> waiters;
};

// ---- per process -----------------------------------------------------------------------------

// What one process has in force. Written by the assign hook of pgquorum.sync_generation, which runs
// after synchronous_standby_names of the same file has been assigned.
struct ProcessSlot {
  std::atomic<int32_t> pid;        // 0: never used, or its process is gone
  std::atomic<int32_t> named_pid;  // the process that wrote named_member
  std::atomic<uint64_t> sync_generation;
  // Raft id of the member whose name that counts for commits this walsender carries; 0: of none.
  std::atomic<uint64_t> named_member;
};

// ---- requests --------------------------------------------------------------------------------

enum class Verb : uint32_t {
  kNone = 0,
  kFailover = 1,         // node = target or empty for the best one
  kForceFailover = 2,    // node, accept_loss
  kCreateJoinToken = 3,  // number = time to live in seconds; answer text = the token
  kRemoveMember = 4,     // node, force
  kSetPriority = 5,      // node, number = 0 to 100
  kPauseFailover = 6,    // flag force: 1 pause, 0 go on
  kSetSetting = 7,       // node = name with its prefix, text = value or empty for the default
};

struct RequestArguments {
  Verb verb;
  uint32_t force;        // 1: skip the checks that the verb documents
  uint32_t accept_loss;  // kForceFailover only
  uint32_t timeout_ms;   // of the caller; the worker need not answer later
  int64_t number;
  Name node;
  Name user;  // who asked: session user, for the audit in the log and the history
  Text<512> text;
};

struct RequestAnswer {
  char sqlstate[8];  // "00000": success
  Text<512> message;
  Text<512> detail;
  Text<512> hint;
  int64_t number;
  Text<4096> text;
};

// The life of a slot. Backend: kFree -> kClaimed -> kSubmitted. Worker: kSubmitted -> kTaken ->
// kAnswered. Backend: kAnswered -> kFree. A backend that stops waiting turns kSubmitted back into
// kFree, or kTaken into kAbandoned, which the worker frees when it answers.
enum class SlotState : uint32_t {
  kFree = 0,
  kClaimed = 1,
  kSubmitted = 2,
  kTaken = 3,
  kAnswered = 4,
  kAbandoned = 5,
};

struct RequestSlot {
  std::atomic<uint32_t> state;  // SlotState
  std::atomic<int32_t> backend_procno;
  std::atomic<uint64_t> id;  // unique within one boot; never 0 once submitted
  RequestArguments arguments;
  RequestAnswer answer;
};

struct Requests {
  std::atomic<uint64_t> next_id;
  RequestSlot slots[kRequestSlots];
};

// ---- all together ----------------------------------------------------------------------------

struct WorkerLink {
  std::atomic<int32_t> pid;        // 0: no consensus worker runs
  std::atomic<int32_t> procno;     // whose latch wakes it
  std::atomic<uint64_t> alive_ns;  // last turn of its main loop
};

struct Root {
  uint32_t magic;
  uint32_t layout;
  uint32_t size;           // of Root
  uint32_t process_slots;  // entries of the array that follows Root
  Boot boot;
  Gate gate;
  WorkerLink worker;
  Counters counters;
  SeqLocked<NodeView> node;
  SeqLocked<HistoryView> history;
  SeqLocked<SettingsView> settings;
  SeqLocked<RaftMetricsView> raft_metrics;
  Requests requests;

  // The array of ProcessSlot lies behind Root in the same allocation.
  ProcessSlot* processes() { return reinterpret_cast<ProcessSlot*>(this + 1); }
};

static_assert(std::is_trivially_copyable_v<Boot>);
static_assert(std::is_trivially_copyable_v<NodeView>);
static_assert(std::is_trivially_copyable_v<HistoryView>);
static_assert(std::is_trivially_copyable_v<SettingsView>);
static_assert(std::is_trivially_copyable_v<RequestArguments>);
static_assert(std::is_trivially_copyable_v<RequestAnswer>);
static_assert(std::is_standard_layout_v<Root>);
static_assert(std::atomic<uint64_t>::is_always_lock_free);
static_assert(sizeof(Root) % alignof(ProcessSlot) == 0);
static_assert(sizeof(Root) < 512 * 1024, "shared memory of every server, member or not");

}  // namespace pgquorum::shared

#include "base/pure.h"
