#include "bgworkers/replication/server/apply_retry.h"

#include <string>

#include "bgworkers/replication/core/change/record.h"

#include "bgworkers/replication/server/apply_row.h"
#include "bgworkers/replication/server/apply_state.h"
#include "extension/pg/boundary.h"
#include "extension/pg/guard.h"

extern "C" {
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "replication/origin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
}

namespace pgquorum::replication::server {

namespace {

constexpr int kLookMs = 1'000;
// Letters that wait for other rows are tried by themselves, so many at a time.
constexpr int kTryMs = 2'000;
constexpr int kMaxTries = 100;

// A letter as the row that it was. Static: errors jump over frames.
struct Letter {
  int64_t id = 0;
  TimestampTz time = 0;
  bool requested = false;
  RelationRecord relation;
  RowRecord row;
};
Letter g_letter;

void BeginWork() {
  StartTransactionCommand();
  PushActiveSnapshot(GetTransactionSnapshot());
  if (SPI_connect() != SPI_OK_CONNECT) {
    elog(ERROR, "SPI_connect failed");
  }
}

void EndWork() {
  SPI_finish();
  PopActiveSnapshot();
  CommitTransactionCommand();
}

const char* TextAt(uint64_t row, int column) {
  return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

void TakeHead(const char* schema, const char* table, char operation) {
  g_letter.relation = RelationRecord{1, schema, table, {}};
  g_letter.row = RowRecord{};
  g_letter.row.relation = g_letter.relation.id;
  g_letter.row.operation = operation == 'i'   ? Operation::kInsert
                           : operation == 'u' ? Operation::kUpdate
                                              : Operation::kDelete;
}

void TakeBase(TimestampTz time, uint16_t site) {
  g_letter.row.known.base = Stamp{Hlc(static_cast<uint64_t>(time)), Origin{SiteId(site), 1}};
}

void TakeValue(const char* name, const char* value) {
  g_letter.relation.columns.push_back({name, false});
  g_letter.row.image.push_back(value == nullptr ? Value{Value::Kind::kNull, {}} : Value::Of(value));
}

Datum Field(int column, bool* is_null) {
  return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, is_null);
}

// The next letter after `after`; false: there is none. `all`: not only those that somebody asked
// for.
bool ReadLetter(int64_t after, bool all) {
  BeginWork();
  SPI_execute(
      psprintf("SELECT d.id, d.remote_time, left(d.operation, 1), n.nspname::text,"
               " c.relname::text, d.base_time, d.base_site_id, d.retry_requested"
               " FROM pgquorum_internal.dead_letter d"
               " LEFT JOIN pg_catalog.pg_class c ON c.oid = to_regclass(d.table_name)"
               " LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
               " WHERE (d.retry_requested OR (%s AND"
               " pgquorum_internal.waits_for_others(d.sqlstate, c.oid)))"
               " AND d.remote_site_id = %u AND d.id > " INT64_FORMAT " ORDER BY d.id LIMIT 1",
               all ? "true" : "false", g->site, after),
      true, 1);
  bool found = SPI_processed == 1;
  if (found) {
    bool is_null = false;
    g_letter.id = DatumGetInt64(Field(1, &is_null));
    g_letter.time = DatumGetTimestampTz(Field(2, &is_null));
    g_letter.requested = DatumGetBool(Field(8, &is_null));
    const char* schema = TextAt(0, 4);
    const char* table = TextAt(0, 5);
    char operation = TextAt(0, 3)[0];
    // A table that is gone is an error of the attempt, which has words for it.
    pg::Boundary([&] {
      TakeHead(schema == nullptr ? "public" : schema, table == nullptr ? "?" : table, operation);
    });
    TimestampTz base = DatumGetTimestampTz(Field(6, &is_null));
    if (!is_null) {
      auto site = static_cast<uint16_t>(DatumGetInt32(Field(7, &is_null)));
      pg::Boundary([&] { TakeBase(base, site); });
    }
    SPI_execute(psprintf("SELECT v.key, v.value FROM pgquorum_internal.dead_letter d,"
                         " pg_catalog.json_each_text(d.remote_row) v WHERE d.id = " INT64_FORMAT,
                         g_letter.id),
                true, 0);
    for (uint64_t i = 0; i < SPI_processed; ++i) {
      const char* name = TextAt(i, 1);
      const char* value = TextAt(i, 2);
      pg::Boundary([&] { TakeValue(name, value); });
    }
  }
  EndWork();
  return found;
}

// The position stays where it is: the transaction of the letter was passed long ago.
void ApplyLetter() {
  replorigin_session_origin = g->origin;
  replorigin_session_origin_timestamp = g_letter.time;
  replorigin_session_origin_lsn = InvalidXLogRecPtr;
  StartTransactionCommand();
  ApplyContext context{g->own_site,
                       {Hlc(static_cast<uint64_t>(g_letter.time)), {SiteId(g->site), 1}}};
  RowOutcome outcome = ApplyRow(context, g_letter.relation, g_letter.row);
  CheckReferences(outcome.checks);
  g->activity.conflicts += outcome.conflict ? 1 : 0;
  PushActiveSnapshot(GetTransactionSnapshot());
  if (SPI_connect() != SPI_OK_CONNECT) {
    elog(ERROR, "SPI_connect failed");
  }
  SPI_execute(
      psprintf("DELETE FROM pgquorum_internal.dead_letter WHERE id = " INT64_FORMAT, g_letter.id),
      false, 0);
  EndWork();
  g->local_end = XactLastCommitEnd;
}

void NoteFailure(const char* sqlstate, const char* message, const char* detail) {
  BeginWork();
  Oid types[] = {INT8OID, TEXTOID, TEXTOID, TEXTOID};
  Datum values[] = {Int64GetDatum(g_letter.id), CStringGetTextDatum(sqlstate),
                    CStringGetTextDatum(message), CStringGetTextDatum(detail)};
  SPI_execute_with_args(
      "UPDATE pgquorum_internal.dead_letter SET retry_requested = false,"
      " attempts = attempts + 1, failed_at = clock_timestamp(), sqlstate = $2,"
      " message = $3, detail = nullif($4, '') WHERE id = $1",
      4, types, values, nullptr, false, 0);
  EndWork();
}

}  // namespace

void RetryDeadLetters() {
  static TimestampTz looked_at = 0;
  static TimestampTz tried_at = 0;
  static int64_t resume = 0;
  static Status status;
  TimestampTz now = GetCurrentTimestamp();
  if (g->in_transaction || !TimestampDifferenceExceeds(looked_at, now, kLookMs)) {
    return;
  }
  looked_at = now;
  MemoryContext memory = CurrentMemoryContext;
  replorigin_session_origin = InvalidRepOriginId;
  bool all = TimestampDifferenceExceeds(tried_at, now, kTryMs);
  tried_at = all ? now : tried_at;
  int tries = 0;
  int64_t after = all ? resume : 0;
  for (; tries < kMaxTries && ReadLetter(after, all); after = g_letter.id) {
    ++tries;
    status = pg::Try([] { ApplyLetter(); });
    replorigin_session_origin = InvalidRepOriginId;
    if (!status.ok()) {
      AbortOutOfAnyTransaction();
      MemoryContextSwitchTo(memory);
      if (g_letter.requested) {
        NoteFailure(status.sqlstate().c_str(), status.message().c_str(), status.detail().c_str());
      }
    }
  }
  resume = tries < kMaxTries ? 0 : after;
  MemoryContextSwitchTo(memory);
}

}  // namespace pgquorum::replication::server
