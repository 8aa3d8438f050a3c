#include "bgworkers/replication/core/conflict/decide.h"

#include <algorithm>

#include "base/check.h"
#include "bgworkers/replication/core/bug.h"
#include "bgworkers/replication/core/errors.h"

#include "base/pure.h"

namespace pgquorum::replication {
namespace {

// Puts the values that decoding did not see into the image, where it is certain what they are:
// this site has the version of the row, or of the column, that the writer had.
bool FillUnchanged(const RowState& local, const RowShape& shape, Change& change) {
  Version& version = change.version;
  const Version* same = nullptr;
  if (local.newest && change.base == local.newest->stamp) {
    same = &*local.newest;
  }
  for (const Version& mine : local.versions) {
    same = change.base == mine.stamp ? &mine : same;
  }
  for (std::size_t i = 0; i < version.image.size(); ++i) {
    if (version.image[i].kind != Value::Kind::kUnchanged) {
      continue;
    }
    bool by_mark = shape.column_level && !shape.by_causality && i < local.marks.size() &&
                   i < version.marks.size() && local.marks[i] == version.marks[i];
    if (by_mark) {
      version.image[i] = local.columns[i];
    } else if (same != nullptr && i < same->image.size()) {
      version.image[i] = same->image[i];
    } else {
      return false;
    }
  }
  return true;
}

// Whether the state holds a write that the writer of the change did not know.
bool Concurrent(const RowState& local, const Change& change, const RowShape& shape) {
  if (shape.by_causality) {
    return !local.seen.Covers(change.version.dot) &&
           std::any_of(local.versions.begin(), local.versions.end(), [&](const Version& mine) {
             return !Knew(change.version, mine.dot, mine.stamp);
           });
  }
  Stamp known = change.base.value_or(change.version.stamp);
  Stamp mine = HighestStamp(local);
  return mine > known && mine != change.version.stamp && mine.hlc > change.version.floor;
}

ConflictKind KindOf(const RowState& local, const Presented& row, const Change& change,
                    const Surroundings& around) {
  bool unseen_truncate = around.truncated > change.base.value_or(change.version.stamp) &&
                         around.truncated > change.version.stamp;
  if (unseen_truncate && change.operation != Operation::kDelete) {
    return ConflictKind::kTruncated;
  }
  if (!Concurrent(local, change, around.policy.shape())) {
    return ConflictKind::kNone;
  }
  switch (change.operation) {
    case Operation::kInsert:
      return row.live ? ConflictKind::kInsertInsert : ConflictKind::kUpdateDeleted;
    case Operation::kUpdate:
      return row.live ? ConflictKind::kUpdateUpdate : ConflictKind::kUpdateDeleted;
    case Operation::kDelete:
      return row.live ? ConflictKind::kDeleteUpdated : ConflictKind::kNone;
  }
  return ConflictKind::kNone;
}

TableAction ActionBetween(const Presented& before, const Presented& after, bool merging_changed) {
  if (before.live != after.live) {
    return after.live ? TableAction::kInsert : TableAction::kDelete;
  }
  bool changed = before.image != after.image || merging_changed;
  return after.live && changed ? TableAction::kUpdate : TableAction::kNone;
}

Outcome OutcomeOf(const Decision& decision, const Change& change) {
  const Presented& row = decision.row;
  if (!row.others.empty()) {
    return Outcome::kKeptBoth;
  }
  bool deletion = change.operation == Operation::kDelete;
  if (row.live != !deletion) {
    return Outcome::kSkipped;
  }
  if (!row.live) {
    return Outcome::kApplied;
  }
  bool plain = row.image == change.version.image;
  bool merging = decision.after.merging.values == change.merging.values;
  if (plain && merging) {
    return Outcome::kApplied;
  }
  return row.stamp == change.version.stamp || decision.action != TableAction::kNone
             ? Outcome::kMerged
             : Outcome::kSkipped;
}

// The life that an insert here begins where there is no row: after the newest deletion that this
// site knows, and after versions that a deletion has been preferred to.
Stamp LifeAfter(const RowState& local, const Stamp& truncated) {
  Stamp life = std::max(local.merging.life, truncated);
  bool hidden = false;
  if (local.deleted) {
    life = std::max(life, local.deleted->stamp);
  }
  for (const Version& version : local.versions) {
    life = std::max(life, version.stamp);
    hidden = hidden || !version.deleted;
  }
  if (hidden && life == local.merging.life) {
    // Deleted and inserted by the transaction that wrote the hidden one. No transaction has this
    // stamp: a site that comes back anew has later readings.
    ++life.origin.incarnation;
  }
  return life;
}

}  // namespace

RowState StateOf(const Change& change, const RowShape& shape) {
  RowState state;
  const Version& version = change.version;
  state.merging = change.merging;
  state.merging.whole = !version.deleted && change.merging.life != version.stamp;
  if (shape.by_causality) {
    state.versions = {version};
    state.seen = version.seen;
    state.seen.Raise(version.dot);
    return state;
  }
  (version.deleted ? state.deleted : state.newest) = version;
  if (shape.column_level && !version.deleted) {
    state.columns = version.image;
    state.marks = version.marks;
  }
  return state;
}

Change Write(Operation operation, std::string key, const RowState& local, Image image,
             std::vector<std::string> merging, const Dot& dot, const Stamp& stamp,
             const Surroundings& around) {
  RowShape shape = around.policy.shape();
  Presented row = Present(local, around.policy, around.truncated);
  Change change;
  change.operation = operation;
  change.key = std::move(key);
  change.base = std::max(HighestStamp(local), around.truncated);
  Version& version = change.version;
  version.dot = dot;
  version.stamp = stamp;
  version.floor = around.stable;
  version.deleted = operation == Operation::kDelete;
  version.seen = shape.by_causality ? local.seen : VersionVector();
  if (row.live) {
    version.before = row.image;
  }
  if (version.deleted) {
    version.image = row.image;
    return change;
  }
  if (shape.column_level) {
    // A statement that saw one version in place of a merge that a CHECK refused has decided about
    // every column.
    bool all = operation == Operation::kInsert || !row.live || row.check_failed;
    for (std::size_t i = 0; i < image.size(); ++i) {
      bool kept = !all && (image[i] == row.image[i] || image[i].kind == Value::Kind::kUnchanged);
      version.marks.push_back(kept ? row.marks[i] : Mark{stamp, dot});
    }
  }
  for (std::size_t i = 0; i < image.size() && row.live; ++i) {
    // The old image has what the statement did not touch.
    if (image[i].kind == Value::Kind::kUnchanged) {
      image[i] = row.image[i];
    }
  }
  version.image = std::move(image);
  change.merging.values = std::move(merging);
  change.merging.life = row.live ? local.merging.life : LifeAfter(local, around.truncated);
  return change;
}

Result<std::pair<Change, Change>> WriteKeyUpdate(std::string old_key, const RowState& old_row,
                                                 std::string new_key, const RowState& new_row,
                                                 Image image, std::vector<std::string> merging,
                                                 const Dot& dot, const Stamp& stamp,
                                                 const Surroundings& around) {
  if (around.policy.key_update_rule == KeyUpdateRule::kForbid) {
    return Status::Error(kErrInvalidValue, "the key of a replicated row cannot be changed")
        .WithHint("Delete the row and insert another, or allow key updates for the table.");
  }
  Change removal =
      Write(Operation::kDelete, std::move(old_key), old_row, {}, {}, dot, stamp, around);
  Change insert = Write(Operation::kInsert, std::move(new_key), new_row, std::move(image),
                        std::move(merging), dot, stamp, around);
  return std::pair(std::move(removal), std::move(insert));
}

Result<Decision> Decide(const RowState& local, const Change& incoming, const Surroundings& around) {
  const TablePolicy& policy = around.policy;
  RowShape shape = policy.shape();
  Presented before = Present(local, policy, around.truncated);
  Change change = incoming;
  Decision decision;
  decision.after = local;
  decision.conflict = KindOf(local, before, change, around);
  std::optional<Strategy> single = policy.overrides[static_cast<std::size_t>(decision.conflict)];
  Strategy strategy = single.value_or(policy.strategy);
  bool conflict = decision.conflict != ConflictKind::kNone;
  if (conflict && (strategy == Strategy::kError || strategy == Strategy::kSkip)) {
    decision.outcome = strategy == Strategy::kError ? Outcome::kDeadLetter : Outcome::kSkipped;
    decision.row = before;
    return decision;
  }
  if (!change.version.deleted && !FillUnchanged(local, shape, change)) {
    decision.outcome = Outcome::kNeedsImage;
    decision.row = before;
    return decision;
  }
  if (PGQUORUM_REPLICATION_BUG(kUpdateBeforeInsertSkipped) && local.empty() &&
      change.operation == Operation::kUpdate) {
    decision.row = before;
    return decision;
  }
  Status joined = Join(decision.after, StateOf(change, shape), shape, around.folds);
  if (!joined.ok()) {
    return joined;
  }
  if (PGQUORUM_REPLICATION_BUG(kStampPoisoned) && decision.after.newest &&
      decision.after.merging != local.merging && decision.after.newest == local.newest) {
    decision.after.newest->stamp = change.version.stamp;
  }
  decision.row = Present(decision.after, policy, around.truncated);
  decision.action = ActionBetween(before, decision.row, decision.after.merging != local.merging);
  decision.outcome = OutcomeOf(decision, change);
  return decision;
}

}  // namespace pgquorum::replication
