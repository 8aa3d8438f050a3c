// One row of another site's transaction, decided and done to the table. Runs inside a transaction
// that carries the other site's stamp.
#pragma once

#include "bgworkers/replication/core/change/record.h"

#include "extension/pg/pg.h"

#include "bgworkers/replication/server/apply_references.h"

namespace pgquorum::replication::server {

struct ApplyContext {
  uint16_t own_site;
  Stamp stamp;          // of the transaction
  bool copied = false;  // what was here before this site joined: meeting it is no conflict
};

struct RowOutcome {
  bool conflict;
  ReferenceChecks checks;  // the caller says when
};

// Raises what the statement raises: the caller decides whether the transaction is tried again, or
// the row becomes a dead letter.
RowOutcome ApplyRow(const ApplyContext& context, const RelationRecord& remote,
                    const RowRecord& row);

}  // namespace pgquorum::replication::server
