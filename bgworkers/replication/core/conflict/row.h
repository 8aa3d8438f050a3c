// What is known of a row, and how two knowledges join.
//
// One idea carries all of conflict resolution: *states join, rows are a function of states*. A
// RowState holds what matters of every write that has been seen, deletions included. Join is
// idempotent, commutative and associative, so the order and repetition of changes cannot matter;
// what the table shows is Present() (present.h), the same function at every site. A change that
// arrives is itself a small RowState.
//
// Two families of strategies need different knowledge:
//   by stamp   (last_writer_wins)  the newest live version, the newest deletion, and with
//                                  column-level merging the newest value of each column
//   by causality (all others)      every version that no other has seen
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "bgworkers/replication/core/clock/hlc.h"
#include "bgworkers/replication/core/clock/origin.h"
#include "bgworkers/replication/core/clock/version_vector.h"
#include "bgworkers/replication/core/crdt/types.h"

namespace pgquorum::replication {

// A column's value in its binary or text form.
struct Value {
  enum class Kind : uint8_t {
    kNull,
    kData,
    kUnchanged,  // out of line and untouched, so decoding did not see it; see FillUnchanged
  };
  Kind kind = Kind::kNull;
  std::string data;

  static Value Null() { return {}; }
  static Value Of(std::string data) { return {Kind::kData, std::move(data)}; }
  static Value Unchanged() { return {Kind::kUnchanged, {}}; }
  auto operator<=>(const Value&) const = default;
};

// The plain columns of a row, in the order of the table's definition.
using Image = std::vector<Value>;

// When and by which write a column got its value.
struct Mark {
  Stamp stamp;
  Dot dot;
  bool operator==(const Mark&) const = default;
};

// One write of a row as a whole: its full image, or its deletion. `dot` names the writing
// transaction (at most one version of a row comes out of a transaction).
struct Version {
  Dot dot;
  Stamp stamp;  // of the transaction's commit: one for all that it wrote
  bool deleted = false;
  Image image;                  // of a deletion: what was deleted, for foreign keys and the log
  std::vector<Mark> marks;      // of the columns; empty without column-level merging
  VersionVector seen;           // by causality only: the versions that the writer knew
  Hlc floor;                    // the writer's stable line: it knew everything up to here as well
  std::optional<Image> before;  // what the writer overwrote; for custom strategies, may be absent
  bool operator==(const Version&) const = default;
};

// The values of a row's replicated-type columns, in the order of the definition. They belong to one
// life of the row: `life` is the newest deletion that the insert knew. A re-inserted row starts
// with fresh values, and what comes late from the life before must not flow into them. Inserts that
// know of no deletion share the life zero: concurrent ones merge.
//
// A transaction that deletes a row and inserts it again begins a life under its own stamp, and may
// begin it anew with its next statements: what it says of that life is final only with its last
// one. Whoever adds to the life afterwards has seen the whole transaction, so that his values hold
// its last ones: `whole` values replace those that are not, and come before them in any order.
struct Merging {
  Stamp life;
  std::vector<std::string> values;
  bool whole = false;
  bool operator==(const Merging&) const = default;
};

struct RowState {
  // By stamp.
  std::optional<Version> newest;   // live
  std::optional<Version> deleted;  // the newest deletion
  Image columns;                   // column-level: the newest value of each column, with its mark
  std::vector<Mark> marks;
  // By causality. Sorted by dot.
  std::vector<Version> versions;
  VersionVector seen;

  Merging merging;

  bool operator==(const RowState&) const = default;
  bool empty() const { return !newest && !deleted && versions.empty(); }
};

// What Join and the writers need to know of a table.
struct RowShape {
  std::size_t columns = 0;          // plain ones
  std::size_t merging_columns = 0;  // of replicated types
  bool by_causality = false;
  bool column_level = false;
  bool operator==(const RowShape&) const = default;
};

// Everything at or below this reading has been applied by every member.
using StableLine = Hlc;

// Whether the writer of `version` knew what was written as `dot` at `stamp`.
bool Knew(const Version& version, const Dot& dot, const Stamp& stamp);

// Brings what `change` knows into `state`. Fails only with the errors of crdt::Merge, and then
// changes nothing of the plain columns.
Status Join(RowState& state, const RowState& change, const RowShape& shape,
            const crdt::FoldTable& folds);

// Forgets what no late change can meet any more. True when nothing is left of the row: the caller
// deletes the state, unless it shows the row again for a child's sake (constraints.h). `truncated`:
// the table's newest TRUNCATE.
//
// `forgettable` lags behind the stable line: a change above the line may have been written by
// somebody who did not know yet what is below it. With C the highest promise of any member (nothing
// that it commits later has a reading at or below) when the line was S, everything up to S may be
// forgotten once the line has reached C: all who did not know it have been heard.
//
// Of a deleted row with merging columns the newest deletion stays for ever: it names the life of
// the next insert, and concurrent inserts merge only if all sites give them the same name.
bool Compact(RowState& state, const RowShape& shape, const Stamp& truncated, Hlc forgettable);

// The highest stamp of any write in the state, zero when it is empty.
Stamp HighestStamp(const RowState& state);

}  // namespace pgquorum::replication

#include "base/pure.h"
