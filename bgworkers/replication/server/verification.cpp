// What system.verify_convergence() needs of the server: a position that every write up to now is
// behind, and a place where other sessions see how far it is.
#include "extension/pg/pg.h"

extern "C" {
#include "access/xlog.h"
#include "commands/progress.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "replication/message.h"
#include "utils/backend_progress.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
}

namespace pgquorum::replication::server {

namespace {

// The server's own commands have the numbers before this one; a later version may give it to one of
// its commands, so a mark stands in the last place as well.
constexpr auto kProgressCommand = static_cast<ProgressCommandType>(PROGRESS_COMMAND_COPY + 1);
constexpr int kMarkPlace = PGSTAT_NUM_PROGRESS_PARAM - 1;
constexpr int64_t kMark = 0x70677665;
constexpr int kProgressNumbers = 5;  // tables, tables done, rows, rows done, rows that differ
constexpr char kBarrierPrefix[] = "pgquorum barrier";

}  // namespace

}  // namespace pgquorum::replication::server

// The end of a record that is written and flushed now. Who has applied up to here has applied every
// transaction that could be seen before.
PGQUORUM_FUNCTION(pgquorum_wal_barrier) {
  using namespace pgquorum::replication::server;
  XLogRecPtr end = LogLogicalMessage(kBarrierPrefix, "", 0, false);
  XLogFlush(end);
  PG_RETURN_LSN(end);
}

// Ends by itself with the transaction.
PGQUORUM_FUNCTION(pgquorum_report_verification) {
  using namespace pgquorum::replication::server;
  pgstat_progress_start_command(kProgressCommand, PG_GETARG_OID(0));
  pgstat_progress_update_param(kMarkPlace, kMark);
  for (int i = 0; i < kProgressNumbers; ++i) {
    pgstat_progress_update_param(i, PG_GETARG_INT64(i + 1));
  }
  PG_RETURN_VOID();
}

PGQUORUM_FUNCTION(pgquorum_verifications_under_way) {
  using namespace pgquorum::replication::server;
  InitMaterializedSRF(fcinfo, 0);
  auto* result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
  for (int i = 1; i <= pgstat_fetch_stat_numbackends(); ++i) {
    LocalPgBackendStatus* local = pgstat_fetch_stat_local_beentry(i);
    if (local == nullptr || local->backendStatus.st_progress_command != kProgressCommand ||
        local->backendStatus.st_progress_param[kMarkPlace] != kMark ||
        local->backendStatus.st_databaseid != MyDatabaseId) {
      continue;
    }
    const PgBackendStatus& backend = local->backendStatus;
    Datum values[2 + kProgressNumbers] = {Int32GetDatum(backend.st_procpid),
                                          ObjectIdGetDatum(backend.st_progress_command_target)};
    bool nulls[2 + kProgressNumbers] = {};
    for (int n = 0; n < kProgressNumbers; ++n) {
      values[2 + n] = Int64GetDatum(backend.st_progress_param[n]);
    }
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
  }
  return Datum(0);
}
