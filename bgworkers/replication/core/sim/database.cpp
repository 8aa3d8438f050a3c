#include "bgworkers/replication/core/sim/database.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "bgworkers/replication/core/bug.h"
#include "bgworkers/replication/core/crdt/counter.h"
#include "bgworkers/replication/core/crdt/registers.h"
#include "bgworkers/replication/core/crdt/registry.h"
#include "bgworkers/replication/core/crdt/sets.h"

#include "base/pure.h"

namespace pgquorum::replication::sim {
namespace {

const RowState kNoState;

Value Parse(const std::string& text) {
  if (text == "null") {
    return Value::Null();
  }
  return text == "~" ? Value::Unchanged() : Value::Of(text);
}

std::string Print(const Value& value) {
  switch (value.kind) {
    case Value::Kind::kNull:
      return "null";
    case Value::Kind::kUnchanged:
      return "~";
    case Value::Kind::kData:
      return value.data;
  }
  return "";
}

std::string PrintMerging(crdt::Type type, const std::string& bytes) {
  std::string text;
  auto list = [&](std::string_view element) {
    text += (text.empty() ? "" : ",") + std::string(element);
  };
  if (type == crdt::Type::kOrSet) {
    crdt::OrSet set = crdt::OrSet::Decode(bytes).value();
    for (const auto& element : set.elements()) {
      list(element.value);
    }
    return '{' + text + '}';
  }
  if (type == crdt::Type::kMvRegister) {
    crdt::MvRegister value = crdt::MvRegister::Decode(bytes).value();
    for (const auto& version : value.versions()) {
      list(version.value.value_or("null"));
    }
    return '[' + text + ']';
  }
  Result<int64_t> value = crdt::Counter::Decode(type, bytes).value().Value();
  return value.ok() ? std::to_string(value.value()) : "out of range";
}

std::string ChangeOne(crdt::Type type, const std::string& bytes, const std::string& word, bool add,
                      const Dot& dot) {
  Status done;
  if (type == crdt::Type::kOrSet) {
    crdt::OrSet set = crdt::OrSet::Decode(bytes).value();
    if (add) {
      done = set.Add(word, dot);
    } else {
      set.Remove(word);
    }
    PGQUORUM_CHECK(done.ok());
    return crdt::Encode(set);
  }
  if (type == crdt::Type::kMvRegister) {
    crdt::MvRegister value = crdt::MvRegister::Decode(bytes).value();
    done = value.Assign(dot, word);
    PGQUORUM_CHECK(done.ok());
    return crdt::Encode(value);
  }
  crdt::Counter counter = crdt::Counter::Decode(type, bytes).value();
  done = word == "reset" ? counter.Reset() : counter.Add(dot.origin, std::stoll(word));
  PGQUORUM_CHECK(done.ok());
  return crdt::Encode(counter);
}

std::size_t IndexOf(const std::vector<std::string>& names, const std::string& name) {
  auto found = std::find(names.begin(), names.end(), name);
  PGQUORUM_CHECK(found != names.end());
  return static_cast<std::size_t>(found - names.begin());
}

}  // namespace

Database::Database(std::vector<TableModel> tables) {
  for (TableModel& model : tables) {
    model.policy.columns = model.columns.size();
    model.policy.merging_columns = model.merging_columns.size();
    PGQUORUM_CHECK(model.policy.Validate().ok());
    order_.push_back(model.name);
    Table table;
    table.model = std::move(model);
    tables_.emplace(order_.back(), std::move(table));
  }
}

const RowState& Database::StateAt(const Table& table, const std::string& key) {
  auto found = table.rows.find(key);
  return found == table.rows.end() ? kNoState : found->second;
}

std::vector<std::string> Database::ChangeMerging(const Table& table, const RowState& state,
                                                 bool fresh, const Statement& statement,
                                                 const Dot& dot, const Stamp& stamp,
                                                 uint64_t& sequence) const {
  (void)stamp;
  const TableModel& model = table.model;
  std::vector<std::string> values = fresh ? std::vector<std::string>() : state.merging.values;
  values.resize(model.types.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] =
        values[i].empty() ? crdt::Empty(model.types[i]) : crdt::Fold(values[i], folds_).value();
  }
  for (const auto* words : {&statement.add, &statement.remove}) {
    for (const auto& [name, word] : *words) {
      std::size_t i = IndexOf(model.merging_columns, name);
      bool add = words == &statement.add;
      values[i] = ChangeOne(model.types[i], values[i], word, add, {dot.origin, ++sequence});
    }
  }
  return values;
}

