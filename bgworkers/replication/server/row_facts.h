// What a site knows of a replicated row without a column of its own in the table: its key as bytes,
// who wrote it when (from the commit timestamp of the transaction that did), and its tombstone.
//
// Plain structures and PostgreSQL's memory only: every function here may raise an error.
#pragma once

#include "bgworkers/replication/core/clock/hlc.h"

#include "extension/pg/pg.h"

extern "C" {
#include "access/htup.h"
#include "access/xlogdefs.h"
#include "datatype/timestamp.h"
#include "pg_config_manual.h"
#include "utils/rel.h"
}

namespace pgquorum::replication::server {

// The trigger that makes a table a replicated one.
inline constexpr char kGuardTrigger[] = "zz_pgquorum_guard";
// Stamp of a row that a joining site has copied and whose own stamp nobody knows any more.
inline constexpr TimestampTz kBeforeReplication = 1;
// Prefix of the messages in which the guard tells the decoder what a statement overwrote.
inline constexpr char kMessagePrefix[] = "pgquorum";

struct Key {
  Oid index;
  int count;
  AttrNumber columns[INDEX_MAX_KEYS];

  bool Has(AttrNumber column) const;
};

struct RowStamp {
  bool own_transaction;  // written by the transaction that asks
  TimestampTz time;      // zero: unknown, before anything was replicated
  uint16_t site;         // zero: this one
};

bool IsReplicated(Relation relation);
// In the catalogue. With its guard disabled, this site sends nothing of it and takes what comes.
bool IsRegistered(Oid relation);
// The primary key; raises when there is none.
Key KeyOf(Relation relation);
bytea* KeyBytes(Relation relation, const Key& key, const Datum* values);
bytea* KeyBytes(Relation relation, const Key& key, HeapTuple tuple);

// Tells a note that a row was meant from one that no row came of.
uint64_t KeyHash(const bytea* key);

RowStamp StampOf(TransactionId writer);
// As the cores want it; `own_transaction` for what this transaction has written. Zero: unknown.
Stamp StampHere(const RowStamp& stamp, uint16_t own_site, const Stamp& own_transaction);

// Whether there is one; fills `stamp`.
bool FindTombstone(Oid relation, bytea* key, RowStamp* stamp);
// Writes it, stamped with this transaction.
void PutTombstone(Oid relation, bytea* key);

// The replication origin under which changes of `site` are applied in this database.
void OriginName(uint16_t site, char* out, std::size_t size);

// Where the local clock is at or behind `time`, a commit would be older than what it has seen.
bool ClockIsPast(TimestampTz time);

}  // namespace pgquorum::replication::server
