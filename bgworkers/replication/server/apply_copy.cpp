#include "bgworkers/replication/server/apply_copy.h"

#include <libpq-fe.h>

#include <map>
#include <string>
#include <vector>

#include "bgworkers/replication/core/change/record.h"

#include "bgworkers/replication/server/apply_row.h"
#include "bgworkers/replication/server/apply_state.h"
#include "bgworkers/replication/server/peer_link.h"
#include "bgworkers/replication/server/row_facts.h"
#include "extension/pg/boundary.h"
#include "extension/pg/guard.h"

extern "C" {
#include "access/table.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "replication/origin.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"
}

namespace pgquorum::replication::server {

namespace {

constexpr long kLookMs = 100;
constexpr int kStampColumns = 2;  // before those of the table: time, site

// Static: an error jumps over frames.
struct Copy {
  pg_conn* link = nullptr;
  std::vector<std::string> peers;  // connection strings of the sites that are neither end
  std::vector<uint32_t> tables;
  std::map<uint16_t, RepOriginId> origins;
  RelationRecord relation;
  RowRecord row;
  bool open = false;  // a transaction is, with this stamp
  TimestampTz time = 0;
  uint16_t site = 0;
};
Copy g_copy;

// ---- catalogue ---------------------------------------------------------------------------------

void BeginCatalogue() {
  replorigin_session_origin = InvalidRepOriginId;
  StartTransactionCommand();
  PushActiveSnapshot(GetTransactionSnapshot());
  if (SPI_connect() != SPI_OK_CONNECT) {
    elog(ERROR, "SPI_connect failed");
  }
}

void EndCatalogue() {
  SPI_finish();
  PopActiveSnapshot();
  CommitTransactionCommand();
}

char* CellAt(uint64_t row, int column) {
  return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

bool IsTrue(const char* condition) {
  BeginCatalogue();
  SPI_execute(psprintf("SELECT %s", condition), true, 1);
  const char* answer = CellAt(0, 1);
  bool holds = answer != nullptr && answer[0] == 't';
  EndCatalogue();
  return holds;
}

void ReadPlan() {
  BeginCatalogue();
  g_copy.peers.clear();
  g_copy.tables.clear();
  SPI_execute(
      psprintf("SELECT conninfo FROM pgquorum_internal.replication_site WHERE site_id <> %u",
               g->site),
      true, 0);
  for (uint64_t i = 0; i < SPI_processed; ++i) {
    const char* conninfo = CellAt(i, 1);
    pg::Boundary([&] { g_copy.peers.emplace_back(conninfo); });
  }
  SPI_execute("SELECT relation::text FROM pgquorum_internal.replicated_table ORDER BY relation",
              true, 0);
  for (uint64_t i = 0; i < SPI_processed; ++i) {
    auto relation = static_cast<uint32_t>(strtoul(CellAt(i, 1), nullptr, 10));
    pg::Boundary([&] { g_copy.tables.push_back(relation); });
  }
  EndCatalogue();
}

// ---- what has to be true before the peer is read
// -------------------------------------------------

// What was committed anywhere before this site had its slots there is at the peer.
void AwaitPeer() {
  while (!IsTrue("bool_and(has_slot) FROM pgquorum_internal.replication_site")) {
    WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, kLookMs, PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    CHECK_FOR_INTERRUPTS();
  }
  for (const std::string& conninfo : g_copy.peers) {
    OpenLink(&g_copy.link, conninfo.c_str(), "pgquorum copy", false);
    char* passed = AskForText(
        g_copy.link,
        psprintf("SELECT pgquorum_internal.others_have_applied('10 seconds', %u)", g->site));
    CloseLink(&g_copy.link);
    if (passed == nullptr || passed[0] != 't') {
      ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                      errmsg("site %u has not applied what the others wrote", g->site),
                      errhint("Its system.replication_peers says why; the copy goes on then.")));
    }
  }
}

// ---- stamps ------------------------------------------------------------------------------------

RepOriginId OriginOf(uint16_t site) {
  auto known = g_copy.origins.find(site);
  if (known != g_copy.origins.end()) {
    return known->second;
  }
  char name[NAMEDATALEN];
  OriginName(site, name, sizeof(name));
  BeginCatalogue();
  RepOriginId origin = replorigin_by_name(name, true);
  if (origin == InvalidRepOriginId) {
    origin = replorigin_create(name);
  }
  EndCatalogue();
  pg::Boundary([&] { g_copy.origins[site] = origin; });
  return origin;
}

void EndStamped() {
  if (g_copy.open) {
    g_copy.open = false;
    CommitTransactionCommand();
    g->local_end = XactLastCommitEnd;
    replorigin_session_origin = InvalidRepOriginId;
  }
}

// Rows of one transaction come one after the other as a rule, and share one here.
void BeginStamped(TimestampTz time, uint16_t site) {
  if (g_copy.open && g_copy.time == time && g_copy.site == site) {
    return;
  }
  EndStamped();
  RepOriginId origin = OriginOf(site);
  replorigin_session_origin = origin;
  replorigin_session_origin_timestamp = time;
  replorigin_session_origin_lsn = InvalidXLogRecPtr;  // no position is moved
  StartTransactionCommand();
  g_copy.open = true;
  g_copy.time = time;
  g_copy.site = site;
}

void ApplyCopied() {
  ApplyContext context{
      g->own_site, {Hlc(static_cast<uint64_t>(g_copy.time)), {SiteId(g_copy.site), 1}}, true};
  MemoryContext memory =
      AllocSetContextCreate(TopTransactionContext, "pgquorum row", ALLOCSET_DEFAULT_SIZES);
  MemoryContext before = MemoryContextSwitchTo(memory);
  ApplyRow(context, g_copy.relation, g_copy.row);
  MemoryContextSwitchTo(before);
  MemoryContextDelete(memory);
}

// ---- rows --------------------------------------------------------------------------------------

void BeginRecord(Operation operation) {
  g_copy.relation.columns.clear();
  g_copy.row.operation = operation;
  g_copy.row.image.clear();
}

void AddColumn(const char* name, const char* value) {
  g_copy.relation.columns.push_back({name, false});
  g_copy.row.image.push_back(value == nullptr ? Value{Value::Kind::kNull, {}} : Value::Of(value));
}

void StampFrom(PGresult* rows, int i) {
  BeginStamped(strtoll(PQgetvalue(rows, i, 0), nullptr, 10),
               static_cast<uint16_t>(pg_strtoint32(PQgetvalue(rows, i, 1))));
}

void TakeRows(PGresult* rows, Oid) {
  for (int i = 0; i < PQntuples(rows); ++i) {
    StampFrom(rows, i);
    pg::Boundary([&] {
      BeginRecord(Operation::kInsert);
      for (int c = kStampColumns; c < PQnfields(rows); ++c) {
        AddColumn(PQfname(rows, c),
                  PQgetisnull(rows, i, c) != 0 ? nullptr : PQgetvalue(rows, i, c));
      }
    });
    ApplyCopied();
    CHECK_FOR_INTERRUPTS();
  }
}

// The reverse of KeyBytes(): a value of the key, out of its bytes.
Datum KeyValue(Form_pg_attribute column, const char* data, uint32_t size) {
  Datum value = 0;
  if (column->attbyval) {
    memcpy(&value, data, Min(size, sizeof(value)));
    return value;
  }
  int header = column->attlen == -1 ? VARHDRSZ : 0;
  auto* copy = static_cast<char*>(palloc0(size + static_cast<Size>(header) + 1));
  memcpy(copy + header, data, size);
  if (header != 0) {
    SET_VARSIZE(copy, static_cast<int>(size) + header);
  }
  return PointerGetDatum(copy);
}

void AddKey(Relation relation, const Key& key, const char* bytes, std::size_t size) {
  std::size_t at = 0;
  for (int i = 0; i < key.count; ++i) {
    uint32_t length = 0;
    if (at + sizeof(length) > size) {
      break;
    }
    memcpy(&length, bytes + at, sizeof(length));
    at += sizeof(length);
    if (length > size - at) {
      break;
    }
    Form_pg_attribute column = TupleDescAttr(RelationGetDescr(relation), key.columns[i] - 1);
    Oid function = InvalidOid;
    bool is_varlena = false;
    getTypeOutputInfo(column->atttypid, &function, &is_varlena);
    char* text = OidOutputFunctionCall(function, KeyValue(column, bytes + at, length));
    at += length;
    pg::Boundary([&] { AddColumn(NameStr(column->attname), text); });
  }
  if (g_copy.row.image.size() != static_cast<std::size_t>(key.count) || at != size) {
    ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                    errmsg("a deletion of \"%s\" has another key than the table has here",
                           RelationGetRelationName(relation))));
  }
}

