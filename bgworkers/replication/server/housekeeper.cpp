// What a group needs done from time to time, at one site for all: the one with the lowest number.
#include "bgworkers/replication/server/housekeeper.h"

extern "C" {
#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"
}

#include <cstdlib>
#include <string>

#include "bgworkers/replication/server/database_worker.h"
#include "extension/pg/guard.h"

namespace pgquorum::replication::server {

namespace {

constexpr long kLookMs = 1'000;

struct Task {
  const char* name;     // of pgquorum_internal.keep_up()
  const char* setting;  // its interval in ms, 0: never
  TimestampTz done_at;
};

Task g_tasks[] = {{"tombstones", "pgquorum.replication_tombstone_interval", 0},
                  {"verify", "pgquorum.replication_verify_interval", 0}};

void Run(const char* task) {
  StartTransactionCommand();
  PushActiveSnapshot(GetTransactionSnapshot());
  if (SPI_connect() != SPI_OK_CONNECT) {
    elog(ERROR, "SPI_connect failed");
  }
  char* statement = psprintf("SELECT pgquorum_internal.keep_up('%s')", task);
  pgstat_report_activity(STATE_RUNNING, statement);
  SPI_execute(statement, false, 0);
  SPI_finish();
  PopActiveSnapshot();
  CommitTransactionCommand();
  pgstat_report_activity(STATE_IDLE, nullptr);
}

// A site that is away makes it fail; it comes back, so it is said once.
void RunWhenDue(Task& task) {
  static Status status;
  static std::string logged;
  const char* text = GetConfigOption(task.setting, true, false);
  int interval_ms = text == nullptr ? 0 : atoi(text);
  TimestampTz now = GetCurrentTimestamp();
  if (interval_ms == 0 || !TimestampDifferenceExceeds(task.done_at, now, interval_ms)) {
    return;
  }
  status = pg::Try([&] { Run(task.name); });
  if (!status.ok()) {
    AbortOutOfAnyTransaction();
    MemoryContextSwitchTo(TopMemoryContext);
    if (status.ToString() != logged) {
      logged = status.ToString();
      ereport(LOG, (errmsg("pgquorum: replication upkeep: %s", logged.c_str())));
    }
  }
  task.done_at = GetCurrentTimestamp();
}

}  // namespace

void RunHousekeeper() {
  BeginDatabaseWorker();
  for (Task& task : g_tasks) {
    task.done_at = GetCurrentTimestamp();
  }
  while (true) {
    if (ConfigReloadPending) {
      ConfigReloadPending = false;
      ProcessConfigFile(PGC_SIGHUP);
    }
    for (Task& task : g_tasks) {
      RunWhenDue(task);
    }
    WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, kLookMs, PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    CHECK_FOR_INTERRUPTS();
  }
}

}  // namespace pgquorum::replication::server
