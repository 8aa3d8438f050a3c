// Logical decoding into change records (core/change): loaded by the walsender that a peer's worker
// has started. It sends what this site's users wrote to replicated tables, and nothing that came
// from another site.
#include <string>
#include <utility>
#include <vector>

#include "bgworkers/replication/core/change/record.h"

#include "extension/pg/pg.h"

extern "C" {
#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "nodes/value.h"
#include "replication/logical.h"
#include "replication/origin.h"
#include "replication/output_plugin.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
}

#include "bgworkers/replication/server/row_facts.h"
#include "bgworkers/replication/server/table_rules.h"
#include "extension/pg/boundary.h"

namespace pgquorum::replication::server {

namespace {

// A value as text, in memory of the change's context.
struct Text {
  Value::Kind kind;
  char* data;
};

constexpr int kMaxTold = 1024;

// Of the walsender: one stream a process. The C++ members outlive every error that PostgreSQL
// raises.
struct Stream {
  Origin origin;
  MemoryContext context = nullptr;
  bool begun = false;
  uint32_t rows = 0;
  bool has_note = false;
  RowNote note;
  struct {
    Oid relation;
    Oid root;
  } told[kMaxTold];  // relations that the peer knows
  int told_count = 0;
  Record record;
  std::string bytes;
};

Stream* g_stream = nullptr;

void ForgetRelation(Datum, Oid relation) {
  for (int i = 0; g_stream != nullptr && i < g_stream->told_count; ++i) {
    if (!OidIsValid(relation) || g_stream->told[i].relation == relation ||
        g_stream->told[i].root == relation) {
      g_stream->told[i--] = g_stream->told[--g_stream->told_count];
    }
  }
}

bool IsTold(Oid relation) {
  for (int i = 0; i < g_stream->told_count; ++i) {
    if (g_stream->told[i].relation == relation) {
      return true;
    }
  }
  return false;
}

void Send(LogicalDecodingContext* ctx) {
  pg::Boundary([] { EncodeRecord(g_stream->record, g_stream->bytes); });
  OutputPluginPrepareWrite(ctx, true);
  appendBinaryStringInfo(ctx->out, g_stream->bytes.data(),
                         static_cast<int>(g_stream->bytes.size()));
  OutputPluginWrite(ctx, true);
}

void MakeBegin(TimestampTz time, XLogRecPtr lsn) {
  g_stream->record =
      BeginRecord{Stamp{Hlc(static_cast<uint64_t>(time)), g_stream->origin}, uint64_t{lsn}};
}

void MakeCommit(XLogRecPtr end) {
  g_stream->record = CommitRecord{uint64_t{end}, g_stream->rows};
}

void MakeRelation(Relation relation, const char* schema, const char* name, const Key& key) {
  RelationRecord record{RelationGetRelid(relation), schema, name, {}};
  TupleDesc descriptor = RelationGetDescr(relation);
  for (int i = 0; i < descriptor->natts; ++i) {
    Form_pg_attribute column = TupleDescAttr(descriptor, i);
    if (Travels(column)) {
      record.columns.push_back({NameStr(column->attname), key.Has(column->attnum)});
    }
  }
  g_stream->record = std::move(record);
}

// One for each column that is sent.
std::vector<Stamp> MarksOfColumns(Relation relation, const std::vector<Stamp>& all) {
  std::vector<Stamp> marks;
  TupleDesc descriptor = RelationGetDescr(relation);
  for (std::size_t i = 0; i < all.size() && i < static_cast<std::size_t>(descriptor->natts); ++i) {
    if (Travels(TupleDescAttr(descriptor, static_cast<int>(i)))) {
      marks.push_back(all[i]);
    }
  }
  return marks;
}

void MakeRow(Operation operation, Relation relation, TimestampTz time, const Text* texts,
             int count) {
  RowRecord record{operation, RelationGetRelid(relation), {}, {}};
  if (g_stream->has_note) {
    record.known = std::move(g_stream->note.known);
    record.known.marks = MarksOfColumns(relation, record.known.marks);
    Resolve(record.known, {Hlc(static_cast<uint64_t>(time)), g_stream->origin});
  }
  record.image.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    record.image.push_back(texts[i].kind == Value::Kind::kData ? Value::Of(texts[i].data)
                                                               : Value{texts[i].kind, {}});
  }
  g_stream->record = std::move(record);
}

void OnStartup(LogicalDecodingContext* ctx, OutputPluginOptions* options, bool is_init) {
  options->output_type = OUTPUT_PLUGIN_BINARY_OUTPUT;
  if (g_stream == nullptr) {
    g_stream = new Stream;
    CacheRegisterRelcacheCallback(ForgetRelation, 0);
  }
  g_stream->told_count = 0;
  g_stream->begun = false;
  g_stream->has_note = false;
  g_stream->context =
      AllocSetContextCreate(ctx->context, "pgquorum change", ALLOCSET_DEFAULT_SIZES);
  if (is_init) {
    return;
  }
  int version = 0;
  int site = 0;
  ListCell* cell = nullptr;
  foreach (cell, ctx->output_plugin_options) {
    auto* option = static_cast<DefElem*>(lfirst(cell));
    int* target = strcmp(option->defname, "version") == 0 ? &version
                  : strcmp(option->defname, "site") == 0  ? &site
                                                          : nullptr;
    if (target == nullptr || option->arg == nullptr) {
      ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                      errmsg("unknown option \"%s\" of pgquorum's decoder", option->defname)));
    }
    *target = pg_strtoint32(strVal(option->arg));
  }
  if (version != kRecordVersion || site < 1 || site > PG_UINT16_MAX) {
    ereport(ERROR,
            (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
             errmsg("pgquorum's decoder was asked for version %d and site %d", version, site),
             errdetail("This server writes version %d.", kRecordVersion),
             errhint("Run the same version of pgquorum on all sites.")));
  }
  g_stream->origin = {SiteId(static_cast<uint16_t>(site)), 1};
}