void TakeTombstones(PGresult* rows, Oid table) {
  for (int i = 0; i < PQntuples(rows); ++i) {
    StampFrom(rows, i);
    size_t size = 0;
    unsigned char* bytes =
        PQunescapeBytea(reinterpret_cast<unsigned char*>(PQgetvalue(rows, i, 2)), &size);
    if (bytes == nullptr) {
      ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
    }
    auto* key_bytes = static_cast<char*>(palloc(size + 1));
    memcpy(key_bytes, bytes, size);
    PQfreemem(bytes);
    Relation relation = table_open(table, AccessShareLock);
    Key key = KeyOf(relation);
    pg::Boundary([] { BeginRecord(Operation::kDelete); });
    AddKey(relation, key, key_bytes, size);
    table_close(relation, NoLock);
    ApplyCopied();
    CHECK_FOR_INTERRUPTS();
  }
}

// In batches through a cursor, so that no table has to fit into memory.
void TakeAll(const char* query, Oid table, void (*take)(PGresult*, Oid)) {
  static PGresult* rows = nullptr;  // outlives a jump, and is freed at the next start
  PQclear(Ask(g_copy.link, psprintf("DECLARE c NO SCROLL CURSOR FOR %s", query), PGRES_COMMAND_OK));
  int count = 0;
  do {
    PQclear(rows);
    rows = nullptr;
    rows = Ask(g_copy.link, "FETCH 500 FROM c", PGRES_TUPLES_OK);
    count = PQntuples(rows);
    take(rows, table);
  } while (count > 0);
  EndStamped();
  PQclear(Ask(g_copy.link, "CLOSE c", PGRES_COMMAND_OK));
}

