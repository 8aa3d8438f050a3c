#include "extension/fusion/leaks.h"

#include <algorithm>

#include "extension/fusion/check.h"

extern "C" {
#include "access/xact.h"
#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
}

#include "extension/fusion/segments.h"
#include "extension/pg/boundary.h"

namespace pgquorum::fusion::server {
namespace {

// The worker's.
bool g_searching = false;
bool g_begun = false;         // a helper has been started
Oid g_database = InvalidOid;  // the latest one's; none: of dropped databases
BackgroundWorkerHandle* g_helper = nullptr;

bool StartHelper(Oid database) {
  BackgroundWorker worker = {};
  snprintf(worker.bgw_name, BGW_MAXLEN, "pgquorum fusion leak search %u", database);
  strlcpy(worker.bgw_type, "pgquorum fusion leak search", BGW_MAXLEN);
  strlcpy(worker.bgw_library_name, "pgquorum", BGW_MAXLEN);
  strlcpy(worker.bgw_function_name, "pgquorum_fusion_leaks_main", BGW_MAXLEN);
  worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
  worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
  worker.bgw_restart_time = BGW_NEVER_RESTART;
  worker.bgw_main_arg = ObjectIdGetDatum(database);
  worker.bgw_notify_pid = MyProcPid;
  MemoryContext before = MemoryContextSwitchTo(TopMemoryContext);
  bool started = RegisterDynamicBackgroundWorker(&worker, &g_helper);
  MemoryContextSwitchTo(before);
  return started;
}

// The first database behind the latest one that has segments; none: there is no more.
Status FindNext(Engine& engine, Oid& next) {
  Result<std::vector<uint64_t>> all = engine.storage.segments().List();
  if (!all.ok()) {
    return all.status();
  }
  auto found = std::find_if(all.value().begin(), all.value().end(), [](uint64_t segment) {
    return static_cast<Oid>(segment >> 32) > g_database;
  });
  next = found == all.value().end() ? InvalidOid : static_cast<Oid>(*found >> 32);
  return Status::Ok();
}

void Tell(void*, const char*, const char* problem) {
  const char* database = OidIsValid(MyDatabaseId) ? get_database_name(MyDatabaseId) : nullptr;
  ereport(LOG, (errmsg("fusion storage: %s", problem),
                database == nullptr ? 0 : errdetail("Database \"%s\".", database)));
}

// Nobody can make segments of a database that pg_database does not show.
void RemoveOfDroppedDatabases() {
  Engine& engine = Use();
  for (uint64_t segment : AllSegments(engine)) {
    auto database = static_cast<Oid>(segment >> 32);
    if (!OidIsValid(database) || SearchSysCacheExists1(DATABASEOID, ObjectIdGetDatum(database))) {
      continue;
    }
    pg::Boundary([&] { return engine.storage.RemoveSegment(segment); });
    Tell(nullptr, nullptr,
         psprintf("segment %u of the dropped database %u was removed", static_cast<Oid>(segment),
                  database));
  }
}

[[noreturn]] void Search(Oid database) {
  pqsignal(SIGTERM, die);
  BackgroundWorkerUnblockSignals();
  BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, BGWORKER_BYPASS_ALLOWCONN);
  StartTransactionCommand();
  if (OidIsValid(database)) {
    CheckSegments({Tell, nullptr}, true);
  } else {
    RemoveOfDroppedDatabases();
  }
  CommitTransactionCommand();
  proc_exit(0);
}

}  // namespace

void BeginLeakSearch() {
  g_searching = true;
  g_begun = false;
  g_database = InvalidOid;
}

void ContinueLeakSearch(Engine& engine) {
  pid_t pid = 0;
  if (!g_searching ||
      (g_helper != nullptr && GetBackgroundWorkerPid(g_helper, &pid) != BGWH_STOPPED)) {
    return;
  }
  if (g_helper != nullptr) {
    pfree(g_helper);
    g_helper = nullptr;
  }
  if (!g_begun) {
    g_begun = StartHelper(InvalidOid);  // without room for one, the next turn tries again
    return;
  }
  Oid next = InvalidOid;
  pg::ErrorText error = {};
  if (!pg::Attempt([&]() -> Status { return FindNext(engine, next); }, error)) {
    ereport(LOG, (errmsg("could not look for fusion segments of nobody: %s", error.message)));
    g_searching = false;
  } else if (!OidIsValid(next)) {
    g_searching = false;
  } else if (StartHelper(next)) {
    g_database = next;
  }
}

}  // namespace pgquorum::fusion::server

PGQUORUM_EXPORT void pgquorum_fusion_leaks_main(Datum);
void pgquorum_fusion_leaks_main(Datum database) {
  pgquorum::fusion::server::Search(DatumGetObjectId(database));
}
