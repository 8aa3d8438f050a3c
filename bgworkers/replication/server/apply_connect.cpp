// How a worker finds its place: the catalogue here, the site at the other end, the slot there.
#include <libpq-fe.h>

#include "bgworkers/replication/server/apply_state.h"

extern "C" {
#include "access/xact.h"
#include "executor/spi.h"
#include "replication/origin.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
}

#include "bgworkers/replication/server/peer_link.h"
#include "bgworkers/replication/server/row_facts.h"

namespace pgquorum::replication::server {

namespace {

void RememberSlot() {
  replorigin_session_origin = InvalidRepOriginId;
  StartTransactionCommand();
  PushActiveSnapshot(GetTransactionSnapshot());
  if (SPI_connect() != SPI_OK_CONNECT) {
    elog(ERROR, "SPI_connect failed");
  }
  SPI_execute(psprintf("UPDATE pgquorum_internal.replication_site SET has_slot = true"
                       " WHERE site_id = %u",
                       g->site),
              false, 0);
  SPI_finish();
  PopActiveSnapshot();
  CommitTransactionCommand();
  g->has_slot = true;
}

// The peer's server loads our decoder if its administrator has named it, or if we may name it for
// our session. Servers before 15.19 have no such setting.
void AllowDecoder() {
  char* missing =
      AskForText(g->link,
                 "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'output_plugin_libraries'"
                 " AND setting !~ '\\mpgquorum_replication\\M'");
  if (missing != nullptr) {
    PQclear(Ask(g->link, "SET output_plugin_libraries = pgoutput, pgquorum_replication",
                PGRES_COMMAND_OK));
  }
}

// The slot at the peer holds what this site has not applied yet. It is made once; when it is gone
// later, changes are gone.
void EnsureSlot(const char* slot) {
  char* found = AskForText(
      g->link, psprintf("SELECT (wal_status = 'lost')::text FROM pg_catalog.pg_replication_slots"
                        " WHERE slot_name = '%s'",
                        slot));
  if (found != nullptr && found[0] != 't') {
    if (!g->has_slot) {
      RememberSlot();
    }
    return;
  }
  if (g->has_slot || found != nullptr) {
    SetState("slot lost");
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("replication slot \"%s\" at site %u is lost", slot, g->site),
                    errdetail("Changes of that site that were not applied here are missing."),
                    errhint("The sites have to be made equal and the group set up again.")));
  }
  PQclear(Ask(g->link,
              psprintf("CREATE_REPLICATION_SLOT \"%s\" LOGICAL pgquorum_replication"
                       " (SNAPSHOT 'nothing')",
                       slot),
              PGRES_TUPLES_OK));
  RememberSlot();
}

void CheckPeer() {
  char* text =
      AskForText(g->link, psprintf("SELECT site_id::text FROM pgquorum_internal.replication_group"
                                   " WHERE name = %s",
                                   quote_literal_cstr(g->group)));
  if (text == nullptr || pg_strtoint32(text) != g->site) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("the server at the address of site %u is another site", g->site),
                    errdetail("It is site %s of the group.", text == nullptr ? "none" : text)));
  }
}

}  // namespace

void ReadConfiguration() {
  StartTransactionCommand();
  PushActiveSnapshot(GetTransactionSnapshot());
  if (SPI_connect() != SPI_OK_CONNECT) {
    elog(ERROR, "SPI_connect failed");
  }
  char* statement = psprintf(
      "SELECT g.site_id::text, s.conninfo, g.name, s.has_slot::text"
      " FROM pgquorum_internal.replication_group g, pgquorum_internal.replication_site s"
      " WHERE s.site_id = %u",
      g->site);
  SPI_execute(statement, true, 1);
  if (SPI_processed != 1) {
    ereport(LOG, (errmsg("pgquorum: site %u is not in the group, its worker ends", g->site)));
    proc_exit(0);
  }
  HeapTuple row = SPI_tuptable->vals[0];
  TupleDesc descriptor = SPI_tuptable->tupdesc;
  g->own_site = static_cast<uint16_t>(pg_strtoint32(SPI_getvalue(row, descriptor, 1)));
  g->conninfo = MemoryContextStrdup(TopMemoryContext, SPI_getvalue(row, descriptor, 2));
  g->group = MemoryContextStrdup(TopMemoryContext, SPI_getvalue(row, descriptor, 3));
  g->has_slot = SPI_getvalue(row, descriptor, 4)[0] == 't';
  SPI_finish();
  PopActiveSnapshot();
  char name[NAMEDATALEN];
  OriginName(g->site, name, sizeof(name));
  g->origin = replorigin_by_name(name, true);
  if (g->origin == InvalidRepOriginId) {
    g->origin = replorigin_create(name);
  }
  CommitTransactionCommand();
  replorigin_session_setup(g->origin);
}

void Connect() {
  char name[NAMEDATALEN];
  snprintf(name, sizeof(name), "pgquorum site %u", g->own_site);
  OpenLink(&g->link, g->conninfo, name, true);
  CheckPeer();
  AllowDecoder();
  char* database = AskForText(g->link,
                              "SELECT oid::text FROM pg_catalog.pg_database"
                              " WHERE datname = pg_catalog.current_database()");
  char* slot = psprintf("pgquorum_%s_%u", database, g->own_site);
  EnsureSlot(slot);
  g->received = replorigin_session_get_progress(true);
  g->told = 0;
  PQclear(Ask(g->link,
              psprintf("START_REPLICATION SLOT \"%s\" LOGICAL %X/%X (version '%u', site '%u')",
                       slot, static_cast<uint32_t>(g->received >> 32),
                       static_cast<uint32_t>(g->received), kRecordVersion, g->site),
              PGRES_COPY_BOTH));
}

}  // namespace pgquorum::replication::server
