#include "bgworkers/replication/server/database_worker.h"

#include "extension/pg/pg.h"

extern "C" {
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
}

namespace pgquorum::replication::server {

void BeginDatabaseWorker() {
  pqsignal(SIGHUP, SignalHandlerForConfigReload);
  pqsignal(SIGTERM, die);
  BackgroundWorkerUnblockSignals();
  Oid database = InvalidOid;
  memcpy(&database, MyBgworkerEntry->bgw_extra, sizeof(database));
  BackgroundWorkerInitializeConnectionByOid(database, InvalidOid, 0);
  SetConfigOption("default_transaction_isolation", "read committed", PGC_USERSET, PGC_S_OVERRIDE);
}

}  // namespace pgquorum::replication::server
