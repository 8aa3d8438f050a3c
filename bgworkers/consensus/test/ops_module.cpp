// A library for development servers only (PGQUORUM_DEV_TESTS): a background worker like the
// consensus worker (shared memory, no database connection, started with the postmaster) that runs
// one operation of postgres_*.h at a time as told by the SQL function pgquorum_ops(text).
// ops_servers.py drives it.
#include <string>

#include "bgworkers/consensus/test/ops_json.h"
#include "bgworkers/consensus/test/ops_operations.h"

#include "extension/pg/pg.h"

extern "C" {
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/wait_event.h"
}

namespace {

using pgquorum::consensus::Arguments;
using pgquorum::consensus::Machine;
using pgquorum::consensus::Operations;
using pgquorum::consensus::Split;

// One request at a time; the test is the only client.
struct Mailbox {
  volatile uint64 asked;
  volatile uint64 answered;
  Latch* volatile worker;
  Latch* volatile client;
  char request[4096];
  char answer[65536];
};

Mailbox* g_mailbox = nullptr;
shmem_request_hook_type g_next_request = nullptr;
shmem_startup_hook_type g_next_startup = nullptr;

void Serve(Machine& machine) {
  if (g_mailbox->asked == g_mailbox->answered) {
    return;
  }
  pg_memory_barrier();
  const Arguments arguments = Split(g_mailbox->request, '|');
  const auto found = Operations().find(arguments[0]);
  const std::string answer = found == Operations().end() ? R"({"error":"no such operation"})"
                                                         : found->second(machine, arguments);
  strlcpy(g_mailbox->answer, answer.c_str(), sizeof g_mailbox->answer);
  pg_memory_barrier();
  g_mailbox->answered = g_mailbox->asked;
  if (g_mailbox->client != nullptr) {
    SetLatch(g_mailbox->client);
  }
}

void RequestMemory() {
  if (g_next_request != nullptr) {
    g_next_request();
  }
  RequestAddinShmemSpace(sizeof(Mailbox));
}

void StartMemory() {
  if (g_next_startup != nullptr) {
    g_next_startup();
  }
  bool found = false;
  LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
  g_mailbox = static_cast<Mailbox*>(ShmemInitStruct("pgquorum_ops", sizeof(Mailbox), &found));
  if (!found) {
    MemSet(g_mailbox, 0, sizeof(Mailbox));
  }
  LWLockRelease(AddinShmemInitLock);
}

}  // namespace

PGQUORUM_EXPORT const Pg_magic_struct* PG_MAGIC_FUNCTION_NAME(void);
const Pg_magic_struct* PG_MAGIC_FUNCTION_NAME(void) {
  static const Pg_magic_struct magic = PG_MODULE_MAGIC_DATA;
  return &magic;
}

PGQUORUM_EXPORT void _PG_init(void);
void _PG_init(void) {
  if (!process_shared_preload_libraries_in_progress) {
    return;
  }
  g_next_request = shmem_request_hook;
  shmem_request_hook = RequestMemory;
  g_next_startup = shmem_startup_hook;
  shmem_startup_hook = StartMemory;
  BackgroundWorker worker{};
  worker.bgw_flags = BGWORKER_SHMEM_ACCESS;
  worker.bgw_start_time = BgWorkerStart_PostmasterStart;
  worker.bgw_restart_time = 1;
  strlcpy(worker.bgw_name, "pgquorum operations test", sizeof worker.bgw_name);
  strlcpy(worker.bgw_type, "pgquorum operations test", sizeof worker.bgw_type);
  strlcpy(worker.bgw_library_name, "pgquorum_ops_test", sizeof worker.bgw_library_name);
  strlcpy(worker.bgw_function_name, "pgquorum_ops_main", sizeof worker.bgw_function_name);
  RegisterBackgroundWorker(&worker);
}

PGQUORUM_EXPORT void pgquorum_ops_main(Datum argument);
void pgquorum_ops_main(Datum) {
  pqsignal(SIGHUP, SignalHandlerForConfigReload);
  pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
  BackgroundWorkerUnblockSignals();
  g_mailbox->worker = MyLatch;
  static Machine machine;
  while (!ShutdownRequestPending) {
    if (ConfigReloadPending) {
      ConfigReloadPending = false;
      ProcessConfigFile(PGC_SIGHUP);
    }
    Serve(machine);
    machine.Poll();
    const long timeout_ms = machine.Busy() ? 2 : 1000;
    WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, timeout_ms,
              PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
  }
  proc_exit(1);
}

// pgquorum_ops(text) returns text: runs one operation in the worker.
PGQUORUM_FUNCTION(pgquorum_ops) {
  char* request = text_to_cstring(PG_GETARG_TEXT_PP(0));
  strlcpy(g_mailbox->request, request, sizeof g_mailbox->request);
  g_mailbox->client = MyLatch;
  pg_memory_barrier();
  g_mailbox->asked = g_mailbox->asked + 1;
  if (g_mailbox->worker != nullptr) {
    SetLatch(g_mailbox->worker);
  }
  while (g_mailbox->asked != g_mailbox->answered) {
    WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 100, PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    CHECK_FOR_INTERRUPTS();
  }
  PG_RETURN_TEXT_P(cstring_to_text(g_mailbox->answer));
}
