// What a server keeps beside a row whose state is more than two stamps: tables with replicated
// types, column-level merging, or a strategy that asks who has seen what.
//
// The row itself says most of its state: its values, and through the transaction that wrote it, its
// stamp. So nothing is kept beside a row that one write explains, and an ordinary update of a row
// leaves what is kept alone. `Load` puts both together again, by four rules:
//   nothing kept                      the row is a first insert that knew nothing
//   kept for the row's very writer    what is kept is the state
//   kept for another row              since then a user here has updated it, knowing all that is
//   kept kept for no row, but there is one its insert did not know what is kept
// Whoever writes keeps to them: a deletion, an insert that knows a deletion, the first update after
// an insert that did not, and what cannot be told from the row by these rules is written down.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "bgworkers/replication/core/conflict/decide.h"
#include "bgworkers/replication/core/conflict/pending.h"

namespace pgquorum::replication {

// A row as the table has it. Image and merging values have a place for every column that the table
// ever had, so that columns may come and go: null, or empty, where it is of the other kind.
struct TableRow {
  uint32_t writer = 0;  // names the transaction that wrote it, never zero
  Stamp stamp;          // of that transaction; zero when nobody knows any more
  Image image;
  std::vector<std::string> merging;
};

struct Kept {
  uint32_t writer = 0;  // of the row that it is about; zero: of none
  Stamp stamp;          // of the transaction that wrote it down: what is pending in it
  std::string state;    // from ToKeep
};

// kErrMalformedState for bytes that ToKeep does not write. `kept` and `row` may be null.
Result<RowState> Load(const Kept* kept, const TableRow* row, const Surroundings& around);

// What has to be kept so that Load finds `after`, once the table has `row` (null: none) instead of
// what it had. Nothing when what is kept already does.
Result<std::optional<std::string>> ToKeep(const Kept* kept, const RowState& after,
                                          const TableRow* row, const Surroundings& around);

// Whether a user's statement has to write down what is then known (through ToKeep), or the row says
// it. An insert for which there is a row (ON CONFLICT) does not.
bool MustKeep(Operation operation, const Kept* kept, const RowShape& shape);

// Takes out what the same transaction has written of the row before, since its last write counts.
// Before every Decide.
void Supersede(RowState& state, const Change& change, const RowShape& shape);

}  // namespace pgquorum::replication

#include "base/pure.h"
