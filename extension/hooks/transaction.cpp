// Dispatcher of the transaction callbacks.
//
// Order at pre-commit: fence (commit_gate), then capture (multi-master), then the commit of fusion
// transactions: nothing is captured or made durable for a transaction that may not commit here. At
// commit fusion comes before the fence, which looks at the lease once more before it lets the
// answer go.
#include "extension/fusion/transaction.h"
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
      if (TransactionIdIsValid(GetTopTransactionIdIfAny()) || fusion::server::HasChanges()) {
        commit_gate::BeginCommit();
      }
      event == XACT_EVENT_PRE_COMMIT ? fusion::server::BeforeCommit()
                                     : fusion::server::BeforePrepare();
      break;
    case XACT_EVENT_COMMIT:
    case XACT_EVENT_PREPARE:
      fusion::server::AfterCommit();
      commit_gate::EndCommit();
      break;
    case XACT_EVENT_ABORT:
      fusion::server::AfterAbort();
      commit_gate::AbortCommit();
      break;
    // A parallel worker never commits by itself, but it has announced what it reads.
    case XACT_EVENT_PARALLEL_COMMIT:
      fusion::server::AfterCommit();
      break;
    case XACT_EVENT_PARALLEL_ABORT:
      fusion::server::AfterAbort();
      break;
    default:
      break;
  }
}

void OnSubtransaction(SubXactEvent event, SubTransactionId, SubTransactionId, void*) {
  if (event == SUBXACT_EVENT_COMMIT_SUB || event == SUBXACT_EVENT_ABORT_SUB) {
    fusion::server::EndSubtransaction(event == SUBXACT_EVENT_COMMIT_SUB);
  }
}

}  // namespace

void InstallTransaction() {
  RegisterXactCallback(OnTransaction, nullptr);
  RegisterSubXactCallback(OnSubtransaction, nullptr);
}

}  // namespace pgquorum::hooks
