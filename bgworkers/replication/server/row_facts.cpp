#include "bgworkers/replication/server/row_facts.h"

extern "C" {
#include "access/commit_ts.h"
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "replication/origin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
}

#include <cstdio>
#include <cstring>

namespace pgquorum::replication::server {

namespace {

constexpr char kSchema[] = "pgquorum_internal";
constexpr int kTombstoneColumns = 2;

// Site of an origin, zero for local writes and for those of foreign origins: what another
// subscription brings in counts as this site's.
uint16_t SiteOfOrigin(RepOriginId origin) {
  struct Entry {
    RepOriginId origin;
    uint16_t site;
  };
  static Entry cache[64];
  static int cached = 0;
  if (origin == InvalidRepOriginId) {
    return 0;
  }
  for (int i = 0; i < cached; ++i) {
    if (cache[i].origin == origin) {
      return cache[i].site;
    }
  }
  char* name = nullptr;
  unsigned database = 0;
  unsigned site = 0;
  if (!replorigin_by_oid(origin, true, &name) ||
      sscanf(name, "pgquorum_%u_%u", &database, &site) != 2 || database != MyDatabaseId) {
    site = 0;
  }
  if (cached < static_cast<int>(lengthof(cache))) {
    cache[cached++] = {origin, static_cast<uint16_t>(site)};
  }
  return static_cast<uint16_t>(site);
}

struct TombstoneTable {
  Relation relation;
  Oid index;
};

TombstoneTable OpenTombstones(LOCKMODE lock) {
  Oid schema = get_namespace_oid(kSchema, false);
  Oid table = get_relname_relid("tombstone", schema);
  Oid index = get_relname_relid("tombstone_pkey", schema);
  if (!OidIsValid(table) || !OidIsValid(index)) {
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_TABLE),
                    errmsg("pgquorum's catalogue of tombstones is missing"),
                    errhint("Install the extension pgquorum again.")));
  }
  return {table_open(table, lock), index};
}

// Copied into the current memory context, or null.
HeapTuple FetchTombstone(const TombstoneTable& tombstones, Oid relation, bytea* key) {
  ScanKeyData keys[2];
  ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relation));
  ScanKeyInit(&keys[1], 2, BTEqualStrategyNumber, F_BYTEAEQ, PointerGetDatum(key));
  Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  SysScanDesc scan =
      systable_beginscan(tombstones.relation, tombstones.index, true, snapshot, 2, keys);
  HeapTuple found = systable_getnext(scan);
  HeapTuple copy = HeapTupleIsValid(found) ? heap_copytuple(found) : nullptr;
  systable_endscan(scan);
  UnregisterSnapshot(snapshot);
  return copy;
}

void AppendBytes(StringInfo out, const char* data, std::size_t size) {
  uint32_t length = static_cast<uint32_t>(size);
  appendBinaryStringInfo(out, reinterpret_cast<const char*>(&length), sizeof(length));
  appendBinaryStringInfo(out, data, static_cast<int>(size));
}

}  // namespace

bool Key::Has(AttrNumber column) const {
  for (int i = 0; i < count; ++i) {
    if (columns[i] == column) {
      return true;
    }
  }
  return false;
}

bool IsRegistered(Oid relation) {
  Oid schema = get_namespace_oid(kSchema, false);
  Relation tables = table_open(get_relname_relid("replicated_table", schema), AccessShareLock);
  ScanKeyData key;
  ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relation));
  Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
  SysScanDesc scan = systable_beginscan(tables, get_relname_relid("replicated_table_pkey", schema),
                                        true, snapshot, 1, &key);
  bool found = HeapTupleIsValid(systable_getnext(scan));
  systable_endscan(scan);
  UnregisterSnapshot(snapshot);
  table_close(tables, NoLock);
  return found;
}

Key KeyOf(Relation relation) {
  RelationGetIndexList(relation);  // fills in which index is the primary key
  Key key = {};
  key.index = RelationGetPrimaryKeyIndex(relation);
  if (!OidIsValid(key.index)) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("replicated table \"%s\" has no primary key any more",
                           RelationGetRelationName(relation))));
  }
  Relation index = index_open(key.index, AccessShareLock);
  key.count = index->rd_index->indnkeyatts;
  for (int i = 0; i < key.count; ++i) {
    key.columns[i] = index->rd_index->indkey.values[i];
  }
  index_close(index, AccessShareLock);
  return key;
}

