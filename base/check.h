// Invariant checks that stay on in production (TigerBeetle's rule): a node that has lost an
// invariant stops rather than spreads it.
//
// PGQUORUM_CHECK(condition) calls the installed handler with file, line and text. The default
// handler prints and aborts; inside PostgreSQL the worker installs one that logs, fences the node
// and then aborts. The handler must not return.
#pragma once

namespace pgquorum {

using CheckFailureHandler = void (*)(const char* file, int line, const char* condition);

// Installs `handler` (never null) and returns the one before it. Not for concurrent use: call it
// before threads start.
CheckFailureHandler SetCheckFailureHandler(CheckFailureHandler handler);

[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);

}  // namespace pgquorum

#define PGQUORUM_CHECK(condition)                              \
  do {                                                         \
    if (!(condition)) [[unlikely]] {                           \
      ::pgquorum::CheckFailed(__FILE__, __LINE__, #condition); \
    }                                                          \
  } while (false)

#include "base/pure.h"
