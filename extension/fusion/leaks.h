// Segments that a crash left behind go after the next start, without anybody asking.
//
// Only catalogs say what a segment belongs to, and the worker has no database. So it starts one
// short-lived background worker after the other: first one without a database, for what dropped
// databases left, then one for each database that has segments. Each compares under the lock that
// keeps those out who make or drop segments, as system.fusion_check(true) does.
//
// Include after extension/fusion/engine.h.
#pragma once

#include "extension/fusion/engine.h"

namespace pgquorum::fusion::server {

// The storage has been opened.
void BeginLeakSearch();
// A step, in each turn of the worker; never raises because of the storage.
void ContinueLeakSearch(Engine& engine);

}  // namespace pgquorum::fusion::server