// Only types whose equal values have equal bytes are admitted as keys (add_replicated_table).
bytea* KeyBytes(Relation relation, const Key& key, const Datum* values) {
  StringInfoData out;
  initStringInfo(&out);
  for (int i = 0; i < key.count; ++i) {
    Form_pg_attribute column = TupleDescAttr(RelationGetDescr(relation), key.columns[i] - 1);
    Datum value = values[key.columns[i] - 1];
    if (column->attbyval) {
      AppendBytes(&out, reinterpret_cast<const char*>(&value), sizeof(value));
    } else if (column->attlen == -1) {
      auto* data = reinterpret_cast<varlena*>(PG_DETOAST_DATUM_PACKED(value));
      AppendBytes(&out, VARDATA_ANY(data), VARSIZE_ANY_EXHDR(data));
    } else if (column->attlen == -2) {
      AppendBytes(&out, DatumGetCString(value), strlen(DatumGetCString(value)));
    } else {
      AppendBytes(&out, DatumGetPointer(value), static_cast<std::size_t>(column->attlen));
    }
  }
  int size = out.len + VARHDRSZ;
  auto* bytes = static_cast<bytea*>(palloc(static_cast<Size>(size)));
  SET_VARSIZE(bytes, size);
  memcpy(VARDATA(bytes), out.data, static_cast<std::size_t>(out.len));
  pfree(out.data);
  return bytes;
}

bytea* KeyBytes(Relation relation, const Key& key, HeapTuple tuple) {
  TupleDesc descriptor = RelationGetDescr(relation);
  auto* values = static_cast<Datum*>(palloc(sizeof(Datum) * static_cast<Size>(descriptor->natts)));
  for (int i = 0; i < key.count; ++i) {
    bool is_null = false;
    values[key.columns[i] - 1] = heap_getattr(tuple, key.columns[i], descriptor, &is_null);
    if (is_null) {
      ereport(ERROR, (errcode(ERRCODE_NOT_NULL_VIOLATION),
                      errmsg("null value in the primary key of replicated table \"%s\"",
                             RelationGetRelationName(relation))));
    }
  }
  return KeyBytes(relation, key, values);
}

RowStamp StampOf(TransactionId writer) {
  RowStamp stamp = {};
  if (TransactionIdIsNormal(writer)) {
    stamp.own_transaction = TransactionIdIsCurrentTransactionId(writer);
    RepOriginId origin = InvalidRepOriginId;
    if (!stamp.own_transaction && TransactionIdGetCommitTsData(writer, &stamp.time, &origin)) {
      stamp.site = SiteOfOrigin(origin);
      stamp.time = stamp.time <= kBeforeReplication ? 0 : stamp.time;
    }
  }
  return stamp;
}

bool FindTombstone(Oid relation, bytea* key, RowStamp* stamp) {
  TombstoneTable tombstones = OpenTombstones(AccessShareLock);
  HeapTuple tuple = FetchTombstone(tombstones, relation, key);
  if (tuple != nullptr) {
    *stamp = StampOf(HeapTupleHeaderGetRawXmin(tuple->t_data));
    heap_freetuple(tuple);
  }
  table_close(tombstones.relation, NoLock);
  return tuple != nullptr;
}

void PutTombstone(Oid relation, bytea* key) {
  TombstoneTable tombstones = OpenTombstones(RowExclusiveLock);
  HeapTuple old = FetchTombstone(tombstones, relation, key);
  Datum values[kTombstoneColumns] = {ObjectIdGetDatum(relation), PointerGetDatum(key)};
  bool nulls[kTombstoneColumns] = {};
  HeapTuple tuple = heap_form_tuple(RelationGetDescr(tombstones.relation), values, nulls);
  if (old == nullptr) {
    CatalogTupleInsert(tombstones.relation, tuple);
  } else if (!TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetRawXmin(old->t_data))) {
    // A new version of the same: it is the version's transaction that is the stamp.
    CatalogTupleUpdate(tombstones.relation, &old->t_self, tuple);
  }
  heap_freetuple(tuple);
  table_close(tombstones.relation, NoLock);
  CommandCounterIncrement();
}

uint64_t KeyHash(const bytea* key) {
  return hash_bytes_extended(reinterpret_cast<const unsigned char*>(VARDATA_ANY(key)),
                             static_cast<int>(VARSIZE_ANY_EXHDR(key)), 0);
}

Stamp StampHere(const RowStamp& stamp, uint16_t own_site, const Stamp& own_transaction) {
  if (stamp.own_transaction) {
    return own_transaction;
  }
  if (stamp.time <= 0) {
    return Stamp();
  }
  uint16_t site = stamp.site == 0 ? own_site : stamp.site;
  return {Hlc(static_cast<uint64_t>(stamp.time)), {SiteId(site), 1}};
}

void OriginName(uint16_t site, char* out, std::size_t size) {
  snprintf(out, size, "pgquorum_%u_%u", MyDatabaseId, site);
}

bool ClockIsPast(TimestampTz time) {
  return GetCurrentTimestamp() > time;
}

}  // namespace pgquorum::replication::server