// A stamp that the server has forgotten, or never had, is the oldest that there is.
constexpr char kStamp[] =
    "coalesce((extract(epoch FROM s.\"timestamp\") * 1000000)::bigint - 946684800000000, 1),"
    " coalesce(o.site, (SELECT site_id FROM pgquorum_internal.replication_group))";
constexpr char kStampSource[] =
    "CROSS JOIN LATERAL pg_catalog.pg_xact_commit_timestamp_origin(t.xmin) s"
    " LEFT JOIN (SELECT roident, split_part(roname, '_', 3)::integer AS site"
    " FROM pg_catalog.pg_replication_origin, pg_catalog.pg_database"
    " WHERE datname = current_database() AND roname ~ format('^pgquorum_%s_\\d+$', oid)) o"
    " ON o.roident = s.roident";

void CopyTable(Oid table) {
  static MemoryContext memory =
      AllocSetContextCreate(TopMemoryContext, "pgquorum copy", ALLOCSET_DEFAULT_SIZES);
  MemoryContextReset(memory);
  BeginCatalogue();
  SPI_execute(
      psprintf("SELECT n.nspname, c.relname, (SELECT string_agg('t.' || quote_ident(attname),"
               " ', ' ORDER BY attnum) FROM pg_catalog.pg_attribute WHERE attrelid = c.oid"
               " AND attnum > 0 AND NOT attisdropped AND attgenerated = '')"
               " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n"
               " ON n.oid = c.relnamespace WHERE c.oid = %u",
               table),
      true, 1);
  if (SPI_processed != 1) {
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE), errmsg("a table of the group is gone here")));
  }
  char* schema = MemoryContextStrdup(memory, CellAt(0, 1));
  char* name = MemoryContextStrdup(memory, CellAt(0, 2));
  char* columns = MemoryContextStrdup(memory, CellAt(0, 3));
  EndCatalogue();
  MemoryContextSwitchTo(memory);
  char* qualified = pstrdup(quote_qualified_identifier(schema, name));
  pg::Boundary([&] {
    g_copy.relation = RelationRecord{1, schema, name, {}};
    g_copy.row = RowRecord{};
    g_copy.row.relation = g_copy.relation.id;
  });
  TakeAll(psprintf("SELECT %s, t.key FROM pgquorum_internal.tombstone t %s"
                   " WHERE t.relation = %s::regclass",
                   kStamp, kStampSource, quote_literal_cstr(qualified)),
          table, TakeTombstones);
  MemoryContextSwitchTo(memory);
  TakeAll(psprintf("SELECT %s, %s FROM %s t %s", kStamp, columns, qualified, kStampSource), table,
          TakeRows);
  MemoryContextSwitchTo(TopMemoryContext);
}

void CopyAll() {
  ReadPlan();
  AwaitPeer();
  OpenLink(&g_copy.link, g->conninfo, "pgquorum copy", false);
  PQclear(Ask(g_copy.link, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", PGRES_COMMAND_OK));
  for (uint32_t table : g_copy.tables) {
    CopyTable(table);
  }
  BeginCatalogue();
  SPI_execute("SELECT pgquorum_internal.finish_join()", false, 0);
  EndCatalogue();
}

}  // namespace

bool CopyIsPending() {
  return IsTrue(
      psprintf("copy_pending FROM pgquorum_internal.replication_site WHERE site_id = %u", g->site));
}

void CopyTables() {
  g_copy.open = false;
  SetState("copying");
  pg::Finally([] { CopyAll(); }, [] { CloseLink(&g_copy.link); });
  MemoryContextSwitchTo(TopMemoryContext);
}

}  // namespace pgquorum::replication::server
