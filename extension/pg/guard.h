// PostgreSQL -> C++: calls that may ereport(ERROR), made from frames that own C++ objects.
//
// ereport(ERROR) is a longjmp: it skips destructors. Try() runs a callable inside PG_TRY and turns
// the error into a Status with SQLSTATE, message, detail and hint. The callable itself must hold no
// object with a destructor (references to the caller's are fine: that frame is not unwound), and
// must not return from inside a PG_TRY of its own.
//
// Try() does not clean up what PostgreSQL code holds (locks, buffers, an open transaction): in a
// backend the caller's transaction is in doubt afterwards and must be aborted by raising the Status
// again (raise.h). FATAL and PANIC are not caught.
#pragma once

#include "extension/pg/pg.h"

namespace pgquorum::pg {

namespace internal {
Status TryCall(void (*call)(void*), void* argument);
void FinallyCall(void (*call)(void*), void* argument, void (*cleanup)(void*),
                 void* cleanup_argument);
}  // namespace internal

template <typename F>
Status Try(F f) {
  return internal::TryCall([](void* p) { (*static_cast<F*>(p))(); }, &f);
}

// Runs `f`, then `cleanup`, also when `f` raises; the error goes on afterwards. Neither the
// callables nor any frame between here and the error's handler may own an object with a destructor.
template <typename F, typename G>
void Finally(F f, G cleanup) {
  internal::FinallyCall([](void* p) { (*static_cast<F*>(p))(); }, &f,
                        [](void* p) { (*static_cast<G*>(p))(); }, &cleanup);
}

}  // namespace pgquorum::pg
