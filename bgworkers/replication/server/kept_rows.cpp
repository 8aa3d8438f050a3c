#include "bgworkers/replication/server/kept_rows.h"

extern "C" {
#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
}

#include "extension/pg/boundary.h"

namespace pgquorum::replication::server {

namespace {

constexpr int kStateColumns = 4;

Relation OpenStates(LOCKMODE lock) {
  Oid table = get_relname_relid("row_state", get_namespace_oid("pgquorum_internal", false));
  if (!OidIsValid(table)) {
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                    errmsg("pgquorum's catalogue of row states is missing"),
                    errhint("Install the extension pgquorum again.")));
  }
  return table_open(table, lock);
}

KeptRow ReadKept(Relation states, HeapTuple tuple) {
  KeptRow kept = {};
  TupleDesc descriptor = RelationGetDescr(states);
  bool is_null = false;
  kept.found = true;
  kept.place = tuple->t_self;
  kept.author = HeapTupleHeaderGetRawXmin(tuple->t_data);
  kept.writer = DatumGetTransactionId(heap_getattr(tuple, 3, descriptor, &is_null));
  kept.state = DatumGetByteaPCopy(heap_getattr(tuple, 4, descriptor, &is_null));
  return kept;
}

KeptRow FindIn(Relation states, Oid relation, bytea* key) {
  Oid index = get_relname_relid("row_state_pkey", RelationGetNamespace(states));
  ScanKeyData keys[2];
  ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relation));
  ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_BYTEAEQ, PointerGetDatum(key));
  Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  SysScanDesc scan = systable_beginscan(states, index, true, snapshot, 2, keys);
  HeapTuple tuple = systable_getnext(scan);
  KeptRow kept = HeapTupleIsValid(tuple) ? ReadKept(states, tuple) : KeptRow{};
  systable_endscan(scan);
  UnregisterSnapshot(snapshot);
  return kept;
}

bool Lock(Relation states, KeptRow& kept) {
  TupleTableSlot* slot = table_slot_create(states, nullptr);
  TM_FailureData failure;
  TM_Result result =
      table_tuple_lock(states, &kept.place, GetLatestSnapshot(), slot, GetCurrentCommandId(false),
                       LockTupleNoKeyExclusive, LockWaitBlock, 0, &failure);
  ExecDropSingleTupleTableSlot(slot);
  return result == TM_Ok;
}

// One column of a row on its way into C++ memory.
struct Piece {
  bool is_null;
  bool merging;
  const char* data;
  std::size_t size;
};

Piece PieceOf(const TableRules& rules, Form_pg_attribute column, Datum value, bool texts) {
  Piece piece = {false, rules.Merges(column->attnum), nullptr, 0};
  if (piece.merging) {
    auto* bytes = reinterpret_cast<varlena*>(PG_DETOAST_DATUM_PACKED(value));
    piece.data = VARDATA_ANY(bytes);
    piece.size = VARSIZE_ANY_EXHDR(bytes);
  } else if (texts) {
    Oid function = InvalidOid;
    bool is_varlena = false;
    getTypeOutputInfo(column->atttypid, &function, &is_varlena);
    piece.data = OidOutputFunctionCall(function, value);
    piece.size = strlen(piece.data);
  }
  piece.is_null = piece.data == nullptr;
  return piece;
}

}  // namespace

KeptRow FindKept(Oid relation, bytea* key) {
  Relation states = OpenStates(AccessShareLock);
  KeptRow kept = FindIn(states, relation, key);
  table_close(states, NoLock);
  return kept;
}

KeptRow LockKept(Oid relation, bytea* key) {
  Relation states = OpenStates(RowExclusiveLock);
  KeptRow kept = FindIn(states, relation, key);
  while (kept.found && !Lock(states, kept)) {
    CHECK_FOR_INTERRUPTS();
    kept = FindIn(states, relation, key);  // somebody wrote it meanwhile
  }
  table_close(states, NoLock);
  return kept;
}

void PutKept(const KeptRow& old, Oid relation, bytea* key, TransactionId writer,
             const std::string& state) {
  Relation states = OpenStates(RowExclusiveLock);
  auto* bytes = static_cast<bytea*>(palloc(VARHDRSZ + state.size()));
  SET_VARSIZE(bytes, VARHDRSZ + state.size());
  memcpy(VARDATA(bytes), state.data(), state.size());
  Datum values[kStateColumns] = {ObjectIdGetDatum(relation), PointerGetDatum(key),
                                 TransactionIdGetDatum(writer), PointerGetDatum(bytes)};
  bool nulls[kStateColumns] = {};
  HeapTuple tuple = heap_form_tuple(RelationGetDescr(states), values, nulls);
  if (old.found) {
    ItemPointerData place = old.place;
    CatalogTupleUpdate(states, &place, tuple);
  } else {
    CatalogTupleInsert(states, tuple);
  }
  heap_freetuple(tuple);
  table_close(states, NoLock);
  CommandCounterIncrement();
}

int BeginPlainOutput() {
  static const char* const kSettings[][2] = {
      {"bytea_output", "hex"}, {"datestyle", "ISO"},          {"extra_float_digits", "3"},
      {"lc_monetary", "C"},    {"intervalstyle", "postgres"}, {"search_path", "pg_catalog"},
      {"timezone", "UTC"},
  };
  int level = NewGUCNestLevel();
  for (const auto& setting : kSettings) {
    set_config_option(setting[0], setting[1], PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
                      false);
  }
  return level;
}

void EndPlainOutput(int level) {
  AtEOXact_GUC(true, level);
}

void TakeRow(const TableRules& rules, TupleDesc descriptor, const Datum* values, const bool* nulls,
             bool texts, TableRow& out) {
  int count = descriptor->natts;
  auto* pieces = static_cast<Piece*>(palloc(sizeof(Piece) * static_cast<Size>(count)));
  for (int i = 0; i < count; ++i) {
    Form_pg_attribute column = TupleDescAttr(descriptor, i);
    pieces[i] = !Travels(column) || nulls[i] ? Piece{true, false, nullptr, 0}
                                             : PieceOf(rules, column, values[i], texts);
  }
  pg::Boundary([&] {
    auto places = static_cast<std::size_t>(count);
    out.image.assign(places, Value::Null());
    out.merging.assign(rules.merging == nullptr ? 0 : places, {});
    for (std::size_t i = 0; i < places; ++i) {
      const Piece& piece = pieces[i];
      if (piece.merging) {
        out.merging[i].assign(piece.data, piece.size);
      } else if (!piece.is_null) {
        out.image[i] = Value::Of(std::string(piece.data, piece.size));
      }
    }
  });
  pfree(pieces);
}

}  // namespace pgquorum::replication::server
