// The trigger of a replicated table, for statements of users (what is applied from other sites runs
// with session_replication_role = replica and does not fire it).
#include "extension/pg/pg.h"

extern "C" {
#include "access/htup_details.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"
}

#include "bgworkers/replication/server/guard_trigger.h"

#include "bgworkers/replication/server/guard_kept.h"
#include "bgworkers/replication/server/guard_truncate.h"
#include "bgworkers/replication/server/quorum_write.h"
#include "bgworkers/replication/server/row_facts.h"
#include "bgworkers/replication/server/table_rules.h"

namespace pgquorum::replication::server {

namespace {

constexpr long kWaitForClockMs = 10'000;

}  // namespace

// A commit here must be newer than everything that it has seen. That is so unless the clock was set
// back: then the statement waits for it.
void WaitForClock(TimestampTz seen) {
  TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), kWaitForClockMs);
  if (seen > until) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("the clock of this site is behind a row that it would overwrite"),
                    errdetail("The row was written at %s.", timestamptz_to_str(seen)),
                    errhint("Set the clock right. Writes of this row are refused until then.")));
  }
  while (!ClockIsPast(seen)) {
    long ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), seen) + 1;
    WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms, PG_WAIT_EXTENSION);
    ResetLatch(MyLatch);
    CHECK_FOR_INTERRUPTS();
  }
}

namespace {

// Somebody makes sites equal again that strategy error or skip has left different.
bool Overrules(const TableRules& rules) {
  return (rules.strategy == Strategy::kError || rules.strategy == Strategy::kSkip) &&
         strcmp(GetConfigOption("pgquorum.overrule_conflicts", false, false), "on") == 0;
}

// The receiving sites know what this one wrote itself. What it overwrites of others it has to say,
// so that they can tell a conflict from an ordinary change.
void NoteOverwritten(Oid relation, const bytea* key, const RowStamp& stamp, const TableRules& rules,
                     bool insert) {
  bool known = stamp.own_transaction || stamp.time == 0;
  if (!known) {
    WaitForClock(stamp.time);
  }
  bool overrules = Overrules(rules);
  if ((!known && stamp.site != 0) || overrules) {
    static RowNote note;  // an error leaves this frame by a jump
    note.relation = relation;
    note.key = KeyHash(key);
    note.insert = insert;
    // Its own time stands for everything that is older.
    note.known.base = overrules ? PendingStamp({SiteId(rules.own_site), 1})
                                : StampHere(stamp, stamp.site, Stamp());
    LogNote(note);
  }
}

void RefuseKeyUpdate(Relation relation) {
  ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                  errmsg("the key of a row of replicated table \"%s\" cannot be changed",
                         RelationGetRelationName(relation)),
                  errhint("Delete the row and insert another.")));
}

// The others would not be told values that are stored out of line.
void RefuseIdentity(Relation relation) {
  ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                  errmsg("replicated table \"%s\" does not have replica identity FULL",
                         RelationGetRelationName(relation)),
                  errhint("ALTER TABLE … REPLICA IDENTITY FULL;")));
}

bool SameBytes(const bytea* a, const bytea* b) {
  return VARSIZE(a) == VARSIZE(b) && memcmp(a, b, VARSIZE(a)) == 0;
}

}  // namespace

HeapTuple GuardRow(TriggerData* data) {
  Relation relation = data->tg_relation;
  Oid id = RelationGetRelid(relation);
  if (relation->rd_rel->relreplident != REPLICA_IDENTITY_FULL) {
    RefuseIdentity(relation);
  }
  Key key = KeyOf(relation);
  bytea* bytes = KeyBytes(relation, key, data->tg_trigtuple);
  if (TRIGGER_FIRED_BY_UPDATE(data->tg_event) &&
      !SameBytes(bytes, KeyBytes(relation, key, data->tg_newtuple))) {
    RefuseKeyUpdate(relation);
  }
  HeapTuple row = TRIGGER_FIRED_BY_UPDATE(data->tg_event) ? data->tg_newtuple : data->tg_trigtuple;
  const TableRules* rules = RulesOf(relation);
  if (rules == nullptr) {
    return row;  // disabled while the statement runs
  }
  NoteReplicatedWrite();
  if (rules->keeps_state) {
    GuardKept(data, *rules, bytes);
    return row;
  }
  if (TRIGGER_FIRED_BY_INSERT(data->tg_event)) {
    RowStamp stamp = {};
    FindTombstone(rules->root, bytes, &stamp);
    NoteOverwritten(id, bytes, stamp, *rules, true);
    return row;
  }
  NoteOverwritten(id, bytes, StampOf(HeapTupleHeaderGetRawXmin(data->tg_trigtuple->t_data)), *rules,
                  false);
  if (TRIGGER_FIRED_BY_DELETE(data->tg_event)) {
    PutTombstone(rules->root, bytes);
  }
  return row;
}

}  // namespace pgquorum::replication::server

PGQUORUM_FUNCTION(pgquorum_replication_guard) {
  using namespace pgquorum::replication::server;
  if (!CALLED_AS_TRIGGER(fcinfo)) {
    ereport(ERROR, (errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
                    errmsg("the guard of replicated tables is a trigger function")));
  }
  auto* data = reinterpret_cast<TriggerData*>(fcinfo->context);
  if (TRIGGER_FIRED_BY_TRUNCATE(data->tg_event)) {
    GuardTruncate(data->tg_relation);
    return PointerGetDatum(nullptr);
  }
  return PointerGetDatum(GuardRow(data));
}
