// Entry points of the library: the manager of a database's workers, and the workers themselves. The
// decoder's is in output_plugin.cpp, SQL functions are where they belong.
#include "extension/pg/pg.h"

extern "C" {
#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"
}

#include "bgworkers/replication/server/apply_worker.h"
#include "bgworkers/replication/server/housekeeper.h"
#include "bgworkers/replication/server/manager_release.h"
#include "extension/pg/guard.h"

PGQUORUM_EXPORT const Pg_magic_struct* PG_MAGIC_FUNCTION_NAME(void);
const Pg_magic_struct* PG_MAGIC_FUNCTION_NAME(void) {
  static const Pg_magic_struct magic = PG_MODULE_MAGIC_DATA;
  return &magic;
}

namespace pgquorum::replication::server {

namespace {

constexpr long kLookMs = 500;
constexpr int kMaxPeers = 64;

constexpr int kHousekeeper = 0;  // among the numbers of sites

struct Child {
  int site;
  BackgroundWorkerHandle* handle;
};

Child g_children[kMaxPeers];
int g_child_count = 0;

void Describe(BackgroundWorker& worker, int site) {
  if (site == kHousekeeper) {
    strlcpy(worker.bgw_name, "pgquorum replication upkeep", BGW_MAXLEN);
    strlcpy(worker.bgw_type, "pgquorum replication upkeep", BGW_MAXLEN);
    strlcpy(worker.bgw_function_name, "pgquorum_replication_housekeeper_main", BGW_MAXLEN);
  } else {
    snprintf(worker.bgw_name, BGW_MAXLEN, "pgquorum replication from site %d", site);
    strlcpy(worker.bgw_type, "pgquorum replication", BGW_MAXLEN);
    strlcpy(worker.bgw_function_name, "pgquorum_replication_apply_main", BGW_MAXLEN);
  }
}

void StartChild(int site) {
  BackgroundWorker worker = {};
  Describe(worker, site);
  strlcpy(worker.bgw_library_name, "pgquorum_replication", BGW_MAXLEN);
  worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
  worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
  worker.bgw_restart_time = BGW_NEVER_RESTART;  // this manager does
  worker.bgw_main_arg = Int32GetDatum(site);
  memcpy(worker.bgw_extra, &MyDatabaseId, sizeof(MyDatabaseId));
  worker.bgw_notify_pid = MyProcPid;
  Child* child = nullptr;
  for (int i = 0; i < g_child_count; ++i) {
    if (g_children[i].site == site) {
      child = &g_children[i];
    }
  }
  if (child == nullptr) {
    if (g_child_count == kMaxPeers) {
      return;
    }
    child = &g_children[g_child_count++];
    child->site = site;
    child->handle = nullptr;
  }
  pid_t pid = 0;
  if (child->handle != nullptr) {
    if (GetBackgroundWorkerPid(child->handle, &pid) != BGWH_STOPPED) {
      return;
    }
    pfree(child->handle);
    child->handle = nullptr;
  }
  MemoryContext before = MemoryContextSwitchTo(TopMemoryContext);
  if (!RegisterDynamicBackgroundWorker(&worker, &child->handle)) {
    child->handle = nullptr;
    ereport(WARNING, (errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
                      errmsg("no background worker is left for \"%s\"", worker.bgw_name),
                      errhint("Raise max_worker_processes.")));
  }
  MemoryContextSwitchTo(before);
}

// Of sites that have left.
void StopOthers(const int* sites, int count) {
  for (int i = 0; i < g_child_count; ++i) {
    bool member = false;
    for (int n = 0; n < count; ++n) {
      member = member || sites[n] == g_children[i].site;
    }
    if (!member && g_children[i].handle != nullptr) {
      TerminateBackgroundWorker(g_children[i].handle);
    }
  }
}

// The group's tables are the extension's, and the extension may come later than this worker.
void Look() {
  StartTransactionCommand();
  PushActiveSnapshot(GetTransactionSnapshot());
  if (SPI_connect() != SPI_OK_CONNECT) {
    elog(ERROR, "SPI_connect failed");
  }
  int sites[kMaxPeers];
  int count = 0;
  SPI_execute("SELECT pg_catalog.to_regclass('pgquorum_internal.replication_site') IS NOT NULL",
              true, 1);
  bool is_null = false;
  if (DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null))) {
    SPI_execute(
        "SELECT site_id FROM pgquorum_internal.replication_site"
        " UNION ALL SELECT 0 FROM pgquorum_internal.replication_group g"
        " WHERE g.site_id < (SELECT min(site_id) FROM pgquorum_internal.replication_site)",
        true, kMaxPeers);
    for (uint64_t i = 0; i < SPI_processed; ++i) {
      sites[count++] =
          DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &is_null));
    }
  }
  SPI_finish();
  PopActiveSnapshot();
  CommitTransactionCommand();
  StopOthers(sites, count);
  for (int i = 0; i < count; ++i) {
    StartChild(sites[i]);
  }
}

// What is still in use is tried again at the next look.
void Release() {
  static Status status;
  status = pg::Try([] { ReleaseSlots(); });
  if (!status.ok()) {
    AbortOutOfAnyTransaction();
    MemoryContextSwitchTo(TopMemoryContext);
    if (status.sqlstate() != "55006") {
      ereport(LOG, (errmsg("pgquorum: could not take away what is left of a replication group: %s",
                           status.ToString().c_str())));
    }
  }
}

}  // namespace

}  // namespace pgquorum::replication::server

PGQUORUM_EXPORT void pgquorum_replication_apply_main(Datum argument);
void pgquorum_replication_apply_main(Datum argument) {
  pgquorum::replication::server::RunApplyWorker(static_cast<uint16_t>(DatumGetInt32(argument)));
}

PGQUORUM_EXPORT void pgquorum_replication_manager_main(Datum argument);
void pgquorum_replication_manager_main(Datum) {
  using namespace pgquorum::replication::server;
  pqsignal(SIGHUP, SignalHandlerForConfigReload);
  pqsignal(SIGTERM, die);
  BackgroundWorkerUnblockSignals();
  BackgroundWorkerInitializeConnection(MyBgworkerEntry->bgw_extra, nullptr, 0);
  while (true) {
    if (ConfigReloadPending) {
      ConfigReloadPending = false;
      ProcessConfigFile(PGC_SIGHUP);
    }
    Look();
    Release();
    pgstat_report_activity(STATE_IDLE, nullptr);
    WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, kLookMs, PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    CHECK_FOR_INTERRUPTS();
  }
}

PGQUORUM_EXPORT void pgquorum_replication_housekeeper_main(Datum argument);
void pgquorum_replication_housekeeper_main(Datum) {
  pgquorum::replication::server::RunHousekeeper();
}
