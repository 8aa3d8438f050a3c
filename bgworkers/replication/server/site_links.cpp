// One statement at several sites at once: links that stay open until the transaction ends, so that
// a function which asks many times connects once.
//
// Two calls, so that the caller can work while the others do: pgquorum_send_to_sites() and
// pgquorum_answers_of_sites().
#include <libpq-fe.h>

#include "extension/pg/pg.h"

extern "C" {
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
}

#include "bgworkers/replication/server/peer_link.h"

namespace pgquorum::replication::server {

namespace {

constexpr int kMaxLinks = 64;

struct SiteLink {
  PGconn* link;
  char* conninfo;  // in TopMemoryContext
};

// Static: an error leaves frames by a jump. Whatever is open is closed at the transaction's end.
SiteLink g_links[kMaxLinks];
int g_link_count = 0;
int g_asked = 0;  // how many of them owe an answer

void CloseLinks(XactEvent event, void*) {
  if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE) {
    return;
  }
  for (int i = 0; i < g_link_count; ++i) {
    CloseLink(&g_links[i].link);
    if (g_links[i].conninfo != nullptr) {
      pfree(g_links[i].conninfo);
      g_links[i].conninfo = nullptr;
    }
  }
  g_link_count = 0;
  g_asked = 0;
}

void CheckSuperuser() {
  if (!superuser()) {
    ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                    errmsg("only a superuser may ask another site")));
  }
}

// The place's link, opened when another or none was there.
PGconn* LinkAt(int place, char* conninfo) {
  SiteLink& entry = g_links[place];
  if (entry.conninfo != nullptr && strcmp(entry.conninfo, conninfo) == 0) {
    return entry.link;
  }
  CloseLink(&entry.link);
  if (entry.conninfo != nullptr) {
    pfree(entry.conninfo);
    entry.conninfo = nullptr;
  }
  g_link_count = Max(g_link_count, place + 1);
  OpenLink(&entry.link, conninfo, "pgquorum", false);
  entry.conninfo = MemoryContextStrdup(TopMemoryContext, conninfo);
  return entry.link;
}

// Texts of an array; a null element is refused.
int Texts(ArrayType* array, Datum** out) {
  bool* nulls = nullptr;
  int count = 0;
  deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, out, &nulls, &count);
  for (int i = 0; i < count; ++i) {
    if (nulls[i]) {
      ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
                      errmsg("a statement for another site is null")));
    }
  }
  return count;
}

}  // namespace

}  // namespace pgquorum::replication::server

PGQUORUM_FUNCTION(pgquorum_send_to_sites) {
  using namespace pgquorum::replication::server;
  CheckSuperuser();
  static bool registered = false;
  if (!registered) {
    RegisterXactCallback(CloseLinks, nullptr);  // lint: allow(xact_callback) another library
    registered = true;
  }
  Datum* places = nullptr;
  Datum* statements = nullptr;
  int count = Texts(PG_GETARG_ARRAYTYPE_P(0), &places);
  if (Texts(PG_GETARG_ARRAYTYPE_P(1), &statements) != count || count > kMaxLinks || g_asked > 0) {
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
             errmsg("one statement for each of at most %d sites, one at a time", kMaxLinks)));
  }
  for (int i = 0; i < count; ++i) {
    PGconn* link = LinkAt(i, TextDatumGetCString(places[i]));
    if (PQsendQuery(link, TextDatumGetCString(statements[i])) == 0) {
      ereport(ERROR,
              (errcode(ERRCODE_CONNECTION_FAILURE), errmsg("could not send to the other site"),
               errdetail_internal("%s", pchomp(PQerrorMessage(link)))));
    }
  }
  g_asked = count;
  PG_RETURN_VOID();
}

PGQUORUM_FUNCTION(pgquorum_answers_of_sites) {
  using namespace pgquorum::replication::server;
  CheckSuperuser();
  int count = g_asked;
  auto* values = static_cast<Datum*>(palloc0(sizeof(Datum) * static_cast<Size>(Max(count, 1))));
  auto* nulls = static_cast<bool*>(palloc0(sizeof(bool) * static_cast<Size>(Max(count, 1))));
  for (int i = 0; i < count; ++i) {
    char* answer = TextOfAnswer(g_links[i].link);
    nulls[i] = answer == nullptr;
    values[i] = answer == nullptr ? Datum(0) : CStringGetTextDatum(answer);
  }
  g_asked = 0;
  int lower = 1;
  PG_RETURN_ARRAYTYPE_P(construct_md_array(values, nulls, count == 0 ? 0 : 1, &count, &lower,
                                           TEXTOID, -1, false, TYPALIGN_INT));
}
