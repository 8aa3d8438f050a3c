// The worker that takes one peer's transactions and applies them: one for each peer and database.
//
// Exactly once: the position behind each transaction is committed with it (replication origin), and
// the stream is asked for from there. An error ends the transaction and the session; the next
// session starts at the same place. A transaction that fails for what is in it is then applied row
// by row, and the rows that fail become dead letters.
#include "bgworkers/replication/server/apply_worker.h"

#include <libpq-fe.h>

#include <string>

#include "bgworkers/replication/core/change/record.h"

#include "extension/pg/pg.h"

extern "C" {
#include "access/xact.h"
#include "access/xlog.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "replication/origin.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"
}

#include "bgworkers/replication/server/apply_copy.h"
#include "bgworkers/replication/server/apply_log.h"
#include "bgworkers/replication/server/apply_references.h"
#include "bgworkers/replication/server/apply_retry.h"
#include "bgworkers/replication/server/apply_row.h"
#include "bgworkers/replication/server/apply_state.h"
#include "bgworkers/replication/server/database_worker.h"
#include "bgworkers/replication/server/peer_link.h"
#include "bgworkers/replication/server/row_facts.h"
#include "extension/pg/boundary.h"
#include "extension/pg/guard.h"

namespace pgquorum::replication::server {

Worker* g = nullptr;

namespace {

constexpr long kReportMs = 1'000;
constexpr long kReconnectMs = 1'000;
constexpr int kAttempts = 3;
constexpr std::size_t kMaxPostponed = 10'000;

void Report(bool now) {
  TimestampTz time = GetCurrentTimestamp();
  if (!g->activity_changed || g->in_transaction ||
      (!now && !TimestampDifferenceExceeds(g->reported_at, time, kReportMs))) {
    return;
  }
  g->reported_at = time;
  g->activity_changed = false;
  g->activity.state = g->state;
  g->activity.last_error = g->last_error.empty() ? nullptr : g->last_error.c_str();
  if (!ReportActivity(g->activity)) {
    ereport(LOG, (errmsg("pgquorum: site %u has left, its worker ends", g->site)));
    proc_exit(0);
  }
}

}  // namespace

void SetState(const char* state) {
  if (strcmp(g->state, state) != 0) {
    g->state = state;
    g->activity_changed = true;
    Report(true);
  }
}

namespace {

void Pause(long ms) {
  WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms, PG_WAIT_EXTENSION);
  ResetLatch(MyLatch);
  CHECK_FOR_INTERRUPTS();
}

// ---- what the peer is told ---------------------------------------------------------------------

// One flush for all that was applied since the last: nothing is acknowledged before it is durable.
void Acknowledge(bool always) {
  TimestampTz now = GetCurrentTimestamp();
  bool due = always || TimestampDifferenceExceeds(g->told_at, now, kReportMs);
  if (!due && g->received == g->told) {
    return;
  }
  if (g->local_end != 0) {
    XLogFlush(g->local_end);
  }
  StringInfoData out;
  initStringInfo(&out);
  pq_sendbyte(&out, 'r');
  pq_sendint64(&out, g->received);  // written, flushed, applied
  pq_sendint64(&out, g->received);
  pq_sendint64(&out, g->received);
  pq_sendint64(&out, static_cast<uint64_t>(now));
  pq_sendbyte(&out, 0);
  bool sent = PQputCopyData(g->link, out.data, out.len) == 1 && PQflush(g->link) >= 0;
  pfree(out.data);
  if (!sent) {
    ereport(ERROR, (errcode(ERRCODE_CONNECTION_FAILURE),
                    errmsg("could not acknowledge to site %u", g->site)));
  }
  g->told = g->received;
  g->told_at = now;
}

// ---- one record --------------------------------------------------------------------------------

// What is stamped later than this site's clock waits: a write here that has seen it must be newer.
void AwaitClock(TimestampTz time) {
  while (!ClockIsPast(time)) {
    if (TimestampDifferenceExceeds(GetCurrentTimestamp(), time, kReportMs)) {
      SetState("parked");
    }
    long ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), time) + 1;
    Pause(Min(ms, kReportMs));
    Acknowledge(false);
  }
  SetState("streaming");
}

