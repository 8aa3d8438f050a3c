#include "extension/resources.h"

#include "extension/fusion/memory.h"
#include "extension/fusion/settings.h"
#include "extension/pg/pg.h"

extern "C" {
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "utils/varlena.h"
}

#include "extension/crdt/values.h"
#include "extension/guc.h"
#include "extension/pg/compat.h"
#include "extension/shmem.h"

namespace pgquorum::resources {

namespace {

constexpr Worker kWorkers[] = {
    {"pgquorum consensus", "pgquorum consensus", "pgquorum_worker", "pgquorum_consensus_main",
     Needs::kMember, When::kStart},
    {"pgquorum fusion", "pgquorum fusion", "pgquorum", "pgquorum_fusion_main", Needs::kFusion,
     When::kPrimary},
};

bool Wanted(const Worker& worker, bool member) {
  switch (worker.needs) {
    case Needs::kMember:
      return member;
    case Needs::kFusion:
      return fusion::server::Configured();
    default:
      return true;
  }
}

BgWorkerStartTime StartOf(When when) {
  switch (when) {
    case When::kStart:
      return BgWorkerStart_PostmasterStart;
    case When::kConsistent:
      return BgWorkerStart_ConsistentState;
    default:
      return BgWorkerStart_RecoveryFinished;
  }
}

void Register(const Worker& row) {
  BackgroundWorker worker = {};
  strlcpy(worker.bgw_name, row.name, BGW_MAXLEN);
  strlcpy(worker.bgw_type, row.type, BGW_MAXLEN);
  strlcpy(worker.bgw_library_name, row.library, BGW_MAXLEN);
  strlcpy(worker.bgw_function_name, row.function, BGW_MAXLEN);
  worker.bgw_flags = BGWORKER_SHMEM_ACCESS;
  if (row.when == When::kConsistent) {
    worker.bgw_flags |= BGWORKER_BACKEND_DATABASE_CONNECTION;
  }
  worker.bgw_start_time = StartOf(row.when);
  // After a crash restart of the server all workers start at once whatever this says; it paces a
  // worker that exits by itself. 0 would let one that fails at start spin.
  worker.bgw_restart_time = 1;
  RegisterBackgroundWorker(&worker);
}

// One manager for each database that is a site of a multi-master group; it starts the others. It
// runs on a primary, from the moment that it is one.
void RegisterReplicationManager(const char* database) {
  BackgroundWorker worker = {};
  snprintf(worker.bgw_name, BGW_MAXLEN, "pgquorum replication manager of %s", database);
  strlcpy(worker.bgw_type, "pgquorum replication manager", BGW_MAXLEN);
  strlcpy(worker.bgw_library_name, "pgquorum_replication", BGW_MAXLEN);
  strlcpy(worker.bgw_function_name, "pgquorum_replication_manager_main", BGW_MAXLEN);
  worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
  worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
  worker.bgw_restart_time = 5;  // the database may not be there yet
  strlcpy(worker.bgw_extra, database, BGW_EXTRALEN);
  RegisterBackgroundWorker(&worker);
}

List* ReplicationDatabases() {
  List* databases = NIL;
  if (!SplitIdentifierString(pstrdup(guc::replication_databases), ',', &databases)) {
    ereport(FATAL, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("invalid list in pgquorum.replication_databases"),
                    errhint("Separate names of databases by commas.")));
  }
  return databases;
}

}  // namespace

int WorkersNeeded(bool member) {
  int needed = 0;
  for (const Worker& worker : kWorkers) {
    needed += Wanted(worker, member) ? 1 : 0;
  }
  return needed + list_length(ReplicationDatabases());
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
  ListCell* cell = nullptr;
  foreach (cell, ReplicationDatabases()) {
    RegisterReplicationManager(static_cast<char*>(lfirst(cell)));
  }
}

void RequestSharedMemory() {
  RequestAddinShmemSpace(shmem::Size(compat::ProcessSlots()));
  RequestAddinShmemSpace(crdt_types::SharedMemorySize());
  RequestAddinShmemSpace(fusion::server::MemoryBytes());
}

}  // namespace pgquorum::resources
