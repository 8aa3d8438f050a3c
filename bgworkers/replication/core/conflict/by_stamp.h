// Decide() for tables whose rows' whole state is two stamps: last_writer_wins without merging
// columns. A server reads both from commit timestamps, the row's and its tombstone's, and keeps no
// other metadata.
#pragma once

#include <optional>

#include "base/status.h"
#include "bgworkers/replication/core/clock/hlc.h"
#include "bgworkers/replication/core/conflict/decide.h"

namespace pgquorum::replication {

// What this site has of a row.
struct StampedRow {
  bool live = false;
  Stamp written;  // when live; zero: before anything was replicated
  Stamp deleted;  // of the newest tombstone, zero: none
};

struct StampedChange {
  Operation operation = Operation::kInsert;
  Stamp stamp;
  // As it is shipped: the newest write that the writer knew, if another site had made it.
  std::optional<Stamp> base;
};

struct StampVerdict {
  TableAction action = TableAction::kNone;
  Outcome outcome = Outcome::kSkipped;
  ConflictKind conflict = ConflictKind::kNone;
  bool keep_tombstone = false;  // the change's deletion has to be remembered
};

// A conflict with `error` and `skip` leaves the row; the others that are by stamp decide by it.
Result<StampVerdict> DecideByStamp(const StampedRow& local, const StampedChange& change,
                                   Strategy strategy = Strategy::kLastWriterWins);

// The newest write of the row that the writer of a change knew, as far as it can be told at a site
// whose newest is `newest`.
Stamp KnownToWriter(const Stamp& newest, const std::optional<Stamp>& base, const Stamp& change);

}  // namespace pgquorum::replication

#include "base/pure.h"
