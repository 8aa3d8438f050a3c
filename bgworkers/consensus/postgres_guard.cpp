#include "bgworkers/consensus/postgres_guard.h"

extern "C" {
#include "miscadmin.h"
#include "replication/slot.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"
}

namespace pgquorum::consensus {

namespace {

// Plain memory: filled between setjmp and PG_END_TRY, where nothing may own anything.
struct Caught {
  char sqlstate[6];
  char message[1024];
  char detail[1024];
  char hint[512];
};

void Copy(char* to, std::size_t size, const char* from) {
  strlcpy(to, from == nullptr ? "" : from, size);
}

// What AbortTransaction() would release for a backend.
void ReleaseHeld() {
  LWLockReleaseAll();
  ConditionVariableCancelSleep();
  pgstat_report_wait_end();
  if (MyReplicationSlot != nullptr) {
    ReplicationSlotRelease();
  }
}

}  // namespace

namespace internal {

Status RunGuarded(const char* what, void (*call)(void*), void* argument) {
  MemoryContext context = CurrentMemoryContext;
  Caught caught;
  volatile bool failed = false;
  PG_TRY();
  { call(argument); }
  PG_CATCH();
  {
    MemoryContextSwitchTo(context);
    ErrorData* error = CopyErrorData();
    FlushErrorState();
    Copy(caught.sqlstate, sizeof caught.sqlstate, unpack_sql_state(error->sqlerrcode));
    Copy(caught.message, sizeof caught.message, error->message);
    Copy(caught.detail, sizeof caught.detail, error->detail);
    Copy(caught.hint, sizeof caught.hint, error->hint);
    FreeErrorData(error);
    ReleaseHeld();
    failed = true;
  }
  PG_END_TRY();
  if (!failed) {
    return Status::Ok();
  }
  return Status::Error(caught.sqlstate, std::string(what) + ": " + caught.message)
      .WithDetail(caught.detail)
      .WithHint(caught.hint);
}

}  // namespace internal

void EnterProcArray() {
  static bool entered = false;
  // A process with a backend id went through InitPostgres() and is a member already.
  if (entered || MyBackendId != InvalidBackendId) {
    return;
  }
  InitProcessPhase2();
  entered = true;
}

}  // namespace pgquorum::consensus
