#include "bgworkers/replication/server/manager_release.h"

#include "extension/pg/pg.h"

extern "C" {
#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "replication/origin.h"
#include "utils/snapmgr.h"
}

namespace pgquorum::replication::server {

namespace {

bool Holds(const char* condition) {
  SPI_execute(psprintf("SELECT %s", condition), true, 1);
  bool is_null = false;
  return DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null));
}

}  // namespace

// Without the extension nobody is in a group, and nobody will come back for a slot.
void ReleaseSlots() {
  StartTransactionCommand();
  PushActiveSnapshot(GetTransactionSnapshot());
  if (SPI_connect() != SPI_OK_CONNECT) {
    elog(ERROR, "SPI_connect failed");
  }
  const char* sites = "pg_catalog.to_regclass('pgquorum_internal.replication_site') IS NOT NULL";
  bool installed = Holds(sites);
  const char* owned =
      installed ? " AND NOT EXISTS (SELECT FROM pgquorum_internal.replication_site r"
                  " WHERE s.slot_name = pg_catalog.format('pgquorum_%s_%s', d.oid, r.site_id))"
                : "";
  SPI_execute(psprintf("SELECT CASE WHEN s.active_pid IS NULL"
                       " THEN pg_catalog.pg_drop_replication_slot(s.slot_name)::text"
                       " ELSE pg_catalog.pg_terminate_backend(s.active_pid)::text END"
                       " FROM pg_catalog.pg_replication_slots s JOIN pg_catalog.pg_database d"
                       " ON d.datname = s.database AND d.datname = pg_catalog.current_database()"
                       " WHERE s.plugin = 'pgquorum_replication'"
                       " AND s.slot_name ~ pg_catalog.format('^pgquorum_%%s_\\d+$', d.oid)%s",
                       owned),
              false, 0);
  bool alone = !installed || Holds("NOT EXISTS (SELECT FROM pgquorum_internal.replication_group)");
  if (alone) {
    SPI_execute(psprintf("SELECT pg_catalog.pg_replication_origin_drop(roname)"
                         " FROM pg_catalog.pg_replication_origin"
                         " WHERE roname ~ '^pgquorum_%u_\\d+$'",
                         MyDatabaseId),
                false, 0);
  }
  SPI_finish();
  PopActiveSnapshot();
  CommitTransactionCommand();
}

}  // namespace pgquorum::replication::server