std::vector<Effect> Database::Run(const Statement& statement, const Dot& dot, const Stamp& stamp,
                                  uint64_t& sequence) {
  Table& table = tables_.at(statement.table);
  if (statement.kind == Statement::Kind::kTruncate) {
    Effect effect{statement.table, std::nullopt, stamp};
    Apply(effect);
    return {effect};
  }
  const RowState& state = StateAt(table, statement.key);
  Surroundings around = Around(table);
  bool live = Live(statement.table, statement.key);
  if (live == (statement.kind == Statement::Kind::kInsert)) {
    return {};
  }
  Image image = live ? Present(state, around.policy, around.truncated).image : Image();
  image.resize(table.model.columns.size());
  for (const auto& [name, text] : statement.assign) {
    image[IndexOf(table.model.columns, name)] = Parse(text);
  }
  std::vector<std::string> merging;
  bool fresh = statement.kind == Statement::Kind::kInsert ||
               !Present(state, around.policy, around.truncated).live;
  if (statement.kind != Statement::Kind::kDelete) {
    merging = ChangeMerging(table, state, fresh, statement, dot, stamp, sequence);
  }
  std::vector<Change> changes;
  if (statement.kind == Statement::Kind::kRekey) {
    if (Live(statement.table, statement.new_key)) {
      return {};
    }
    auto both =
        WriteKeyUpdate(statement.key, state, statement.new_key, StateAt(table, statement.new_key),
                       image, merging, dot, stamp, around);
    if (!both.ok()) {
      return {};
    }
    changes = {both.value().first, both.value().second};
    if (PGQUORUM_REPLICATION_BUG(kOldKeyKept)) {
      changes = {both.value().second};
    }
  } else {
    Operation operation = statement.kind == Statement::Kind::kInsert   ? Operation::kInsert
                          : statement.kind == Statement::Kind::kUpdate ? Operation::kUpdate
                                                                       : Operation::kDelete;
    changes = {Write(operation, statement.key, state, image, merging, dot, stamp, around)};
  }
  std::vector<Effect> effects;
  for (Change& change : changes) {
    effects.push_back({statement.table, std::move(change), Stamp()});
    Apply(effects.back());
  }
  return effects;
}

// The promise of Compact: no change that comes later can meet what it has forgotten.
void Database::CheckLate(const Table& table, const Change& change) {
  auto found = forgotten_.find({table.model.name, change.key});
  if (found == forgotten_.end()) {
    return;
  }
  for (const Forgotten& one : found->second) {
    bool late = table.model.policy.shape().by_causality ? !Knew(change.version, one.dot, one.stamp)
                                                        : change.version.stamp <= one.stamp;
    if (late && broken_.empty()) {
      broken_ = table.model.name + " " + change.key + ": " + change.version.dot.ToString() +
                " has not seen " + one.dot.ToString() + ", which is forgotten";
    }
  }
}

void Database::Put(Table& table, const std::string& key, const Change& change, Decision* decision) {
  CheckLate(table, change);
  highest_ = std::max(highest_, change.version.stamp);
  Result<Decision> decided = Decide(StateAt(table, key), change, Around(table));
  PGQUORUM_CHECK(decided.ok());
  // It is there, or somebody's who has seen it.
  if (HighestStamp(decided.value().after) < change.version.stamp && broken_.empty()) {
    broken_ = table.model.name + " " + key + ": " + change.version.dot.ToString() +
              " was applied and has left nothing behind";
  }
  table.rows[key] = decided.value().after;
  if (decision != nullptr) {
    *decision = decided.value();
    decision->row.others.clear();  // pointed into what was moved
  }
}

