#include "extension/hooks/commit_gate.h"

#include "extension/pg/pg.h"

extern "C" {
#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "replication/syncrep.h"
#include "storage/latch.h"
#include "tcop/dest.h"
#include "tcop/tcopprot.h"
#include "utils/acl.h"
}

#include <csignal>

#include "extension/pg/compat.h"
#include "extension/shmem.h"

namespace pgquorum::commit_gate {

namespace {

// This backend's commit under way. Plain memory: errors jump over everything here.
struct InFlight {
  bool active;
  bool unbacked;  // no quorum stands behind the answer
  bool raised;    // synchronous_commit was raised for this commit
  int asked_synchronous_commit;
  sigset_t mask_before;
};
InFlight g_commit;

enum class Verdict { kOpen, kClosedNode, kSwitchover, kFenced, kLapsed, kListMissing };

Verdict Judge(const shared::Root& root) {
  const shared::Gate& gate = root.gate;
  if (root.boot.mode == shared::Mode::kClosed) {
    return Verdict::kClosedNode;
  }
  if (gate.open.load(std::memory_order_acquire) == 0) {
    return gate.retryable.load(std::memory_order_relaxed) != 0 ? Verdict::kSwitchover
                                                               : Verdict::kFenced;
  }
  if (shmem::BootTimeNs() >= gate.lease_deadline_ns.load(std::memory_order_acquire)) {
    return Verdict::kLapsed;
  }
  if (gate.required_acks.load(std::memory_order_relaxed) > 0 && !compat::SyncStandbysDefined()) {
    return Verdict::kListMissing;
  }
  return Verdict::kOpen;
}

const char* Explain(Verdict verdict) {
  switch (verdict) {
    case Verdict::kClosedNode:
      return "The node is closed; system.cluster_health says why.";
    case Verdict::kSwitchover:
      return "The primary is about to change.";
    case Verdict::kFenced:
      return "The cluster has not appointed this node, or has revoked it.";
    case Verdict::kLapsed:
      return "This node has not reached a majority of the cluster within the lease.";
    case Verdict::kListMissing:
      return "synchronous_standby_names is empty, but the cluster demands synchronous standbys.";
    case Verdict::kOpen:
      break;
  }
  return "";
}

[[noreturn]] void Refuse(shared::Root& root, Verdict verdict) {
  static shared::NodeView view;  // too large for the stack
  bool known =
      root.node.Read(view) && view.primary_id != 0 && view.primary_id != root.boot.raft_node_id;
  bool retry = verdict == Verdict::kSwitchover;
  ereport(ERROR,
          (errcode(retry ? ERRCODE_T_R_SERIALIZATION_FAILURE : ERRCODE_READ_ONLY_SQL_TRANSACTION),
           errmsg("this node may not write now"), errdetail_internal("%s", Explain(verdict)),
           known ? errhint("The primary is \"%s\" (%s:%u). The transaction was not committed.",
                           view.primary_name.data, view.primary_host.data, view.primary_port)
                 : errhint("The transaction was not committed; try again on the primary.")));
  pg_unreachable();
}

void HoldSignals() {
  sigset_t held;
  sigemptyset(&held);
  sigaddset(&held, SIGINT);
  sigaddset(&held, SIGTERM);
  sigprocmask(SIG_BLOCK, &held, &g_commit.mask_before);
}

void SetSynchronousCommit(int level) {
  synchronous_commit = level;
  assign_synchronous_commit(level, nullptr);
}

// Below "on" an answer is not backed by what the rule counts: a standby's disk.
void RaiseSynchronousCommit(shared::Root& root) {
  g_commit.raised = false;
  g_commit.asked_synchronous_commit = synchronous_commit;
  if (synchronous_commit >= SYNCHRONOUS_COMMIT_REMOTE_FLUSH) {
    return;
  }
  if (IsAdministrator()) {
    root.counters.synchronous_commit_lowered.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  SetSynchronousCommit(SYNCHRONOUS_COMMIT_REMOTE_FLUSH);
  g_commit.raised = true;
  root.counters.synchronous_commit_raised.fetch_add(1, std::memory_order_relaxed);
}

void Release(shared::Root& root) {
  g_commit.active = false;
  if (g_commit.raised) {
    SetSynchronousCommit(g_commit.asked_synchronous_commit);
  }
  root.counters.waiters.fetch_sub(1, std::memory_order_release);
  sigprocmask(SIG_SETMASK, &g_commit.mask_before, nullptr);
}

// The connection ends without an answer: what a backend does that is terminated in the wait for a
// standby (syncrep.c).
void DropUnanswered(shared::Root& root) {
  root.counters.answers_dropped.fetch_add(1, std::memory_order_relaxed);
  ereport(LOG,
          (errmsg("dropping a connection without an answer"),
           errdetail("The lease ran out while a transaction committed that no standby backs.")));
  whereToSendOutput = DestNone;
  ProcDiePending = true;
  InterruptPending = true;
  SetLatch(MyLatch);
}

}  // namespace

void BeginCommit() {
  shared::Root* root = shmem::Attach();
  if (root == nullptr || root->boot.mode == shared::Mode::kStandalone || g_commit.active) {
    return;
  }
  root->counters.commits_checked.fetch_add(1, std::memory_order_relaxed);
  Verdict verdict = Judge(*root);
  if (verdict != Verdict::kOpen) {
    root->counters.commits_refused.fetch_add(1, std::memory_order_relaxed);
    Refuse(*root, verdict);
  }
  RaiseSynchronousCommit(*root);
  HoldSignals();
  g_commit.active = true;
  g_commit.unbacked = root->gate.required_acks.load(std::memory_order_relaxed) == 0 ||
                      synchronous_commit < SYNCHRONOUS_COMMIT_REMOTE_WRITE;
  root->counters.waiters.fetch_add(1, std::memory_order_acq_rel);
  // What arrived before the signals were held is obeyed while an error still means "not committed";
  // the abort releases what was just taken.
  CHECK_FOR_INTERRUPTS();
  // A worker that closed the gate and then saw no waiters must be right: look again after counting.
  verdict = Judge(*root);
  if (verdict != Verdict::kOpen) {
    Release(*root);
    root->counters.commits_refused.fetch_add(1, std::memory_order_relaxed);
    Refuse(*root, verdict);
  }
}

void EndCommit() {
  if (!g_commit.active) {
    return;
  }
  shared::Root* root = shmem::Attach();
  bool late = g_commit.unbacked && Judge(*root) != Verdict::kOpen;
  Release(*root);
  if (late) {
    DropUnanswered(*root);
  }
}

void AbortCommit() {
  if (g_commit.active) {
    Release(*shmem::Attach());
  }
}

bool IsOpen() {
  shared::Root* root = shmem::Attach();
  return root != nullptr && Judge(*root) == Verdict::kOpen;
}

void RefuseWrites() {
  shared::Root* root = shmem::Attach();
  if (root == nullptr || root->boot.mode == shared::Mode::kStandalone || RecoveryInProgress()) {
    return;  // a standby refuses by itself
  }
  Verdict verdict = Judge(*root);
  if (verdict != Verdict::kOpen) {
    root->counters.writes_refused.fetch_add(1, std::memory_order_relaxed);
    Refuse(*root, verdict);
  }
}

bool IsAdministrator() {
  if (superuser()) {
    return true;
  }
  Oid role = get_role_oid("pgquorum_admin", true);
  return OidIsValid(role) && has_privs_of_role(GetUserId(), role);
}

}  // namespace pgquorum::commit_gate
