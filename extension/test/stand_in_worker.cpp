// A stand-in for pgquorum_worker.so: a consensus worker without a cluster, and SQL functions that
// do to the gate what the real one would. tap/t/extension loads it in place of the real module.
#include <string>

#include "extension/pg/pg.h"

extern "C" {
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
}

#include "extension/shmem.h"

PGQUORUM_EXPORT const Pg_magic_struct* PG_MAGIC_FUNCTION_NAME(void);
const Pg_magic_struct* PG_MAGIC_FUNCTION_NAME(void) {
  static const Pg_magic_struct magic = PG_MODULE_MAGIC_DATA;
  return &magic;
}

namespace {

using namespace pgquorum;  // lint: allow(using) a test module

// What the answer to a request is depends on the node that it names.
void Handle(shared::RequestSlot* slot) {
  std::string_view node = slot->arguments.node.view();
  if (node == "silent") {
    return;  // never answered: the backend must get out by itself
  }
  if (node == "refuse") {
    shmem::Answer(slot,
                  Status::Error("RX100", "refused for " + std::string(slot->arguments.user.view()))
                      .WithDetail("Its detail.")
                      .WithHint("Its hint."));
    return;
  }
  shmem::Answer(slot, Status::Ok(), "answer " + std::to_string(slot->arguments.number), 0);
}

void Publish() {
  static shared::NodeView view;
  view = {};
  view.published_us = GetCurrentTimestamp();
  view.epoch_number = 7;
  view.primary_id = 2;
  view.primary_name.Set("node2");
  view.primary_host.Set("db2.example");
  view.primary_port = 5432;
  view.member_count = 1;
  view.members[0].raft_node_id = 2;
  view.members[0].name.Set("node2");
  view.members[0].role = shared::MemberRole::kPrimary;
  view.members[0].status = shared::MemberStatus::kHealthy;
  view.members[0].health_score = 100;
  view.members[0].lag_bytes = -1;
  view.members[0].lag_us = -1;
  shmem::PublishNode(view);
  static shared::RaftMetricsView raft;
  raft.state.role = shared::RaftRole::kLeader;
  raft.numbers.term = 3;
  shmem::PublishRaftMetrics(raft);
}

}  // namespace

PGQUORUM_EXPORT void pgquorum_consensus_main(Datum argument);
void pgquorum_consensus_main(Datum) {
  pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
  pqsignal(SIGHUP, SignalHandlerForConfigReload);
  BackgroundWorkerUnblockSignals();
  before_shmem_exit([](int, Datum) { shmem::UnregisterWorker(); }, 0);
  shmem::RegisterWorker();
  while (ShutdownRequestPending == 0) {
    while (shared::RequestSlot* slot = shmem::TakeRequest()) {
      Handle(slot);
    }
    shmem::BeatWorker();
    Publish();
    if (ConfigReloadPending != 0) {
      ConfigReloadPending = 0;
      ProcessConfigFile(PGC_SIGHUP);
    }
    WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 100, PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
  }
  proc_exit(1);
}

// open(acks int, lease_ms int)
PGQUORUM_FUNCTION(pgquorum_test_open) {
  shmem::GateOpening opening = {};
  opening.epoch_number = 7;
  opening.required_acks = static_cast<uint32_t>(PG_GETARG_INT32(0));
  opening.lease_deadline_ns =
      shmem::BootTimeNs() + static_cast<uint64_t>(PG_GETARG_INT32(1)) * 1'000'000;
  shmem::OpenGate(opening);
  PG_RETURN_VOID();
}

// close(retryable boolean)
PGQUORUM_FUNCTION(pgquorum_test_close) {
  shmem::CloseGate(PG_GETARG_BOOL(0));
  PG_RETURN_VOID();
}

// admit(clients boolean)
PGQUORUM_FUNCTION(pgquorum_test_admit) {
  shmem::SetAdmit(PG_GETARG_BOOL(0) ? shared::Admit::kClients : shared::Admit::kAdministrators);
  PG_RETURN_VOID();
}

// settle(ms int): the gate is expected to open within that time
PGQUORUM_FUNCTION(pgquorum_test_settle) {
  int wait_ms = PG_GETARG_INT32(0);
  shmem::SetSettling(
      wait_ms == 0 ? 0 : shmem::BootTimeNs() + static_cast<uint64_t>(wait_ms) * 1'000'000);
  PG_RETURN_VOID();
}

// accept(list text): the one value of synchronous_standby_names that goes; '-' takes the demand
// back
PGQUORUM_FUNCTION(pgquorum_test_accept) {
  std::string list = text_to_cstring(PG_GETARG_TEXT_PP(0));
  shmem::AcceptLists(list == "-" ? std::vector<std::string>() : std::vector<std::string>{list});
  PG_RETURN_VOID();
}

// in_force(generation int, list_is_empty boolean) -> boolean
PGQUORUM_FUNCTION(pgquorum_test_in_force) {
  PG_RETURN_BOOL(
      shmem::SyncGenerationInForce(static_cast<uint64_t>(PG_GETARG_INT32(0)), PG_GETARG_BOOL(1)));
}