void OnBegin(LogicalDecodingContext*, ReorderBufferTXN*) {
  g_stream->begun = false;
  g_stream->rows = 0;
  g_stream->has_note = false;
}

void OnCommit(LogicalDecodingContext* ctx, ReorderBufferTXN* txn, XLogRecPtr) {
  if (g_stream->begun) {
    pg::Boundary([&] { MakeCommit(txn->end_lsn); });
    Send(ctx);
    g_stream->begun = false;
  } else {
    OutputPluginUpdateProgress(ctx, true);
  }
}

Text TextOf(Form_pg_attribute column, Datum value) {
  Oid function = InvalidOid;
  bool is_varlena = false;
  getTypeOutputInfo(column->atttypid, &function, &is_varlena);
  if (is_varlena) {
    value = PointerGetDatum(PG_DETOAST_DATUM(value));
  }
  return {Value::Kind::kData, OidOutputFunctionCall(function, value)};
}

bool IsUnseen(Form_pg_attribute column, Datum value) {
  return column->attlen == -1 && VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(value));
}

// The row as text. What the statement did not touch and stored out of line is not in the new row's
// image; the old row's has it, as the replica identity is full.
int Texts(Relation relation, const Key* only, HeapTuple row, HeapTuple old, Text* out) {
  TupleDesc descriptor = RelationGetDescr(relation);
  int count = 0;
  for (int i = 0; i < descriptor->natts; ++i) {
    Form_pg_attribute column = TupleDescAttr(descriptor, i);
    if (!Travels(column)) {
      continue;
    }
    Text& text = out[count++];
    text = {Value::Kind::kNull, nullptr};
    if (only != nullptr && !only->Has(column->attnum)) {
      continue;
    }
    bool is_null = false;
    Datum value = heap_getattr(row, i + 1, descriptor, &is_null);
    if (!is_null && IsUnseen(column, value)) {
      text.kind = Value::Kind::kUnchanged;
      if (old == nullptr) {
        continue;
      }
      value = heap_getattr(old, i + 1, descriptor, &is_null);
      if (!is_null && IsUnseen(column, value)) {
        continue;
      }
    }
    if (!is_null) {
      text = TextOf(column, value);
    }
  }
  return count;
}

