#include "bgworkers/replication/server/peer_link.h"

#include <libpq-fe.h>

extern "C" {
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"
}

#include "bgworkers/replication/server/row_facts.h"
#include "extension/pg/boundary.h"
#include "extension/pg/guard.h"

namespace pgquorum::replication::server {

namespace {

constexpr long kConnectMs = 15'000;
constexpr long kWakeMs = 1'000;

// Waits on the socket, and obeys interrupts.
void WaitForSocket(PGconn* link, uint32_t events, long timeout_ms) {
  WaitLatchOrSocket(MyLatch,
                    static_cast<int>(events | WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH),
                    PQsocket(link), timeout_ms, PG_WAIT_EXTENSION);
  ResetLatch(MyLatch);
  CHECK_FOR_INTERRUPTS();
}

void RaiseLinkError(PGconn* link, const char* what) {
  char* text = pchomp(PQerrorMessage(link));
  ereport(ERROR,
          (errcode(ERRCODE_CONNECTION_FAILURE), errmsg("%s", what), errdetail_internal("%s", text),
           errhint("Try the same connection string with psql on this server.")));
}

void RaiseResultError(PGconn* link, PGresult* result) {
  const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  const char* message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  const char* detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
  const char* hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
  if (state == nullptr || message == nullptr) {
    PQclear(result);
    RaiseLinkError(link, "the connection to the other site failed");
    return;
  }
  int code = MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4]);
  char* texts[3] = {pstrdup(message), detail == nullptr ? nullptr : pstrdup(detail),
                    hint == nullptr ? nullptr : pstrdup(hint)};
  PQclear(result);
  ereport(ERROR, (errcode(code), errmsg("the other site says: %s", texts[0]),
                  texts[1] == nullptr ? 0 : errdetail_internal("%s", texts[1]),
                  texts[2] == nullptr ? 0 : errhint("%s", texts[2])));
}

}  // namespace

void OpenLink(PGconn** link, const char* conninfo, const char* application_name, bool replication) {
  const char* names[] = {"dbname",  "application_name", "client_encoding",
                         "options", "replication",      nullptr};
  // What records carry is text in these formats.
  const char* values[] = {
      conninfo,
      application_name,
      GetDatabaseEncodingName(),
      "-c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=3 "
      "-c timezone=UTC -c bytea_output=hex -c lc_monetary=C -c search_path=pg_catalog",
      replication ? "database" : nullptr,
      nullptr};
  if (!replication) {
    names[4] = nullptr;
  }
  *link = PQconnectStartParams(names, values, 1);
  if (*link == nullptr) {
    ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
  }
  TimestampTz give_up = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), kConnectMs);
  PostgresPollingStatusType state = PGRES_POLLING_WRITING;
  while (PQstatus(*link) != CONNECTION_BAD && state != PGRES_POLLING_OK) {
    if (state == PGRES_POLLING_FAILED || GetCurrentTimestamp() > give_up) {
      break;
    }
    WaitForSocket(*link, state == PGRES_POLLING_READING ? WL_SOCKET_READABLE : WL_SOCKET_WRITEABLE,
                  kWakeMs);
    state = PQconnectPoll(*link);
  }
  if (PQstatus(*link) != CONNECTION_OK) {
    RaiseLinkError(*link, "could not connect to the other site");
  }
}

void CloseLink(PGconn** link) {
  if (*link != nullptr) {
    PQfinish(*link);
    *link = nullptr;
  }
}

namespace {

PGresult* AwaitAnswer(PGconn* link, int wanted) {
  PGresult* last = nullptr;
  while (true) {
    while (PQisBusy(link) != 0) {
      WaitForSocket(link, WL_SOCKET_READABLE, kWakeMs);
      if (PQconsumeInput(link) == 0) {
        RaiseLinkError(link, "the connection to the other site was lost");
      }
    }
    PGresult* result = PQgetResult(link);
    if (result == nullptr) {
      break;
    }
    PQclear(last);
    last = result;
    if (PQresultStatus(result) == PGRES_COPY_BOTH) {
      break;
    }
  }
  if (last == nullptr || static_cast<int>(PQresultStatus(last)) != wanted) {
    RaiseResultError(link, last);
  }
  return last;
}

}  // namespace

PGresult* Ask(PGconn* link, const char* statement, int wanted) {
  if (PQsendQuery(link, statement) == 0) {
    RaiseLinkError(link, "could not send to the other site");
  }
  return AwaitAnswer(link, wanted);
}

char* AskForText(PGconn* link, const char* statement) {
  if (PQsendQuery(link, statement) == 0) {
    RaiseLinkError(link, "could not send to the other site");
  }
  return TextOfAnswer(link);
}

char* TextOfAnswer(PGconn* link) {
  PGresult* result = AwaitAnswer(link, PGRES_TUPLES_OK);
  char* text = nullptr;
  if (PQntuples(result) > 0 && PQgetisnull(result, 0, 0) == 0) {
    text = pstrdup(PQgetvalue(result, 0, 0));
  }
  PQclear(result);
  return text;
}

}  // namespace pgquorum::replication::server

// One statement at another site: what the SQL functions of this capability are made of.
PGQUORUM_FUNCTION(pgquorum_ask_site) {
  using namespace pgquorum;
  using namespace pgquorum::replication::server;
  if (!superuser()) {
    ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                    errmsg("only a superuser may ask another site")));
  }
  char* conninfo = text_to_cstring(PG_GETARG_TEXT_PP(0));
  char* statement = text_to_cstring(PG_GETARG_TEXT_PP(1));
  // Static: an error leaves this frame by a jump, which may lose what a local variable had.
  static PGconn* link = nullptr;
  char* answer = nullptr;
  pg::Finally(
      [&] {
        OpenLink(&link, conninfo, "pgquorum", false);
        answer = AskForText(link, statement);
      },
      [] { CloseLink(&link); });
  if (answer == nullptr) {
    PG_RETURN_NULL();
  }
  PG_RETURN_TEXT_P(cstring_to_text(answer));
}
