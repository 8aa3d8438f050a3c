#include "bgworkers/replication/server/apply_kept.h"

#include <string>
#include <vector>

#include "bgworkers/replication/core/conflict/by_stamp.h"
#include "bgworkers/replication/core/conflict/kept.h"

extern "C" {
#include "access/xact.h"
#include "nodes/lockoptions.h"
#include "utils/snapmgr.h"
}

#include "bgworkers/replication/server/apply_log.h"
#include "bgworkers/replication/server/execution.h"
#include "bgworkers/replication/server/kept_rows.h"
#include "extension/pg/boundary.h"

namespace pgquorum::replication::server {

namespace {

// Outlives errors; one row at a time.
struct ApplyWork {
  Kept kept;
  TableRow here;
  TableRow incoming;  // the row as it came, by this site's columns
  TableRow result;
  RowState local;
  Change change;
  Decision decision;
  std::string bytes;
  crdt::FoldTable folds;
};

struct ApplyFacts {
  const ApplyContext* context;
  const TableRules* rules;
  const RelationRecord* remote;
  const RowRecord* row;
  const AttrNumber* numbers;  // of the remote columns, here
  int columns;
  bool kept;
  bool live;
  bool whole;  // columns of several writes do not fit together: the newest as a whole
};

TablePolicy PolicyOf(const ApplyFacts& facts) {
  TablePolicy policy = PolicyOf(*facts.rules, facts.columns);
  if (facts.whole) {
    policy.check = [](const Image&) { return false; };
  }
  return policy;
}

std::vector<Mark> MarksOf(const ApplyFacts& facts, std::size_t places) {
  const Stamp& stamp = facts.context->stamp;
  std::vector<Mark> marks(places, {stamp, DotOf(stamp)});
  const std::vector<Stamp>& known = facts.row->known.marks;
  for (std::size_t i = 0; i < known.size() && i < facts.remote->columns.size(); ++i) {
    marks[static_cast<std::size_t>(facts.numbers[i]) - 1] = {known[i], DotOf(known[i])};
  }
  return marks;
}

Change ChangeOf(ApplyWork& work, const ApplyFacts& facts, const RowShape& shape) {
  const Stamp& stamp = facts.context->stamp;
  const Knowledge& known = facts.row->known;
  Change change;
  change.operation = facts.row->operation;
  Version& version = change.version;
  version.stamp = stamp;
  version.dot = DotOf(stamp);
  version.deleted = change.operation == Operation::kDelete;
  if (shape.by_causality) {
    version.seen = known.seen;
    // A writer knows what its site wrote before.
    version.seen.Raise(stamp.origin, stamp.hlc.value() - 1);
  }
  if (!version.deleted) {
    version.image = work.incoming.image;
    change.merging = {known.life, work.incoming.merging};
    if (shape.column_level) {
      version.marks = MarksOf(facts, shape.columns);
    }
  }
  return change;
}

Status Decided(ApplyWork& work, const ApplyFacts& facts) {
  TablePolicy policy = PolicyOf(facts);
  RowShape shape = policy.shape();
  Surroundings around{policy, Stamp(), work.folds, StableLine()};
  Result<RowState> local =
      Load(facts.kept ? &work.kept : nullptr, facts.live ? &work.here : nullptr, around);
  if (!local.ok()) {
    return local.status();
  }
  work.local = std::move(local).value();
  work.change = ChangeOf(work, facts, shape);
  Supersede(work.local, work.change, shape);
  if (!shape.by_causality) {
    work.change.base =
        KnownToWriter(HighestStamp(work.local), facts.row->known.base, facts.context->stamp);
  }
  Result<Decision> decision = Decide(work.local, work.change, around);
  if (!decision.ok()) {
    return decision.status();
  }
  work.decision = std::move(decision).value();
  return Status::Ok();
}

// Whether the table's row says what it should already.
bool IsSame(const ApplyWork& work, bool live) {
  return live && work.decision.row.live && work.here.image == work.decision.row.image &&
         work.here.merging == work.decision.after.merging.values;
}

Result<bool> StateToKeep(ApplyWork& work, const ApplyFacts& facts) {
  TablePolicy policy = PolicyOf(facts);
  Surroundings around{policy, Stamp(), work.folds, StableLine()};
  Result<std::optional<std::string>> bytes =
      ToKeep(facts.kept ? &work.kept : nullptr, work.decision.after,
             work.decision.row.live ? &work.result : nullptr, around);
  if (!bytes.ok()) {
    return bytes.status();
  }
  bool needed = bytes.value().has_value();
  work.bytes = std::move(bytes).value().value_or("");
  return needed;
}

Datum MergedDatum(const std::string& bytes) {
  auto* value = static_cast<varlena*>(palloc(VARHDRSZ + bytes.size()));
  SET_VARSIZE(value, VARHDRSZ + bytes.size());
  memcpy(VARDATA(value), bytes.data(), bytes.size());
  return PointerGetDatum(value);
}

// The presented row: columns of the one that came, of the one that is here, or of another version.
void FillResult(const ApplyWork& work, const TableRules& rules, Relation relation, bool live,
                Execution& run) {
  TupleDesc descriptor = RelationGetDescr(relation);
  const Decision& decision = work.decision;
  bool removal = work.change.version.deleted;
  for (int i = 0; i < descriptor->natts; ++i) {
    auto place = static_cast<std::size_t>(i);
    Datum& value = run.remote->tts_values[i];
    bool& is_null = run.remote->tts_isnull[i];
    if (rules.Merges(static_cast<AttrNumber>(i + 1))) {
      const std::vector<std::string>& merged = decision.after.merging.values;
      is_null = place >= merged.size() || merged[place].empty();
      value = is_null ? 0 : MergedDatum(merged[place]);
      continue;
    }
    const Value& wanted = decision.row.image[place];
    if (!removal && wanted == work.change.version.image[place]) {
      continue;
    }
    if (live && wanted == work.here.image[place]) {
      value = run.local->tts_values[i];
      is_null = run.local->tts_isnull[i];
      continue;
    }
    is_null = wanted.kind != Value::Kind::kData;
    value = is_null ? 0 : FromText(relation, static_cast<AttrNumber>(i + 1), wanted.data.c_str());
  }
}

void Find(const Key& key, Relation relation, Oid root, bytea* bytes, Execution& run, KeptRow& kept,
          bool& live) {
  live =
      RelationFindReplTupleByIndex(relation, key.index, LockTupleExclusive, run.remote, run.local);
  kept = FindKept(root, bytes);
  if (!live && kept.found) {
    // Whoever inserts the row meanwhile has to know what is kept, or wait.
    kept = LockKept(root, bytes);
    live = RelationFindReplTupleByIndex(relation, key.index, LockTupleExclusive, run.remote,
                                        run.local);
  }
}

// A conflict in which nothing was lost is no news: counters that count at several sites.
bool IsLoss(const ApplyWork& work, bool live) {
  if (work.decision.conflict == ConflictKind::kNone) {
    return false;
  }
  return !live || work.change.version.deleted || work.here.image != work.change.version.image;
}

// Merging columns merge as a matter of course: the plain ones say what became of the change.
Outcome OutcomeOf(const ApplyWork& work, Strategy strategy, bool live) {
  const Presented& row = work.decision.row;
  if (strategy == Strategy::kMultiValue && !row.others.empty()) {
    return Outcome::kKeptBoth;
  }
  if (work.change.version.deleted || !row.live) {
    return work.change.version.deleted == !row.live ? Outcome::kApplied : Outcome::kSkipped;
  }
  if (row.image == work.change.version.image) {
    return Outcome::kApplied;
  }
  return live && row.image == work.here.image ? Outcome::kSkipped : Outcome::kMerged;
}

void LogIt(const ApplyFacts& facts, const ApplyWork& work, TupleTableSlot* local) {
  StampedRow known;
  known.live = facts.live;
  (known.live ? known.written : known.deleted) = HighestStamp(work.local);
  StampVerdict verdict;
  verdict.conflict = work.decision.conflict;
  verdict.outcome = OutcomeOf(work, facts.rules->strategy, facts.live);
  LogConflict(*facts.context, *facts.remote, *facts.row, known, verdict, facts.rules->strategy,
              facts.live ? local : nullptr);
}

// `run.remote` is the row to write afterwards, when there is to be one.
void DecideRow(ApplyWork& work, ApplyFacts& facts, Relation relation, Execution& run) {
  pg::Boundary([&] { return Decided(work, facts); });
  if (!work.decision.row.live) {
    return;
  }
  FillResult(work, *facts.rules, relation, facts.live, run);
  if (facts.rules->column_level && !SatisfiesChecks(run, run.remote)) {
    facts.whole = true;
    pg::Boundary([&] { return Decided(work, facts); });
    FillSlot(*facts.remote, *facts.row, relation, run.remote);
    FillResult(work, *facts.rules, relation, facts.live, run);
  }
}

}  // namespace

RowOutcome ApplyKeptRow(const ApplyContext& context, const TableRules& rules, const Key& key,
                        Relation relation, const RelationRecord& remote, const RowRecord& row) {
  static ApplyWork* const work = new ApplyWork;
  TupleDesc descriptor = RelationGetDescr(relation);
  PushActiveSnapshot(GetTransactionSnapshot());
  Execution run = BeginExecution(relation);
  FillSlot(remote, row, relation, run.remote);
  auto* numbers = static_cast<AttrNumber*>(palloc(sizeof(AttrNumber) * remote.columns.size()));
  for (std::size_t i = 0; i < remote.columns.size(); ++i) {
    numbers[i] = LocalColumn(remote, i, relation);
  }
  bytea* bytes = KeyBytes(relation, key, run.remote->tts_values);
  KeptRow kept = {};
  bool live = false;
  Find(key, relation, rules.root, bytes, run, kept, live);
  if (kept.found) {
    Stamp author = StampHere(StampOf(kept.author), context.own_site, context.stamp);
    pg::Boundary([&] {
      work->kept = {kept.writer, author,
                    std::string(VARDATA(kept.state), VARSIZE(kept.state) - VARHDRSZ)};
    });
  }
  if (live) {
    bool is_null = false;
    work->here.writer = DatumGetTransactionId(
        slot_getsysattr(run.local, MinTransactionIdAttributeNumber, &is_null));
    work->here.stamp = StampHere(StampOf(work->here.writer), context.own_site, context.stamp);
    slot_getallattrs(run.local);
    TakeRow(rules, descriptor, run.local->tts_values, run.local->tts_isnull, true, work->here);
  }
  TakeRow(rules, descriptor, run.remote->tts_values, run.remote->tts_isnull, true, work->incoming);
  ApplyFacts facts = {&context,          &rules,     &remote, &row, numbers,
                      descriptor->natts, kept.found, live,    false};
  DecideRow(*work, facts, relation, run);

  bool conflict = IsLoss(*work, live);
  if (conflict) {
    LogIt(facts, *work, run.local);
  }
  bool same = IsSame(*work, live);
  bool shown = work->decision.row.live;
  TransactionId writer = !shown ? InvalidTransactionId
                         : same ? work->here.writer
                                : GetCurrentTransactionId();
  pg::Boundary([&] {
    work->result = {writer, same ? work->here.stamp : context.stamp, work->decision.row.image,
                    work->decision.after.merging.values};
  });
  if (pg::Boundary([&] { return StateToKeep(*work, facts); })) {
    PutKept(kept, rules.root, bytes, writer, work->bytes);
  }
  if (shown && !same) {
    Execute(live ? TableAction::kUpdate : TableAction::kInsert, run);
  } else if (live && !shown) {
    Execute(TableAction::kDelete, run);
  }
  EndExecution(run);
  PopActiveSnapshot();
  return {conflict, {}};
}

}  // namespace pgquorum::replication::server
