// Dispatcher of the transaction callbacks.
//
// Order at pre-commit: fence (commit_gate), then capture (multi-master), then the commit of fusion
// transactions: nothing is captured or made durable for a transaction that may not commit here.
#include "extension/pg/pg.h"

extern "C" {
#include "access/transam.h"
#include "access/xact.h"
}

#include "extension/hooks/commit_gate.h"
#include "extension/hooks/hooks.h"

namespace pgquorum::hooks {

namespace {

void OnTransaction(XactEvent event, void*) {
  switch (event) {
    case XACT_EVENT_PRE_COMMIT:
    case XACT_EVENT_PRE_PREPARE:
      // Without an id nothing of it will be seen by anybody.
      if (TransactionIdIsValid(GetTopTransactionIdIfAny())) {
        commit_gate::BeginCommit();
      }
      break;
    case XACT_EVENT_COMMIT:
    case XACT_EVENT_PREPARE:
      commit_gate::EndCommit();
      break;
    case XACT_EVENT_ABORT:
      commit_gate::AbortCommit();
      break;
    default:
      break;  // parallel workers never commit by themselves
  }
}

}  // namespace

void InstallTransaction() {
  RegisterXactCallback(OnTransaction, nullptr);
}

}  // namespace pgquorum::hooks