void Database::Apply(const Effect& effect, Decision* decision) {
  Table& table = tables_.at(effect.table);
  if (effect.change) {
    Put(table, effect.change->key, *effect.change, decision);
    return;
  }
  highest_ = std::max(highest_, effect.truncated);
  table.truncated = std::max(table.truncated, effect.truncated);
  if (PGQUORUM_REPLICATION_BUG(kTruncateForgotten)) {
    std::erase_if(table.rows,
                  [&](const auto& row) { return HighestStamp(row.second) < effect.truncated; });
  }
}

Database::Rows Database::LiveRows(const Table& table) const {
  Rows rows;
  for (const auto& [key, state] : table.rows) {
    Presented row = Present(state, table.model.policy, table.truncated);
    if (row.live) {
      rows[key] = {row.image, row.stamp, &state};
    }
  }
  return rows;
}

void Database::ShowParents(std::map<std::string, Rows>& shown) const {
  for (auto name = order_.rbegin(); name != order_.rend(); ++name) {
    const Table& table = tables_.at(*name);
    if (!table.model.reference || table.model.policy.orphan_rule != OrphanRule::kReviveParent) {
      continue;
    }
    const Table& parents = tables_.at(table.model.reference->parent);
    Rows& there = shown[table.model.reference->parent];
    for (const auto& [key, row] : shown[*name]) {
      const Value& reference = row.image[table.model.reference->column];
      const RowState& parent = StateAt(parents, reference.data);
      bool wanted = reference.kind == Value::Kind::kData && !there.contains(reference.data);
      if (wanted &&
          DecideOrphan(false, &parent, OrphanRule::kReviveParent) == OrphanAction::kShowParent) {
        there[reference.data] = {*LastImage(parent), HighestStamp(parent), &parent};
      }
    }
  }
}

void Database::DisplaceDuplicates(const Table& table, Rows& rows) const {
  std::vector<UniqueClaims> claims;
  for (const auto& [key, row] : rows) {
    UniqueClaims claim{key, row.stamp, {}};
    for (std::size_t column : table.model.unique_columns) {
      const Value& value = row.image[column];
      claim.values.push_back(value.kind == Value::Kind::kData ? std::optional(value.data)
                                                              : std::nullopt);
    }
    claims.push_back(std::move(claim));
  }
  for (const UniqueLoss& loss : DecideUnique(claims, table.model.policy.unique_rule)) {
    auto row = rows.find(claims[loss.loser].key);
    if (table.model.policy.unique_rule == UniqueRule::kDisplace) {
      if (row != rows.end()) {
        rows.erase(row);
      }
    } else {
      Value& value = row->second.image[table.model.unique_columns[loss.constraint]];
      value = loss.new_value ? Value::Of(*loss.new_value) : Value::Null();
    }
  }
}

void Database::MendOrphans(const Table& table, std::map<std::string, Rows>& shown) const {
  if (!table.model.reference) {
    return;
  }
  const Rows& parents = shown[table.model.reference->parent];
  Rows& rows = shown[table.model.name];
  for (auto row = rows.begin(); row != rows.end();) {
    Value& reference = row->second.image[table.model.reference->column];
    bool there = reference.kind != Value::Kind::kData || parents.contains(reference.data);
    // Parents were shown before: one that is still not there cannot be.
    OrphanRule rule = table.model.policy.orphan_rule == OrphanRule::kCascade ? OrphanRule::kCascade
                                                                             : OrphanRule::kSetNull;
    OrphanAction action = DecideOrphan(there, nullptr, rule);
    if (action == OrphanAction::kSetNull) {
      reference = Value::Null();
    }
    row = action == OrphanAction::kHide ? rows.erase(row) : std::next(row);
  }
}

