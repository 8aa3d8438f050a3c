#include "extension/resources.h"

#include "extension/pg/pg.h"

extern "C" {
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
}

#include "extension/pg/compat.h"
#include "extension/shmem.h"

namespace pgquorum::resources {

namespace {

constexpr Worker kWorkers[] = {
    {"pgquorum consensus", "pgquorum consensus", "pgquorum_worker", "pgquorum_consensus_main",
     Needs::kMember, true},
};

bool Wanted(const Worker& worker, bool member) {
  return worker.needs == Needs::kEveryServer || member;
}

void Register(const Worker& row) {
  BackgroundWorker worker = {};
  strlcpy(worker.bgw_name, row.name, BGW_MAXLEN);
  strlcpy(worker.bgw_type, row.type, BGW_MAXLEN);
  strlcpy(worker.bgw_library_name, row.library, BGW_MAXLEN);
  strlcpy(worker.bgw_function_name, row.function, BGW_MAXLEN);
  worker.bgw_flags = BGWORKER_SHMEM_ACCESS;
  if (!row.from_the_start) {
    worker.bgw_flags |= BGWORKER_BACKEND_DATABASE_CONNECTION;
  }
  worker.bgw_start_time =
      row.from_the_start ? BgWorkerStart_PostmasterStart : BgWorkerStart_ConsistentState;
  // After a crash restart of the server all workers start at once whatever this says; it paces a
  // worker that exits by itself. 0 would let one that fails at start spin.
  worker.bgw_restart_time = 1;
  RegisterBackgroundWorker(&worker);
}

}  // namespace

int WorkersNeeded(bool member) {
  int needed = 0;
  for (const Worker& worker : kWorkers) {
    needed += Wanted(worker, member) ? 1 : 0;
  }
  return needed;
}

void RegisterWorkers(bool member) {
  int needed = WorkersNeeded(member);
  if (max_worker_processes < needed) {
    ereport(member ? FATAL : WARNING,
            (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
             errmsg("max_worker_processes is too low for pgquorum"),
             errdetail("pgquorum needs %d of them, the setting allows %d.", needed,
                       max_worker_processes),
             errhint("Set max_worker_processes to at least %d, more for parallel queries and other "
                     "extensions.",
                     needed)));
  }
  for (const Worker& worker : kWorkers) {
    if (Wanted(worker, member)) {
      Register(worker);
    }
  }
}

void RequestSharedMemory() {
  RequestAddinShmemSpace(shmem::Size(compat::ProcessSlots()));
}

}  // namespace pgquorum::resources