void TakeBegin() {
  const BeginRecord& begin = g->begin;
  auto time = static_cast<TimestampTz>(begin.stamp.hlc.value());
  g->rows = 0;
  g->skipping = begin.commit_lsn < replorigin_session_get_progress(false);
  if (g->skipping) {
    g->in_transaction = true;
    return;
  }
  AwaitClock(time);
  Report(false);
  replorigin_session_origin = g->origin;
  replorigin_session_origin_timestamp = time;
  StartTransactionCommand();
  g->in_transaction = true;
}

// Whether it is for what is in the row that it failed, so that trying again is no use.
bool IsTheRowsFault(const std::string& sqlstate) {
  std::string kind = sqlstate.substr(0, 2);
  // RX: a replicated value that does not merge with what is here.
  return kind == "22" || kind == "23" || kind == "42" || kind == "0A" || kind == "RX";
}

void ApplyOne(const ApplyContext& context, const RelationRecord& relation, const RowRecord& row) {
  RowOutcome outcome = ApplyRow(context, relation, row);
  g->activity.conflicts += outcome.conflict ? 1 : 0;
  CheckReferencesLater(outcome.checks);
}

// In a subtransaction. The status is made of plain words before the next call that may raise.
Status Attempt(const ApplyContext& context, const RelationRecord& relation, const RowRecord& row) {
  MemoryContext memory = CurrentMemoryContext;
  ResourceOwner owner = CurrentResourceOwner;
  BeginInternalSubTransaction(nullptr);
  MemoryContextSwitchTo(memory);
  Status status = pg::Try([&] {
    ApplyOne(context, relation, row);
    CheckReferencesNow();
    ReleaseCurrentSubTransaction();
  });
  if (!status.ok()) {
    ForgetReferences();
    RollbackAndReleaseCurrentSubTransaction();
  }
  MemoryContextSwitchTo(memory);
  CurrentResourceOwner = owner;
  return status;
}

// What stands in its way may go with a later row of the transaction: a row that is referred to, or
// that holds a unique value. It comes once more before the commit.
bool MayWait(const std::string& sqlstate) {
  return (sqlstate == "23503" || sqlstate == "23505") && g->postponed.size() < kMaxPostponed;
}

void ApplyCarefully(const ApplyContext& context, const RelationRecord& relation,
                    const RowRecord& row, bool last) {
  static Status status;  // outlives every jump
  // A row that somebody inserted meanwhile is seen by the next attempt.
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    status = Attempt(context, relation, row);
    if (status.ok()) {
      return;
    }
  }
  if (!last && MayWait(status.sqlstate())) {
    pg::Boundary([&] { g->postponed.push_back(row); });
    return;
  }
  if (!IsTheRowsFault(status.sqlstate())) {
    static pg::ErrorText error;
    pg::FillErrorText(error, status);
    pg::Raise(error);
  }
  LogDeadLetter(context, relation, row,
                {status.sqlstate().c_str(), status.message().c_str(), status.detail().c_str()});
}

void WriteRow(const RowRecord& row, bool last) {
  auto found = g->relations.find(row.relation);
  if (!g->in_transaction || found == g->relations.end()) {
    ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
                    errmsg("site %u sends a row out of turn", g->site)));
  }
  ApplyContext context{g->own_site, g->begin.stamp};
  MemoryContext before = MemoryContextSwitchTo(TopTransactionContext);
  MemoryContext memory =
      AllocSetContextCreate(TopTransactionContext, "pgquorum row", ALLOCSET_DEFAULT_SIZES);
  MemoryContextSwitchTo(memory);
  if (g->careful_lsn == g->begin.commit_lsn) {
    ApplyCarefully(context, found->second, row, last);
  } else {
    ApplyOne(context, found->second, row);
  }
  MemoryContextSwitchTo(before);
  MemoryContextDelete(memory);
}

void TakeRow(const RowRecord& row) {
  ++g->rows;
  if (!g->skipping) {
    WriteRow(row, false);
  }
}

