// SQL area "cluster": health, members, Raft, gate, history.
#include "extension/api/cluster.h"

extern "C" {
#include "access/xlog.h"
#include "access/xlogrecovery.h"
#include "miscadmin.h"
}

#include "extension/api/rows.h"
#include "extension/shmem.h"

namespace pgquorum::api {

shared::Root& Memory() {
  shared::Root* root = shmem::Attach();
  if (root == nullptr) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("pgquorum's shared memory does not exist or is of another version"),
                    errhint("Restart the server to load the installed version of pgquorum.")));
  }
  return *root;
}

bool WorkerAlive(const shared::Root& root) {
  return root.worker.pid.load() != 0 &&
         shmem::BootTimeNs() - root.worker.alive_ns.load() < kStaleAfterNs;
}

const shared::NodeView* ReadNode(const shared::Root& root) {
  static shared::NodeView view;
  return root.node.Read(view) ? &view : nullptr;
}

const shared::RaftMetricsView* ReadRaft(const shared::Root& root) {
  static shared::RaftMetricsView view;
  return root.raft_metrics.Read(view) ? &view : nullptr;
}

namespace {

using shared::MemberView;
using shared::Mode;

const char* NameOf(shared::RaftRole role) {
  constexpr const char* kNames[] = {"",       "follower", "pre-candidate", "candidate",
                                    "leader", "learner",  "witness"};
  return kNames[static_cast<uint32_t>(role)];
}

const char* NameOf(shared::MemberRole role) {
  constexpr const char* kNames[] = {"", "primary", "standby", "witness", "observer"};
  return kNames[static_cast<uint32_t>(role)];
}

const char* NameOf(shared::MemberStatus status) {
  constexpr const char* kNames[] = {"unknown", "healthy", "degraded", "failed", "fenced"};
  return kNames[static_cast<uint32_t>(status)];
}

const char* NameOf(shared::EpochPhase phase) {
  constexpr const char* kNames[] = {"", "revoked", "appointed", "settled"};
  return kNames[static_cast<uint32_t>(phase)];
}

const char* NameOf(shared::EventKind kind) {
  constexpr const char* kNames[] = {"",           "bootstrap",       "failover",
                                    "switchover", "forced failover", "resume"};
  return kNames[static_cast<uint32_t>(kind)];
}

const char* NameOf(shared::EventOutcome outcome) {
  constexpr const char* kNames[] = {"running", "succeeded", "abandoned"};
  return kNames[static_cast<uint32_t>(outcome)];
}

const char* NameOf(shared::Mode mode) {
  constexpr const char* kNames[] = {"standalone", "member", "closed"};
  return kNames[static_cast<uint32_t>(mode)];
}

const char* NameOf(shared::IntentOutcome outcome) {
  constexpr const char* kNames[] = {"", "rewound", "recloned", "failed"};
  return kNames[static_cast<uint32_t>(outcome)];
}

// Where this server's own WAL ends: what it wrote, or what it replayed.
XLogRecPtr OwnPosition() {
  return RecoveryInProgress() ? GetXLogReplayRecPtr(nullptr) : GetFlushRecPtr(nullptr);
}

// The row of a server that has nothing to show but itself: standalone, closed, or a member whose
// worker has published nothing yet.
void PutOwnMember(ReturnSetInfo* rows, const shared::Root& root) {
  const shared::Boot& boot = root.boot;
  bool standalone = boot.mode == Mode::kStandalone;
  bool closed = boot.mode == Mode::kClosed;
  Row row;
  row.Text(boot.node_name.view());
  row.LongOrNull(boot.raft_node_id);
  row.Text(boot.witness != 0 ? "witness" : RecoveryInProgress() ? "standby" : "primary");
  if (standalone) {
    row.Text(RecoveryInProgress() ? "unknown" : "healthy");
  } else {
    row.Text(closed ? "fenced" : "unknown");
  }
  row.Null();  // health_score
  row.Text(closed
               ? boot.closed_reason.view()
               : std::string_view(standalone ? "" : "the consensus worker has not reported yet"));
  row.Text(boot.listen_host.view());
  row.LongOrNull(boot.listen_port);
  row.Text(boot.raft_host.view());
  row.LongOrNull(boot.raft_port);
  row.Null();  // priority
  row.Null();  // raft_voter
  row.Null();  // data_voter
  row.Null();  // synchronous
  row.Null();  // streaming
  row.Null();  // connected
  row.Bool(true);
  row.LongOrNull(RecoveryInProgress() ? 0 : GetWALInsertionTimeLine());
  row.Id(boot.boot_id);
  row.Lsn(OwnPosition());
  row.Lsn(OwnPosition());
  row.Null();  // pledge
  row.Null();  // lag_bytes
  row.Null();  // lag_us
  row.Time(boot.started_us);
  row.Time(GetCurrentTimestamp());
  row.Null();  // application_name
  row.Null();  // pending_restart
  row.PutInto(rows);
}

void PutMember(ReturnSetInfo* rows, const MemberView& m, bool fresh) {
  Row row;
  row.Text(m.name.view());
  row.Long(m.raft_node_id);
  row.Text(NameOf(m.role));
  row.Text(NameOf(fresh ? m.status : shared::MemberStatus::kUnknown));
  row.SignedOrNull(fresh ? m.health_score : -1);
  row.Text(fresh ? m.reason.view()
                 : std::string_view("this node's consensus worker does not answer"));
  row.Text(m.host.view());
  row.LongOrNull(m.port);
  row.Text(m.raft_host.view());
  row.LongOrNull(m.raft_port);
  row.SignedOrNull(m.priority);
  row.Bool(m.raft_voter != 0);
  row.Bool(m.data_voter != 0);
  row.Bool(m.synchronous != 0);
  if (fresh) {
    row.Bool(m.streaming != 0);
    row.Bool(m.connected != 0);
  } else {
    row.Null();
    row.Null();
  }
  row.Bool(m.is_self != 0);
  row.LongOrNull(m.timeline);
  row.Id(m.boot_id);
  row.Lsn(m.flush_lsn);
  row.Lsn(m.replay_lsn);
  row.LongOrNull(m.pledge_number);
  row.SignedOrNull(fresh ? m.lag_bytes : -1);
  row.SignedOrNull(fresh ? m.lag_us : -1);
  row.Time(m.started_us);
  row.Time(m.last_seen_us);
  row.Text(m.application_name.view());
  if (fresh && m.pending_restart != shared::PendingRestart::kUnknown) {
    row.Bool(m.pending_restart == shared::PendingRestart::kYes);
  } else {
    row.Null();
  }
  row.PutInto(rows);
}

void PutRaft(ReturnSetInfo* rows, const shared::Root& root, const shared::NodeView& view,
             const shared::RaftMetricsView& raft) {
  const shared::RaftState& state = raft.state;
  const shared::RaftNumbers& n = raft.numbers;
  std::string_view leader;
  for (const MemberView& member : view.members) {
    if (member.raft_node_id != 0 && member.raft_node_id == state.leader_id) {
      leader = member.name.view();
    }
  }
  Row row;
  row.Text(root.boot.node_name.view());
  row.Text(NameOf(state.role));
  row.Long(n.term);
  row.Text(leader);
  row.LongOrNull(state.leader_id);
  row.LongOrNull(state.voted_for);
  row.Long(n.commit_index);
  row.Long(n.applied_index);
  row.Long(n.first_index);
  row.Long(n.last_index);
  row.Long(n.snapshot_index);
  row.Long(n.log_bytes);
  row.Long(state.voters);
  row.Long(state.learners);
  row.Bool(state.joint != 0);
  row.Long(n.elections_started);
  row.Long(state.leader_changes);
  row.Long(n.waiting_proposals);
  row.Long(n.proposals_refused + n.proposals_turned_away);
  row.LongOrNull(raft.histograms.commit.p50);
  row.LongOrNull(raft.histograms.commit.p99);
  row.LongOrNull(raft.histograms.sync.p50);
  row.LongOrNull(raft.histograms.sync.p99);
  row.LongOrNull(state.election_timeout_ms);
  row.LongOrNull(state.election_timeout_max_ms);
  row.LongOrNull(state.heartbeat_interval_ms);
  row.LongOrNull(state.max_entries_per_append);
  row.Time(view.published_us);
  row.Bool(WorkerAlive(root));
  row.PutInto(rows);
}

// What is left of the lease, in milliseconds; NULL without one.
void AddLeaseRest(Row& row, uint64_t deadline_ns) {
  uint64_t now = shmem::BootTimeNs();
  if (deadline_ns == 0) {
    row.Null();
  } else {
    row.Long(deadline_ns > now ? (deadline_ns - now) / 1'000'000 : 0);
  }
}

void PutGate(ReturnSetInfo* rows, const shared::Root& root) {
  const shared::Gate& gate = root.gate;
  const shared::Counters& counters = root.counters;
  const shared::NodeView* view = ReadNode(root);
  Row row;
  row.Bool(gate.open.load() != 0 && shmem::BootTimeNs() < gate.lease_deadline_ns.load());
  row.Text(gate.admit.load() == static_cast<uint32_t>(shared::Admit::kClients) ? "clients"
                                                                               : "administrators");
  AddLeaseRest(row, gate.lease_deadline_ns.load());
  row.LongOrNull(view == nullptr ? 0 : view->epoch_number);
  row.Id(view == nullptr ? 0 : view->epoch_generation);
  row.Text(view == nullptr ? "" : NameOf(view->phase));
  row.Text(view == nullptr ? std::string_view() : view->primary_name.view());
  if (view == nullptr) {
    row.Null();
    row.Null();
    row.Null();
  } else {
    row.Long(view->rule_version);
    row.Long(view->required_acks);
    row.Long(view->sync_acks);
  }
  row.SignedOrNull(counters.waiters.load());
  row.Long(counters.commits_checked.load());
  row.Long(counters.commits_refused.load());
  row.Long(counters.writes_refused.load());
  row.Long(counters.answers_dropped.load());
  row.Long(counters.synchronous_commit_raised.load());
  row.Long(counters.synchronous_commit_lowered.load());
  row.Long(counters.connections_refused.load());
  row.LongOrNull(view == nullptr ? 0 : view->lease_renewals);
  row.LongOrNull(view == nullptr ? 0 : view->lease_lapses);
  row.PutInto(rows);
}

void PutNode(ReturnSetInfo* rows, const shared::Root& root) {
  const shared::Boot& boot = root.boot;
  const shared::NodeView* view = ReadNode(root);
  Row row;
  row.Text(boot.node_name.view());
  row.Text(boot.cluster_name.view());
  row.Id(boot.cluster_id);
  row.LongOrNull(boot.raft_node_id);
  row.Text(NameOf(boot.mode));
  row.Text(boot.closed_reason.view());
  row.Id(boot.boot_id);
  row.Long(boot.boot_count);
  row.Time(boot.started_us);
  row.Text(NameOf(boot.intent_outcome));
  row.Text(boot.state_directory.view());
  row.LongOrNull(static_cast<uint64_t>(root.worker.pid.load()));
  row.Text(view == nullptr ? std::string_view() : view->agent_state.view());
  row.Text(view == nullptr ? std::string_view() : view->coordinator_state.view());
  if (view == nullptr) {
    row.Null();
  } else {
    row.Bool(view->failover_paused != 0);
  }
  row.PutInto(rows);
}

void PutEvent(ReturnSetInfo* rows, const shared::HistoryEntry& event) {
  Row row;
  row.Long(event.epoch_number);
  row.Id(event.epoch_generation);
  row.Text(NameOf(event.kind));
  row.Text(NameOf(event.outcome));
  row.Text(event.old_primary.view());
  row.Text(event.new_primary.view());
  row.LongOrNull(event.new_timeline);
  row.Time(event.detected_us);
  row.Time(event.revoked_us);
  row.Time(event.appointed_us);
  row.Time(event.settled_us);
  row.Text(event.reason.view());
  row.PutInto(rows);
}

}  // namespace
}  // namespace pgquorum::api

