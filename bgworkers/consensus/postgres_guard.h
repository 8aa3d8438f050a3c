// Calls into PostgreSQL from the consensus worker, with ERROR turned into a Status.
//
// ereport(ERROR) is a longjmp: it would skip the destructors of every C++ object between the call
// and the nearest handler. So each call that may raise goes through Guarded(), whose callable holds
// no object with a destructor (references to the caller's are fine: the caller's frame is not
// unwound).
//
// The worker has no transaction whose abort would clean up, so a caught error releases here what
// PostgreSQL code may still have held: lightweight locks, a condition variable's queue place, an
// acquired replication slot. Therefore never call Guarded() while holding any of these yourself.
//
// Main thread of the worker only.
#pragma once

#include "base/status.h"

#include "extension/pg/pg.h"

namespace pgquorum::consensus {

namespace internal {
// Runs `call(argument)` in PG_TRY; `what` is put before the server's message.
Status RunGuarded(const char* what, void (*call)(void*), void* argument);
}  // namespace internal

// `f` is called once. Returns the error's SQLSTATE, "<what>: <message>", detail and hint.
template <typename F>
Status Guarded(const char* what, F f) {
  return internal::RunGuarded(
      what, [](void* p) { (*static_cast<F*>(p))(); }, &f);
}

// Adds this process to PostgreSQL's array of running processes. Idempotent.
//
// A worker without a database connection is not in it, but ReplicationSlotRelease() writes
// ProcGlobal->statusFlags[MyProc->pgxactoff] (slot.c), an index that only members own: without this
// a slot operation would overwrite the flags of some other backend. Called by everything here that
// acquires a slot.
void EnterProcArray();

}  // namespace pgquorum::consensus