// All rows are there.
void FinishRows() {
  CheckReferencesNow();
  while (!g->postponed.empty()) {
    std::size_t count = g->postponed.size();
    static std::vector<RowRecord> again;
    pg::Boundary([&] {
      again = std::move(g->postponed);
      g->postponed.clear();
    });
    bool last = g->postponed_before == count;  // nothing has changed since the last round
    g->postponed_before = count;
    for (const RowRecord& row : again) {
      WriteRow(row, last);
    }
  }
  g->postponed_before = 0;
}

void TakeCommit(const CommitRecord& commit) {
  if (commit.rows != g->rows) {
    ereport(ERROR, (errcode(ERRCODE_PROTOCOL_VIOLATION),
                    errmsg("a transaction of site %u has %u rows, %u came", g->site, commit.rows,
                           g->rows)));
  }
  if (!g->skipping) {
    FinishRows();
    replorigin_session_origin_lsn = commit.end_lsn;
    CommitTransactionCommand();
    g->local_end = XactLastCommitEnd;
    ++g->activity.transactions;
    g->activity.rows += g->rows;
    g->activity_changed = true;
    if (!g->last_error.empty()) {
      g->last_error.clear();
      g->state = "streaming";
    }
  }
  g->in_transaction = false;
  g->received = Max(g->received, commit.end_lsn);
  g->careful_lsn = 0;
}

// Says which it was; the variant's parts that outlast the record are kept.
std::size_t DecodeInto(std::string_view bytes, pg::ErrorText& error) {
  Result<Record> decoded = DecodeRecord(bytes);
  if (!decoded.ok()) {
    pg::FillErrorText(error, decoded.status());
    return std::variant_npos;
  }
  g->record = std::move(decoded).value();
  if (auto* relation = std::get_if<RelationRecord>(&g->record)) {
    g->relations[relation->id] = *relation;
  } else if (auto* begin = std::get_if<BeginRecord>(&g->record)) {
    g->begin = *begin;
  }
  return g->record.index();
}

void TakeRecord(const char* data, std::size_t size) {
  static pg::ErrorText error;
  std::size_t kind = 0;
  pg::Boundary([&] { kind = DecodeInto({data, size}, error); });
  if (kind == std::variant_npos) {
    pg::Raise(error);
  }
  if (std::holds_alternative<BeginRecord>(g->record)) {
    TakeBegin();
  } else if (auto* row = std::get_if<RowRecord>(&g->record)) {
    TakeRow(*row);
  } else if (auto* commit = std::get_if<CommitRecord>(&g->record)) {
    TakeCommit(*commit);
  }
}

void TakeMessage(int length) {
  StringInfoData in;
  in.data = g->message;
  in.len = in.maxlen = length;
  in.cursor = 0;
  int type = pq_getmsgbyte(&in);
  if (type == 'w') {
    pq_getmsgint64(&in);  // where it starts
    pq_getmsgint64(&in);  // the peer's newest position
    pq_getmsgint64(&in);  // its time
    TakeRecord(in.data + in.cursor, static_cast<std::size_t>(in.len - in.cursor));
  } else if (type == 'k') {
    auto end = static_cast<XLogRecPtr>(pq_getmsgint64(&in));
    pq_getmsgint64(&in);
    bool asks = pq_getmsgbyte(&in) != 0;
    // Everything before it has been sent, and what was sent has been applied.
    if (!g->in_transaction) {
      g->received = Max(g->received, end);
    }
    if (asks) {
      Acknowledge(true);
    }
  }
}

// ---- a session ---------------------------------------------------------------------------------

void TakeWhatCame() {
  while (true) {
    int length = PQgetCopyData(g->link, &g->message, 1);
    if (length == 0) {
      return;
    }
    if (length < 0) {
      PQclear(PQgetResult(g->link));
      ereport(ERROR,
              (errcode(ERRCODE_CONNECTION_FAILURE), errmsg("the stream of site %u ended", g->site),
               errdetail_internal("%s", pchomp(PQerrorMessage(g->link)))));
    }
    TakeMessage(length);
    PQfreemem(g->message);
    g->message = nullptr;
    CHECK_FOR_INTERRUPTS();
  }
}