std::map<std::string, std::map<std::string, std::string>> Database::Shown() const {
  std::map<std::string, Rows> shown;
  for (const auto& [name, table] : tables_) {
    shown[name] = LiveRows(table);
  }
  ShowParents(shown);
  for (const std::string& name : order_) {
    DisplaceDuplicates(tables_.at(name), shown[name]);
    MendOrphans(tables_.at(name), shown);
  }
  std::map<std::string, std::map<std::string, std::string>> text;
  for (const auto& [name, rows] : shown) {
    const TableModel& model = tables_.at(name).model;
    for (const auto& [key, row] : rows) {
      std::string& line = text[name][key];
      for (std::size_t i = 0; i < row.image.size(); ++i) {
        line += (i == 0 ? "" : " ") + model.columns[i] + "=" + Print(row.image[i]);
      }
      for (std::size_t i = 0; i < row.state->merging.values.size(); ++i) {
        line += (line.empty() ? "" : " ") + model.merging_columns[i] + "=" +
                PrintMerging(model.types[i], row.state->merging.values[i]);
      }
    }
  }
  return text;
}

bool Database::Live(const std::string& table, const std::string& key) const {
  const Table& rows = tables_.at(table);
  return Present(StateAt(rows, key), rows.model.policy, rows.truncated).live;
}

std::optional<int64_t> Database::CounterOf(const std::string& table, const std::string& key) const {
  const RowState& state = StateAt(tables_.at(table), key);
  if (state.merging.values.empty()) {
    return std::nullopt;
  }
  crdt::Type type = tables_.at(table).model.types[0];
  Result<int64_t> value = crdt::Counter::Decode(type, state.merging.values[0]).value().Value();
  return value.ok() ? std::optional(value.value()) : std::nullopt;
}

std::string Database::Json(const std::string& table, const std::string& key) const {
  const RowState& state = StateAt(tables_.at(table), key);
  return state.merging.values.empty() ? "" : crdt::ToJson(state.merging.values[0]).value();
}

void Database::Compact(StableLine stable, Hlc forgettable) {
  stable_ = std::max(stable_, stable);
  if (PGQUORUM_REPLICATION_BUG(kForgottenAtTheLine)) {
    forgettable = stable_;
  }
  std::map<std::string, std::set<std::string>> revived = Revived();
  for (auto& [name, table] : tables_) {
    for (auto row = table.rows.begin(); row != table.rows.end();) {
      bool gone = !revived[name].contains(row->first) &&
                  CompactRow(table, row->first, row->second, forgettable);
      row = gone ? table.rows.erase(row) : std::next(row);
    }
  }
}

bool Database::CompactRow(Table& table, const std::string& key, RowState& state, Hlc forgettable) {
  RowState before = state;
  bool gone = replication::Compact(state, table.model.policy.shape(), table.truncated, forgettable);
  if (state.empty() || gone) {
    std::vector<Version> versions = before.versions;
    if (before.deleted) {
      versions.push_back(*before.deleted);
    }
    for (const Version& version : versions) {
      if (version.stamp > table.truncated) {  // the table remembers the others
        forgotten_[{table.model.name, key}].push_back({version.dot, version.stamp});
      }
    }
  }
  return gone;
}

std::map<std::string, std::set<std::string>> Database::Revived() const {
  std::map<std::string, std::set<std::string>> revived;
  for (const auto& [name, table] : tables_) {
    if (!table.model.reference || table.model.policy.orphan_rule != OrphanRule::kReviveParent) {
      continue;
    }
    for (const auto& [key, row] : LiveRows(table)) {
      const Value& reference = row.image[table.model.reference->column];
      if (!Live(table.model.reference->parent, reference.data)) {
        revived[table.model.reference->parent].insert(reference.data);
      }
    }
  }
  return revived;
}

std::size_t Database::states() const {
  std::size_t count = 0;
  for (const auto& [name, table] : tables_) {
    count += table.rows.size();
  }
  return count;
}

}  // namespace pgquorum::replication::sim