void SendRow(LogicalDecodingContext* ctx, ReorderBufferTXN* txn, Relation relation,
             ReorderBufferChange* change) {
  Operation operation = change->action == REORDER_BUFFER_CHANGE_INSERT   ? Operation::kInsert
                        : change->action == REORDER_BUFFER_CHANGE_UPDATE ? Operation::kUpdate
                                                                         : Operation::kDelete;
  HeapTuple old = change->data.tp.oldtuple == nullptr ? nullptr : &change->data.tp.oldtuple->tuple;
  HeapTuple row = change->data.tp.newtuple == nullptr ? nullptr : &change->data.tp.newtuple->tuple;
  if (operation == Operation::kDelete) {
    row = old;
  }
  if (row == nullptr) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("a change of replicated table \"%s\" has no row image",
                           RelationGetRelationName(relation)),
                    errhint("ALTER TABLE … REPLICA IDENTITY FULL must stay in force.")));
  }
  Key key = KeyOf(relation);
  if (!g_stream->begun) {
    g_stream->begun = true;
    pg::Boundary([&] { MakeBegin(txn->xact_time.commit_time, txn->final_lsn); });
    Send(ctx);
  }
  Oid id = RelationGetRelid(relation);
  if (!IsTold(id)) {
    // Rows of a partition are rows of its table: other sites may be partitioned otherwise.
    Oid root = RulesOf(relation)->root;
    char* schema = get_namespace_name(get_rel_namespace(root));
    char* name = get_rel_name(root);
    pg::Boundary([&] { MakeRelation(relation, schema, name, key); });
    Send(ctx);
    if (g_stream->told_count < kMaxTold) {
      g_stream->told[g_stream->told_count++] = {id, root};
    }
  }
  auto* texts = static_cast<Text*>(
      palloc(sizeof(Text) * static_cast<Size>(RelationGetDescr(relation)->natts)));
  int count = Texts(relation, operation == Operation::kDelete ? &key : nullptr, row, old, texts);
  // An INSERT … ON CONFLICT may have left a note and then no row, or another.
  g_stream->has_note = g_stream->has_note && g_stream->note.relation == id &&
                       g_stream->note.insert == (operation == Operation::kInsert) &&
                       g_stream->note.key == KeyHash(KeyBytes(relation, key, row));
  ++g_stream->rows;
  pg::Boundary([&] { MakeRow(operation, relation, txn->xact_time.commit_time, texts, count); });
  g_stream->has_note = false;
  Send(ctx);
}

void OnChange(LogicalDecodingContext* ctx, ReorderBufferTXN* txn, Relation relation,
              ReorderBufferChange* change) {
  switch (change->action) {
    case REORDER_BUFFER_CHANGE_INSERT:
    case REORDER_BUFFER_CHANGE_UPDATE:
    case REORDER_BUFFER_CHANGE_DELETE:
      break;
    default:
      return;
  }
  if (!IsReplicated(relation)) {
    return;
  }
  MemoryContext before = MemoryContextSwitchTo(g_stream->context);
  SendRow(ctx, txn, relation, change);
  MemoryContextSwitchTo(before);
  MemoryContextReset(g_stream->context);
}

// What the guard says about the next row of its table.
void OnMessage(LogicalDecodingContext*, ReorderBufferTXN*, XLogRecPtr, bool transactional,
               const char* prefix, Size size, const char* message) {
  if (!transactional || strcmp(prefix, kMessagePrefix) != 0) {
    return;
  }
  g_stream->has_note = pg::Boundary([&]() -> Result<bool> {
    Result<RowNote> note = DecodeNote({message, size});
    if (!note.ok()) {
      return note.status();
    }
    g_stream->note = std::move(note).value();
    return true;
  });
}

bool IsFromElsewhere(LogicalDecodingContext*, RepOriginId origin) {
  return origin != InvalidRepOriginId;
}

void OnShutdown(LogicalDecodingContext*) {
  g_stream->told_count = 0;
}

}  // namespace

}  // namespace pgquorum::replication::server

PGQUORUM_EXPORT void _PG_output_plugin_init(OutputPluginCallbacks* callbacks);
void _PG_output_plugin_init(OutputPluginCallbacks* callbacks) {
  using namespace pgquorum::replication::server;
  callbacks->startup_cb = OnStartup;
  callbacks->begin_cb = OnBegin;
  callbacks->change_cb = OnChange;
  callbacks->commit_cb = OnCommit;
  callbacks->message_cb = OnMessage;
  callbacks->filter_by_origin_cb = IsFromElsewhere;
  callbacks->shutdown_cb = OnShutdown;
}
