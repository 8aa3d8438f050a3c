// Entry point of the worker library: the consensus worker's main function and its loop.
#include "extension/pg/pg.h"

extern "C" {
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/procsignal.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"
}

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>

#include "bgworkers/consensus/node.h"
#include "bgworkers/consensus/postgres_guard.h"
#include "extension/shmem.h"

namespace pgquorum::consensus {
namespace {

// How long a primary that is being stopped waits for the others to take over.
constexpr failover::TimeNs kFarewell = 300 * failover::kMs;

Node* g_node = nullptr;

void StopNode(int, Datum) {
  // Threads are joined here, before shared memory goes away under them.
  shmem::UnregisterWorker();
  delete g_node;
  g_node = nullptr;
}

void StopOnBrokenInvariant(const char* file, int line, const char* condition) {
  // Other threads may run: nothing of PostgreSQL, and no unwinding. The postmaster restarts the
  // whole server, as a standby, with the gate closed.
  fprintf(stderr, "pgquorum: invariant violated at %s:%d: %s\n", file, line, condition);
  std::abort();
}

// In the setting's own unit.
int Number(const char* setting) {
  return static_cast<int>(std::strtol(SettingInForce(setting).c_str(), nullptr, 10));
}

Result<Node::Options> ReadOptions() {
  Node::Options options;
  const shared::Root* root = shmem::Attach();
  if (root == nullptr) {
    return Status::Error("XX000", "pgquorum's shared memory has another layout than this library");
  }
  options.data_directory = DataDir;
  options.state_directory = std::string(root->boot.state_directory.view());
  Result<identity::NodeIdentity> identity = identity::Load<identity::NodeIdentity>(
      options.state_directory + "/" + identity::kIdentityFile);
  if (!identity.ok()) {
    return identity.status();
  }
  options.identity = std::move(identity).value();
  // The variables are the other library's; by name they are everybody's.
  options.tls = SettingInForce("pgquorum.tls") != "off";
  for (const raft_settings::Timing& timing : raft_settings::kTimings) {
    options.raft.*timing.field = Number(timing.name);
  }
  options.raft.max_entries_per_append = Number("pgquorum.max_entries_per_append");
  options.snapshot_interval_ms = static_cast<uint64_t>(Number("pgquorum.snapshot_interval")) * 1000;
  options.snapshot_entries = static_cast<uint64_t>(Number("pgquorum.snapshot_entries"));
  options.log_retention = static_cast<uint64_t>(Number("pgquorum.log_retention"));
  return options;
}

void ReportAndExit(const Status& status) {
  // Exit code 1: the postmaster starts the worker again after its restart time.
  ereport(LOG, (errmsg("pgquorum: the consensus worker stops: %s", status.message().c_str()),
                status.detail().empty() ? 0 : errdetail("%s", status.detail().c_str()),
                status.hint().empty() ? 0 : errhint("%s", status.hint().c_str())));
  proc_exit(1);
}

void Wait(WaitEventSet* set, failover::TimeNs until) {
  failover::TimeNs now = static_cast<failover::TimeNs>(shmem::BootTimeNs());
  long timeout_ms = until <= now ? 0 : static_cast<long>((until - now) / failover::kMs) + 1;
  WaitEvent event;
  WaitEventSetWait(set, timeout_ms, &event, 1, PG_WAIT_EXTENSION);
  ResetLatch(MyLatch);
}

// A commit that waits for the quorum holds SIGTERM back, and after the take-over nobody releases
// it: a fast shutdown would wait for ever. Immediate drops it unanswered, which is what it has
// earned.
void EndWaiters() {
  if (shmem::Waiters() > 0) {
    ereport(LOG, (errmsg("pgquorum: commits wait for a quorum that will not come; the server stops "
                         "immediately")));
    kill(PostmasterPid, SIGQUIT);
  }
}

void Loop(Node& node) {
  WaitEventSet* set = CreateWaitEventSet(TopMemoryContext, 3);
  AddWaitEventToSet(set, WL_LATCH_SET, PGINVALID_SOCKET, MyLatch, nullptr);
  AddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, nullptr, nullptr);
  AddWaitEventToSet(set, WL_SOCKET_READABLE, node.wakeup_fd(), nullptr, nullptr);
  MemoryContext turn_context =
      AllocSetContextCreate(TopMemoryContext, "pgquorum turn", ALLOCSET_DEFAULT_SIZES);
  failover::TimeNs farewell_until = 0;
  while (true) {
    if (ConfigReloadPending) {
      ConfigReloadPending = false;
      Status reloaded = Guarded("reading the configuration", [] { ProcessConfigFile(PGC_SIGHUP); });
      if (!reloaded.ok()) {
        ereport(LOG, (errmsg("pgquorum: %s", reloaded.message().c_str())));
      }
    }
    if (ProcSignalBarrierPending) {
      ProcessProcSignalBarrier();
    }
    if (ShutdownRequestPending && farewell_until == 0) {
      farewell_until = static_cast<failover::TimeNs>(shmem::BootTimeNs()) + kFarewell;
      node.BeginShutdown();
    }
    MemoryContext before = MemoryContextSwitchTo(turn_context);
    failover::TimeNs next = node.Turn();
    MemoryContextSwitchTo(before);
    MemoryContextReset(turn_context);
    shmem::BeatWorker();
    if (node.fatal()) {
      ReportAndExit(*node.fatal());
    }
    if (farewell_until != 0) {
      if (node.finished() || static_cast<failover::TimeNs>(shmem::BootTimeNs()) >= farewell_until) {
        EndWaiters();
        proc_exit(1);
      }
      next = std::min(next, farewell_until);
    }
    Wait(set, next);
  }
}

void Main() {
  pqsignal(SIGHUP, SignalHandlerForConfigReload);
  pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
  BackgroundWorkerUnblockSignals();
  SetCheckFailureHandler(StopOnBrokenInvariant);

  Result<Node::Options> options = ReadOptions();
  if (!options.ok()) {
    ReportAndExit(options.status());
  }
  Result<std::unique_ptr<Node>> node = Node::Start(std::move(options).value());
  if (!node.ok()) {
    ReportAndExit(node.status());
  }
  g_node = std::move(node).value().release();
  before_shmem_exit(StopNode, 0);
  shmem::RegisterWorker();
  Loop(*g_node);
}

}  // namespace
}  // namespace pgquorum::consensus

PGQUORUM_EXPORT void pgquorum_consensus_main(Datum argument);
void pgquorum_consensus_main(Datum) {
  try {
    pgquorum::consensus::Main();
  } catch (const std::exception& e) {
    // Only allocation can throw here (style: errors are values). State may be half-changed: abort,
    // so that the whole server restarts as a standby.
    fprintf(stderr, "pgquorum: exception in the consensus worker: %s\n", e.what());
    std::abort();
  } catch (...) {
    std::abort();
  }
}
