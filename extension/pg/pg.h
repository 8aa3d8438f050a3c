// The first include of every file that talks to PostgreSQL. C++ headers come before it where both
// are needed: PostgreSQL defines macros (ERROR, Min, printf, _) that break other libraries'
// headers.
#pragma once

// Before postgres.h, because pure headers refuse to be read after it.
#include "base/status.h"  // IWYU pragma: export

extern "C" {
#include "postgres.h"  // IWYU pragma: export

#include "fmgr.h"  // IWYU pragma: export
}

// A function that PostgreSQL looks up by name. Everything else in the library stays hidden, so that
// two libraries loaded with RTLD_GLOBAL never see each other's symbols.
#define PGQUORUM_EXPORT extern "C" __attribute__((visibility("default")))

// Declares a version-1 SQL function; its body goes through pg::Boundary (extension/pg/boundary.h).
#define PGQUORUM_FUNCTION(name)                                 \
  PGQUORUM_EXPORT const Pg_finfo_record* pg_finfo_##name(void); \
  PGQUORUM_EXPORT Datum name(PG_FUNCTION_ARGS);                 \
  const Pg_finfo_record* pg_finfo_##name(void) {                \
    static const Pg_finfo_record info = {1};                    \
    return &info;                                               \
  }                                                             \
  Datum name(PG_FUNCTION_ARGS)
