#include "bgworkers/replication/core/conflict/row.h"

#include <algorithm>
#include <utility>

#include "bgworkers/replication/core/bug.h"
#include "bgworkers/replication/core/crdt/registry.h"

#include "base/pure.h"

namespace pgquorum::replication {
namespace {

// The newer of two; the same stamp is the same write, unless a damaged site made two of it.
bool Newer(const Version& a, const Version& b) {
  return a.stamp != b.stamp ? a.stamp > b.stamp : a.image > b.image;
}

void TakeNewer(std::optional<Version>& mine, const std::optional<Version>& theirs) {
  if (theirs && (!mine || Newer(*theirs, *mine))) {
    mine = theirs;
  }
}

void JoinColumns(RowState& state, const RowState& change) {
  if (state.marks.empty()) {
    state.columns = change.columns;
    state.marks = change.marks;
    return;
  }
  for (std::size_t i = 0; i < change.marks.size() && i < state.marks.size(); ++i) {
    const Mark& theirs = change.marks[i];
    Mark& mine = state.marks[i];
    bool newer = theirs.stamp != mine.stamp ? theirs.stamp > mine.stamp
                                            : change.columns[i] > state.columns[i];
    // An unchanged value is the one that its mark names: it replaces nothing.
    if (newer && change.columns[i].kind != Value::Kind::kUnchanged) {
      mine = theirs;
      state.columns[i] = change.columns[i];
    }
  }
}

// Whether one side has seen a version, be it there or replaced by what is there.
bool Seen(const RowState& side, const Version& version) {
  return side.seen.Covers(version.dot) ||
         std::any_of(side.versions.begin(), side.versions.end(),
                     [&](const Version& other) { return Knew(other, version.dot, version.stamp); });
}

void JoinVersions(RowState& state, const RowState& change) {
  std::vector<Version> joined;
  for (const Version& version : state.versions) {
    bool there = std::any_of(change.versions.begin(), change.versions.end(),
                             [&](const Version& other) { return other.dot == version.dot; });
    if (there || !Seen(change, version)) {
      joined.push_back(version);
    }
  }
  for (const Version& version : change.versions) {
    if (!Seen(state, version)) {
      joined.push_back(version);
    }
  }
  if (PGQUORUM_REPLICATION_BUG(kLosersDropped) && joined.size() > 1) {
    joined = {*std::min_element(joined.begin(), joined.end(),
                                [](const auto& a, const auto& b) { return a.stamp < b.stamp; })};
  }
  std::sort(joined.begin(), joined.end(),
            [](const Version& a, const Version& b) { return a.dot < b.dot; });
  state.versions = std::move(joined);
  state.seen.Merge(change.seen);
}

Status JoinMerging(Merging& mine, const Merging& theirs, const crdt::FoldTable& folds) {
  if (theirs.values.empty()) {
    return Status::Ok();
  }
  auto age = [](const Merging& values) { return std::pair(values.life, values.whole); };
  bool same = age(theirs) == age(mine) || PGQUORUM_REPLICATION_BUG(kLivesMixed);
  if (mine.values.empty() || (age(theirs) > age(mine) && !same)) {
    mine = theirs;
    return Status::Ok();
  }
  if (!same) {
    return Status::Ok();  // from a life that is over, or contained in what is here
  }
  for (std::size_t i = 0; i < mine.values.size() && i < theirs.values.size(); ++i) {
    if (mine.values[i].empty() || theirs.values[i].empty()) {
      // A null column has no state: the other side's stands.
      mine.values[i] += theirs.values[i];
      continue;
    }
    Result<std::string> merged = crdt::Merge(mine.values[i], theirs.values[i], folds);
    if (!merged.ok()) {
      return merged.status();
    }
    mine.values[i] = std::move(merged).value();
  }
  return Status::Ok();
}

}  // namespace

bool Knew(const Version& version, const Dot& dot, const Stamp& stamp) {
  return version.seen.Covers(dot) || stamp.hlc <= version.floor;
}

Status Join(RowState& state, const RowState& change, const RowShape& shape,
            const crdt::FoldTable& folds) {
  // The merging columns first: they are all that can fail, and they are joined even if the change
  // has lost everywhere else, since it carries its site's own contribution.
  if (shape.merging_columns > 0 && !PGQUORUM_REPLICATION_BUG(kLoserNotMerged)) {
    Status joined = JoinMerging(state.merging, change.merging, folds);
    if (!joined.ok()) {
      return joined;
    }
  } else if (shape.merging_columns > 0 && HighestStamp(change) > HighestStamp(state)) {
    state.merging = change.merging;
  }
  if (shape.by_causality) {
    JoinVersions(state, change);
    return Status::Ok();
  }
  TakeNewer(state.newest, change.newest);
  if (!PGQUORUM_REPLICATION_BUG(kNoTombstone)) {
    TakeNewer(state.deleted, change.deleted);
  } else if (change.deleted && state.newest && Newer(*change.deleted, *state.newest)) {
    state.newest.reset();
  }
  if (shape.column_level) {
    JoinColumns(state, change);
  }
  return Status::Ok();
}

Stamp HighestStamp(const RowState& state) {
  Stamp highest;
  if (state.newest) {
    highest = std::max(highest, state.newest->stamp);
  }
  if (state.deleted) {
    highest = std::max(highest, state.deleted->stamp);
  }
  for (const Version& version : state.versions) {
    highest = std::max(highest, version.stamp);
  }
  return highest;
}

bool Compact(RowState& state, const RowShape& shape, const Stamp& truncated, Hlc forgettable) {
  if (HighestStamp(state).hlc > forgettable) {
    return false;
  }
  if (std::max(HighestStamp(state), state.merging.life) <= truncated) {
    return true;  // the table remembers
  }
  bool live = state.newest && (!state.deleted || state.newest->stamp > state.deleted->stamp);
  Stamp life = state.merging.life;
  for (const Version& version : state.versions) {
    live = live || !version.deleted;
    life = version.deleted ? std::max(life, version.stamp) : life;
  }
  if (live) {
    if (shape.by_causality && state.versions.size() == 1) {
      // Whoever writes from now on has seen this version; nothing else is left to tell apart.
      Version& only = state.versions.front();
      only.seen = VersionVector();
      only.before.reset();
      state.seen = VersionVector();
      state.seen.Raise(only.dot);
    }
    return false;
  }
  life = state.deleted ? std::max(life, state.deleted->stamp) : life;
  state = RowState();
  state.merging.life = life;
  return shape.merging_columns == 0 || !life;
}

}  // namespace pgquorum::replication
