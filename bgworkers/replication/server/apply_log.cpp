#include "bgworkers/replication/server/apply_log.h"

extern "C" {
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "replication/origin.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
}

namespace pgquorum::replication::server {

namespace {

constexpr int kMaxArguments = 12;

// Arguments of one statement, by position.
struct Arguments {
  int count = 0;
  Oid types[kMaxArguments];
  Datum values[kMaxArguments];
  char nulls[kMaxArguments];

  void Add(Oid type, Datum value, bool is_null = false) {
    types[count] = type;
    values[count] = value;
    nulls[count] = is_null ? 'n' : ' ';
    ++count;
  }
  void AddText(const char* text) {
    Add(TEXTOID, text == nullptr ? Datum(0) : CStringGetTextDatum(text), text == nullptr);
  }
  void AddTime(Hlc time) {
    Add(TIMESTAMPTZOID, TimestampTzGetDatum(static_cast<TimestampTz>(time.value())), !time);
  }
  void AddSite(SiteId site) { Add(INT4OID, Int32GetDatum(site.value()), !site); }
};

uint64_t Run(const char* statement, const Arguments& arguments) {
  if (SPI_connect() != SPI_OK_CONNECT) {
    elog(ERROR, "SPI_connect failed");
  }
  // SPI takes the arrays without const and leaves them alone.
  Arguments copy = arguments;
  int result =
      SPI_execute_with_args(statement, copy.count, copy.types, copy.values, copy.nulls, false, 0);
  if (result < 0) {
    elog(ERROR, "statement failed: %s", SPI_result_code_string(result));
  }
  uint64_t processed = SPI_processed;
  SPI_finish();
  return processed;
}

const char* NameOf(Operation operation) {
  switch (operation) {
    case Operation::kInsert:
      return "insert";
    case Operation::kUpdate:
      return "update";
    case Operation::kDelete:
      return "delete";
  }
  return "unknown";
}

const char* NameOf(Outcome outcome) {
  switch (outcome) {
    case Outcome::kApplied:
      return "applied";
    case Outcome::kSkipped:
      return "skipped";
    case Outcome::kMerged:
      return "merged";
    case Outcome::kKeptBoth:
      return "kept_both";
    case Outcome::kDeadLetter:
      return "dead_letter";
    case Outcome::kNeedsImage:
      break;
  }
  return "unknown";
}

// The values as they came, so that nothing about this site's table can make it fail.
char* RemoteJson(const RelationRecord& remote, const RowRecord& row) {
  StringInfoData out;
  initStringInfo(&out);
  appendStringInfoChar(&out, '{');
  bool first = true;
  for (std::size_t i = 0; i < row.image.size() && i < remote.columns.size(); ++i) {
    const Value& value = row.image[i];
    bool left_out = row.operation == Operation::kDelete && !remote.columns[i].key;
    if (left_out || value.kind == Value::Kind::kUnchanged) {
      continue;
    }
    appendStringInfoString(&out, first ? "" : ",");
    first = false;
    escape_json(&out, remote.columns[i].name.c_str());
    appendStringInfoChar(&out, ':');
    if (value.kind == Value::Kind::kNull) {
      appendStringInfoString(&out, "null");
    } else {
      escape_json(&out, value.data.c_str());
    }
  }
  appendStringInfoChar(&out, '}');
  return out.data;
}

char* TableName(const RelationRecord& remote) {
  return psprintf("%s", quote_qualified_identifier(remote.schema.c_str(), remote.name.c_str()));
}

void AddLocalRow(Arguments& arguments, TupleTableSlot* local) {
  if (local == nullptr) {
    arguments.Add(JSONOID, 0, true);
    return;
  }
  Datum row = ExecFetchSlotHeapTupleDatum(local);
  arguments.Add(JSONOID, DirectFunctionCall1(row_to_json, row));
}

}  // namespace

void LogConflict(const ApplyContext& context, const RelationRecord& remote, const RowRecord& row,
                 const StampedRow& known, const StampVerdict& verdict, Strategy strategy,
                 TupleTableSlot* local) {
  Stamp mine = known.live && known.written > known.deleted ? known.written : known.deleted;
  Arguments arguments;
  arguments.AddText(TableName(remote));
  arguments.AddText(kConflictNames[static_cast<std::size_t>(verdict.conflict)].data());
  arguments.AddText(NameOf(verdict.outcome));
  arguments.AddText(NameOf(row.operation));
  arguments.AddSite(mine.origin.site);
  arguments.AddTime(mine.hlc);
  arguments.AddSite(context.stamp.origin.site);
  arguments.AddTime(context.stamp.hlc);
  AddLocalRow(arguments, local);
  arguments.AddText(RemoteJson(remote, row));
  arguments.AddText(NameOf(strategy).data());
  Run("INSERT INTO pgquorum_internal.replication_conflict (table_name, kind, outcome, operation,"
      " local_site_id, local_time, remote_site_id, remote_time, local_row, remote_row, strategy)"
      " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::json, $11)",
      arguments);
}

void LogDeadLetter(const ApplyContext& context, const RelationRecord& remote, const RowRecord& row,
                   const Failure& failure) {
  PushActiveSnapshot(GetTransactionSnapshot());
  Arguments arguments;
  arguments.AddText(TableName(remote));
  arguments.AddText(NameOf(row.operation));
  arguments.AddSite(context.stamp.origin.site);
  arguments.AddTime(context.stamp.hlc);
  arguments.AddText(RemoteJson(remote, row));
  arguments.AddText(failure.sqlstate);
  arguments.AddText(failure.message);
  arguments.AddText(failure.detail);
  const Stamp base = row.known.base.value_or(Stamp());
  arguments.AddSite(base.origin.site);
  arguments.AddTime(base.hlc);
  Run("INSERT INTO pgquorum_internal.dead_letter (table_name, operation, remote_site_id,"
      " remote_time, remote_row, sqlstate, message, detail, base_site_id, base_time)"
      " VALUES ($1, $2, $3, $4, $5::json, $6, $7, $8, $9, $10)",
      arguments);
  PopActiveSnapshot();
}

bool ReportActivity(const Activity& activity) {
  // Nothing of another site's: it must not move the progress that stands for one.
  RepOriginId origin = replorigin_session_origin;
  replorigin_session_origin = InvalidRepOriginId;
  StartTransactionCommand();
  PushActiveSnapshot(GetTransactionSnapshot());
  Arguments arguments;
  arguments.Add(INT4OID, Int32GetDatum(activity.site));
  arguments.AddText(activity.state);
  arguments.AddText(activity.last_error);
  arguments.Add(INT8OID, Int64GetDatum(activity.transactions));
  arguments.Add(INT8OID, Int64GetDatum(activity.rows));
  arguments.Add(INT8OID, Int64GetDatum(activity.conflicts));
  arguments.Add(INT4OID, Int32GetDatum(MyProcPid));
  uint64_t rows =
      Run("INSERT INTO pgquorum_internal.replication_activity AS a (site_id, state, last_error,"
          " transactions, row_changes, conflicts, pid, reported_at)"
          " SELECT $1, $2, $3, $4, $5, $6, $7, now() FROM pgquorum_internal.replication_site"
          " WHERE site_id = $1"
          " ON CONFLICT (site_id) DO UPDATE SET state = EXCLUDED.state,"
          " last_error = EXCLUDED.last_error, transactions = EXCLUDED.transactions,"
          " row_changes = EXCLUDED.row_changes, conflicts = EXCLUDED.conflicts, pid = EXCLUDED.pid,"
          " reported_at = EXCLUDED.reported_at",
          arguments);
  PopActiveSnapshot();
  CommitTransactionCommand();
  replorigin_session_origin = origin;
  return rows > 0;
}

}  // namespace pgquorum::replication::server