using namespace pgquorum;  // lint: allow(using) C entry points

PGQUORUM_FUNCTION(pgquorum_members) {
  shared::Root& root = api::Memory();
  ReturnSetInfo* rows = api::BeginRows(fcinfo);
  const shared::NodeView* view = api::ReadNode(root);
  if (view == nullptr || view->member_count == 0) {
    api::PutOwnMember(rows, root);
    return 0;
  }
  bool fresh = api::WorkerAlive(root);
  for (uint32_t i = 0; i < Min(view->member_count, uint32_t{shared::kMaxMembers}); ++i) {
    api::PutMember(rows, view->members[i], fresh);
  }
  return 0;
}

PGQUORUM_FUNCTION(pgquorum_raft) {
  shared::Root& root = api::Memory();
  ReturnSetInfo* rows = api::BeginRows(fcinfo);
  const shared::NodeView* view = api::ReadNode(root);
  const shared::RaftMetricsView* raft = api::ReadRaft(root);
  if (view != nullptr && raft != nullptr) {
    api::PutRaft(rows, root, *view, *raft);
  }
  return 0;
}

PGQUORUM_FUNCTION(pgquorum_gate) {
  shared::Root& root = api::Memory();
  ReturnSetInfo* rows = api::BeginRows(fcinfo);
  if (root.boot.mode != shared::Mode::kStandalone) {
    api::PutGate(rows, root);
  }
  return 0;
}

PGQUORUM_FUNCTION(pgquorum_node) {
  shared::Root& root = api::Memory();
  api::PutNode(api::BeginRows(fcinfo), root);
  return 0;
}

PGQUORUM_FUNCTION(pgquorum_history) {
  static shared::HistoryView history;  // too large for the stack
  shared::Root& root = api::Memory();
  ReturnSetInfo* rows = api::BeginRows(fcinfo);
  if (root.history.Read(history)) {
    for (uint32_t i = 0; i < Min(history.count, uint32_t{shared::kMaxHistory}); ++i) {
      api::PutEvent(rows, history.entries[i]);
    }
  }
  return 0;
}
