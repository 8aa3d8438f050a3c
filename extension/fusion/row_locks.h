// Waiting for rows.
//
// Who waits for a transaction waits for the lock on its word (transaction.h). Where one word on the
// page is not enough (kAsk), the row is held in the server's lock manager, as PostgreSQL's own
// lock on a row of the four strengths, to the end of the transaction.
//
// Include after extension/fusion/engine.h.
#pragma once

#include "extension/fusion/transaction.h"

extern "C" {
#include "access/tableam.h"
#include "utils/rel.h"
}

namespace pgquorum::fusion::server {

// One attempt to change or lock a row, which may have to wait several times.
class RowWait {
 public:
  RowWait(Relation rel, RowAddress at, RowLock lock) : rel_(rel), at_(at), lock_(lock) {}

  static bool NeedsWait(const Touch& touch) {
    return touch.result == TouchResult::kWait || touch.result == TouchResult::kAsk;
  }
  // Waits for what `touch` names, and notes in `writer` what is held afterwards; the caller tries
  // again. False: it would have to wait and patience is none. Raises.
  bool Wait(Engine& engine, const Touch& touch, Writer& writer, Patience patience);

 private:
  bool Hold(Engine& engine, const Touch& touch, Patience patience);

  Relation rel_;
  RowAddress at_;
  RowLock lock_;
};

// PostgreSQL's answer for a touch that is neither kOk nor to be waited for.
TM_Result FailAs(Engine& engine, Relation rel, RowAddress at, const Touch& touch,
                 TM_FailureData* failure);

}  // namespace pgquorum::fusion::server
