#include "bgworkers/replication/server/guard_kept.h"

#include <string>

#include "bgworkers/replication/core/change/record.h"
#include "bgworkers/replication/core/conflict/kept.h"

extern "C" {
#include "access/htup_details.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "nodes/lockoptions.h"
#include "replication/message.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
}

#include "bgworkers/replication/server/kept_rows.h"
#include "extension/pg/boundary.h"

namespace pgquorum::replication::server {

namespace {

// Outlives errors; one statement's row at a time.
struct GuardWork {
  RowState state;
  Kept kept;
  TableRow before;
  TableRow row;
  Change change;
  RowNote note;
  std::string bytes;
  crdt::FoldTable folds;
};

// The values that the statement has computed name the site that they were computed at.
void CheckWriter(Relation relation, const TableRules& rules) {
  const char* setting = GetConfigOption("pgquorum.crdt_site_id", false, false);
  if (rules.merging != nullptr && pg_strtoint32(setting) != rules.own_site) {
    ereport(ERROR,
            (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
             errmsg("this session writes replicated values as site %s, but this is site %u of the "
                    "group of table \"%s\"",
                    setting, rules.own_site, RelationGetRelationName(relation)),
             errhint("Reconnect: the database has its site id from the group. If that does not "
                     "help, somebody has set pgquorum.crdt_site_id for the role or the session.")));
  }
}

void RefuseNull(Relation relation, const TableRules& rules, HeapTuple old, HeapTuple row) {
  int column = -1;
  while ((column = bms_next_member(rules.merging, column)) >= 0) {
    if (heap_attisnull(row, column, RelationGetDescr(relation)) &&
        !heap_attisnull(old, column, RelationGetDescr(relation))) {
      ereport(ERROR,
              (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
               errmsg("replicated column \"%s\" of table \"%s\" cannot be set to null",
                      NameStr(TupleDescAttr(RelationGetDescr(relation), column - 1)->attname),
                      RelationGetRelationName(relation)),
               errdetail("A null has no state: what other sites have of the value would return."),
               errhint("Use crdt.reset() for a counter, crdt.set(…, NULL) for a register.")));
    }
  }
}

void TakeTuple(const TableRules& rules, Relation relation, HeapTuple tuple, TableRow& out) {
  TupleDesc descriptor = RelationGetDescr(relation);
  auto count = static_cast<Size>(descriptor->natts);
  auto* values = static_cast<Datum*>(palloc(sizeof(Datum) * count));
  auto* nulls = static_cast<bool*>(palloc(count));
  heap_deform_tuple(tuple, descriptor, values, nulls);
  int level = rules.column_level ? BeginPlainOutput() : 0;
  TakeRow(rules, descriptor, values, nulls, rules.column_level, out);
  if (rules.column_level) {
    EndPlainOutput(level);
  }
}

// INSERT … ON CONFLICT fires for a row that is there.
bool IsThere(Relation relation, const Key& key, HeapTuple wanted) {
  TupleTableSlot* search = MakeSingleTupleTableSlot(RelationGetDescr(relation), &TTSOpsHeapTuple);
  TupleTableSlot* found = table_slot_create(relation, nullptr);
  ExecStoreHeapTuple(wanted, search, false);
  slot_getallattrs(search);  // the search looks at the values only
  PushActiveSnapshot(GetLatestSnapshot());
  bool live = RelationFindReplTupleByIndex(relation, key.index, LockTupleKeyShare, search, found);
  PopActiveSnapshot();
  ExecDropSingleTupleTableSlot(search);
  ExecDropSingleTupleTableSlot(found);
  return live;
}

Stamp Mine(const TableRules& rules) {
  return PendingStamp({SiteId(rules.own_site), 1});
}

// What the decoder cannot see in the row.
Knowledge KnowledgeOf(const Change& change, const TableRules& rules) {
  Knowledge known;
  Stamp mine = Mine(rules);
  if (change.base && change.base->origin && change.base->origin != mine.origin) {
    known.base = change.base;
  }
  known.life = change.merging.life;
  known.seen = change.version.seen;
  bool all_mine = true;
  for (const Mark& mark : change.version.marks) {
    // A mark of nobody: the row is from before the table was replicated, and travels now.
    known.marks.push_back(mark.stamp.origin ? mark.stamp : mine);
    all_mine = all_mine && known.marks.back() == mine;
  }
  if (all_mine) {
    known.marks.clear();
  }
  return known;
}

struct GuardFacts {
  const TableRules* rules;
  Operation operation;
  bool kept;
  bool before;  // there is a row
  int columns;
};

Result<bool> Decided(GuardWork& work, const GuardFacts& facts) {
  const TableRules& rules = *facts.rules;
  TablePolicy policy = PolicyOf(rules, facts.columns);
  Surroundings around{policy, Stamp(), work.folds, StableLine()};
  const Kept* kept = facts.kept ? &work.kept : nullptr;
  Result<RowState> state = Load(kept, facts.before ? &work.before : nullptr, around);
  if (!state.ok()) {
    return state.status();
  }
  work.state = std::move(state).value();
  if (rules.column_level && facts.before &&
      Present(work.state, policy, Stamp()).image != work.before.image) {
    // A CHECK has refused the merge of columns; what the statement saw is one write as a whole.
    policy.check = [](const Image&) { return false; };
  }
  Stamp mine = Mine(rules);
  work.change = Write(facts.operation, "", work.state, work.row.image, work.row.merging,
                      DotOf(mine), mine, around);
  work.change.version.before.reset();
  work.note.known = KnowledgeOf(work.change, rules);
  EncodeNote(work.note, work.bytes);
  return !work.note.known.empty();
}

// The bytes to keep are in `work.bytes` afterwards, if any.
Result<bool> StateToKeep(GuardWork& work, const GuardFacts& facts) {
  const Kept* kept = facts.kept ? &work.kept : nullptr;
  TablePolicy policy = PolicyOf(*facts.rules, facts.columns);
  RowShape shape = policy.shape();
  if (!MustKeep(facts.operation, kept, shape)) {
    return false;
  }
  Surroundings around{policy, Stamp(), work.folds, StableLine()};
  Supersede(work.state, work.change, shape);
  Status joined = Join(work.state, StateOf(work.change, shape), shape, work.folds);
  if (!joined.ok()) {
    return joined;
  }
  const TableRow* row = facts.operation == Operation::kDelete ? nullptr : &work.row;
  Result<std::optional<std::string>> bytes = ToKeep(kept, work.state, row, around);
  if (!bytes.ok()) {
    return bytes.status();
  }
  bool needed = bytes.value().has_value();
  work.bytes = std::move(bytes).value().value_or("");
  return needed;
}

Operation OperationOf(const TriggerData* data) {
  return TRIGGER_FIRED_BY_INSERT(data->tg_event)   ? Operation::kInsert
         : TRIGGER_FIRED_BY_DELETE(data->tg_event) ? Operation::kDelete
                                                   : Operation::kUpdate;
}

}  // namespace

void LogNote(const RowNote& note) {
  static std::string bytes;
  pg::Boundary([&] { EncodeNote(note, bytes); });
  LogLogicalMessage(kMessagePrefix, bytes.data(), bytes.size(), true);
}

void GuardKept(const TriggerData* data, const TableRules& rules, bytea* key) {
  static GuardWork* const work = new GuardWork;
  Relation relation = data->tg_relation;
  GuardFacts facts = {&rules, OperationOf(data), false, false, RelationGetDescr(relation)->natts};
  bool removal = facts.operation == Operation::kDelete;
  bool insert = facts.operation == Operation::kInsert;
  if (!removal) {
    CheckWriter(relation, rules);
  }
  HeapTuple after = facts.operation == Operation::kUpdate ? data->tg_newtuple : data->tg_trigtuple;
  KeptRow kept = insert ? LockKept(rules.root, key) : FindKept(rules.root, key);
  if (insert && (!kept.found || IsThere(relation, KeyOf(relation), after))) {
    return;  // the row will say it all, or there will be none
  }
  Stamp mine = Mine(rules);
  TransactionId writer = GetCurrentTransactionId();
  work->note.relation = RelationGetRelid(relation);
  work->note.key = KeyHash(key);
  work->note.insert = insert;
  facts.kept = kept.found;
  facts.before = !insert;
  if (kept.found) {
    Stamp author = StampHere(StampOf(kept.author), rules.own_site, mine);
    pg::Boundary([&] {
      work->kept = {kept.writer, author,
                    std::string(VARDATA(kept.state), VARSIZE(kept.state) - VARHDRSZ)};
    });
  }
  if (!insert) {
    HeapTuple before = data->tg_trigtuple;
    if (!removal) {
      RefuseNull(relation, rules, before, after);
    }
    work->before.writer = HeapTupleHeaderGetRawXmin(before->t_data);
    work->before.stamp = StampHere(StampOf(work->before.writer), rules.own_site, mine);
    TakeTuple(rules, relation, before, work->before);
  }
  work->row.writer = writer;
  work->row.stamp = mine;
  TakeTuple(rules, relation, after, work->row);
  bool note = pg::Boundary([&] { return Decided(*work, facts); });
  Stamp seen = HighestStamp(work->state);
  if (!IsPending(seen)) {
    WaitForClock(static_cast<TimestampTz>(seen.hlc.value()));
  }
  if (note) {
    LogLogicalMessage(kMessagePrefix, work->bytes.data(), work->bytes.size(), true);
  }
  if (pg::Boundary([&] { return StateToKeep(*work, facts); })) {
    PutKept(kept, rules.root, key, removal ? InvalidTransactionId : writer, work->bytes);
  }
}

}  // namespace pgquorum::replication::server
