// A model of a database with replicated tables: the cores drive it exactly as the appliers drive
// the real one, and it shows its rows as text. Tests and the simulator share it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "bgworkers/replication/core/conflict/constraints.h"
#include "bgworkers/replication/core/conflict/decide.h"
#include "bgworkers/replication/core/crdt/types.h"

namespace pgquorum::replication::sim {

struct Reference {
  std::size_t column = 0;  // plain column that holds the parent's key
  std::string parent;      // table
};

struct TableModel {
  std::string name;
  std::vector<std::string> columns;
  std::vector<std::string> merging_columns;
  std::vector<crdt::Type> types;            // of the merging columns
  std::vector<std::size_t> unique_columns;  // beside the key
  std::optional<Reference> reference;
  TablePolicy policy;
};

// A statement on one row, or a TRUNCATE (empty key).
struct Statement {
  enum class Kind : uint8_t { kInsert, kUpdate, kDelete, kTruncate, kRekey };
  Kind kind = Kind::kInsert;
  std::string table;
  std::string key;
  std::string new_key;                        // kRekey
  std::map<std::string, std::string> assign;  // plain columns; "null", "~" (unchanged)
  std::map<std::string, std::string> add;     // merging columns: "5", "-3", "word"
  std::map<std::string, std::string> remove;  // merging columns: "word"
};

// What a statement did, ready to be sent.
struct Effect {
  std::string table;
  std::optional<Change> change;  // nothing: TRUNCATE
  Stamp truncated;
};

class Database {
 public:
  explicit Database(std::vector<TableModel> tables);

  // Runs a statement here and returns what to send; nothing when there is no such row. Every
  // addition to a set takes a dot from `sequence`.
  std::vector<Effect> Run(const Statement& statement, const Dot& dot, const Stamp& stamp,
                          uint64_t& sequence);
  // Applies an effect of another site. `decision`, when given, is what became of it.
  void Apply(const Effect& effect, Decision* decision = nullptr);

  // What a query shows: table, then key, then "column=value …".
  std::map<std::string, std::map<std::string, std::string>> Shown() const;
  // The value of a counter column, with the row's absence as nothing.
  std::optional<int64_t> CounterOf(const std::string& table, const std::string& key) const;
  // The whole state of a row's first merging column.
  std::string Json(const std::string& table, const std::string& key) const;
  // Whether a query shows a row.
  bool Live(const std::string& table, const std::string& key) const;

  // `forgettable`: see Compact in conflict/row.h; not above the line.
  void Compact(StableLine stable, Hlc forgettable);
  void AppendFold(Origin origin) { folds_.Append(origin); }
  const crdt::FoldTable& folds() const { return folds_; }
  StableLine stable() const { return stable_; }
  // Rows with a state, shown or not.
  std::size_t states() const;
  // The first promise of the cores that was broken here: a change came whose writer had not seen
  // what Compact has forgotten, or a change that was applied has left nothing behind.
  const std::string& broken() const { return broken_; }
  Stamp HighestStampSeen() const { return highest_; }

 private:
  struct Table {
    TableModel model;
    Stamp truncated;
    std::map<std::string, RowState> rows;
  };
  // What was forgotten of a row.
  struct Forgotten {
    Dot dot;
    Stamp stamp;
  };
  struct Row {
    Image image;
    Stamp stamp;
    const RowState* state = nullptr;
  };
  using Rows = std::map<std::string, Row>;

  Surroundings Around(const Table& table) const {
    return {table.model.policy, table.truncated, folds_, stable_};
  }
  static const RowState& StateAt(const Table& table, const std::string& key);
  std::vector<std::string> ChangeMerging(const Table& table, const RowState& state, bool fresh,
                                         const Statement& statement, const Dot& dot,
                                         const Stamp& stamp, uint64_t& sequence) const;
  void Put(Table& table, const std::string& key, const Change& change, Decision* decision);
  bool CompactRow(Table& table, const std::string& key, RowState& state, Hlc forgettable);
  void CheckLate(const Table& table, const Change& change);
  Rows LiveRows(const Table& table) const;
  std::map<std::string, std::set<std::string>> Revived() const;
  void ShowParents(std::map<std::string, Rows>& shown) const;
  void DisplaceDuplicates(const Table& table, Rows& rows) const;
  void MendOrphans(const Table& table, std::map<std::string, Rows>& shown) const;

  std::vector<std::string> order_;  // as declared: parents first
  std::map<std::string, Table> tables_;
  crdt::FoldTable folds_;
  StableLine stable_;
  Stamp highest_;
  std::map<std::pair<std::string, std::string>, std::vector<Forgotten>> forgotten_;
  std::string broken_;
};

}  // namespace pgquorum::replication::sim

#include "base/pure.h"