void Session() {
  static MemoryContext memory =
      AllocSetContextCreate(TopMemoryContext, "pgquorum session", ALLOCSET_DEFAULT_SIZES);
  MemoryContextReset(memory);
  MemoryContextSwitchTo(memory);
  Connect();
  if (CopyIsPending()) {  // now that the slot there holds what is written from here on
    CloseLink(&g->link);
    CopyTables();
    MemoryContextSwitchTo(memory);
    Connect();
  }
  if (strcmp(g->state, "retrying") != 0) {  // what is retried is told until it has succeeded
    g->last_error.clear();
  }
  while (true) {
    MemoryContextSwitchTo(memory);  // the end of a transaction leaves another
    TakeWhatCame();
    if (ConfigReloadPending) {
      ConfigReloadPending = false;
      ProcessConfigFile(PGC_SIGHUP);
    }
    Acknowledge(false);
    if (!g->in_transaction) {
      MemoryContextReset(memory);
      if (g->last_error.empty()) {
        SetState("streaming");
      }
      Report(false);
      RetryDeadLetters();
    }
    WaitLatchOrSocket(MyLatch, WL_SOCKET_READABLE | WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
                      PQsocket(g->link), kReportMs, PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    CHECK_FOR_INTERRUPTS();
    if (PQconsumeInput(g->link) == 0) {
      ereport(ERROR, (errcode(ERRCODE_CONNECTION_FAILURE),
                      errmsg("the connection to site %u was lost", g->site)));
    }
  }
}

// After an error: nothing of the transaction and of the session is left but what it said.
void CleanUp(const Status& status) {
  bool in_transaction = g->in_transaction && !g->skipping;
  AbortOutOfAnyTransaction();
  g->in_transaction = false;
  replorigin_session_origin_lsn = InvalidXLogRecPtr;
  replorigin_session_origin_timestamp = 0;
  if (g->message != nullptr) {
    PQfreemem(g->message);
    g->message = nullptr;
  }
  CloseLink(&g->link);
  g->relations.clear();
  g->postponed.clear();
  g->postponed_before = 0;
  ForgetReferences();
  bool the_row = in_transaction && IsTheRowsFault(status.sqlstate());
  g->careful_lsn = the_row ? g->begin.commit_lsn : 0;
  g->last_error = status.ToString();
  g->activity_changed = true;
  if (strcmp(g->state, "slot lost") != 0) {
    g->state = in_transaction ? "retrying" : "connecting";
  }
}

[[noreturn]] void Loop() {
  static Status status;
  static std::string logged;
  while (true) {
    status = pg::Try([] { Session(); });
    CleanUp(status);
    if (g->last_error != logged) {  // not the same line every second
      logged = g->last_error;
      ereport(LOG, (errmsg("pgquorum: replication from site %u: %s", g->site, logged.c_str())));
    }
    status = pg::Try([] {
      Report(true);
      RetryDeadLetters();
    });
    if (!status.ok()) {
      AbortOutOfAnyTransaction();
    }
    MemoryContextSwitchTo(TopMemoryContext);
    if (g->careful_lsn == 0) {
      Pause(kReconnectMs);
    }
  }
}

}  // namespace

void RunApplyWorker(uint16_t site) {
  g = new Worker;
  g->site = site;
  g->activity.site = site;
  BeginDatabaseWorker();
  SetConfigOption("session_replication_role", "replica", PGC_SUSET, PGC_S_OVERRIDE);
  SetConfigOption("search_path", "pg_catalog", PGC_USERSET, PGC_S_OVERRIDE);
  // Rows as text are compared with those that come: the same forms as in peer_link.cpp.
  static const char* const kForms[][2] = {
      {"bytea_output", "hex"},       {"datestyle", "ISO"}, {"extra_float_digits", "3"},
      {"intervalstyle", "postgres"}, {"lc_monetary", "C"}, {"timezone", "UTC"}};
  for (const auto& form : kForms) {
    SetConfigOption(form[0], form[1], PGC_USERSET, PGC_S_OVERRIDE);
  }
  // A commit is acknowledged after a flush; one flush serves many.
  SetConfigOption("synchronous_commit", "off", PGC_USERSET, PGC_S_OVERRIDE);
  ReadConfiguration();
  Loop();
}

}  // namespace pgquorum::replication::server
