// Foreign keys of what is applied: looked at once the whole transaction is there, as a parent may
// go before its children and come after them.
#pragma once

#include "extension/pg/pg.h"

extern "C" {
#include "executor/tuptable.h"
#include "utils/rel.h"
}

namespace pgquorum::replication::server {

// What there is to look at after a row has been written: none, one or both of these. JSON texts in
// the current memory context, or null.
struct ReferenceChecks {
  Oid table = InvalidOid;
  char* written = nullptr;  // the row as it is now, when it may refer to others
  char* gone = nullptr;     // as it was, when others may refer to it
};

ReferenceChecks ChecksOf(Relation relation, Oid table, TupleTableSlot* before,
                         TupleTableSlot* after);

// Raises 23503. The rows must be visible.
void CheckReferences(const ReferenceChecks& checks);

// The same later: at the end of the transaction, or when there are many.
void CheckReferencesLater(const ReferenceChecks& checks);
void CheckReferencesNow();
void ForgetReferences();

}  // namespace pgquorum::replication::server
