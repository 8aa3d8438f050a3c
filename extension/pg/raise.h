// C++ -> PostgreSQL: a Status becomes ereport(ERROR).
#pragma once

#include "extension/pg/pg.h"

namespace pgquorum::pg {

// What an error needs, in plain memory that outlives every C++ object (see Boundary).
struct ErrorText {
  char sqlstate[6];
  char message[1024];
  char detail[1024];
  char hint[512];
};

// Cuts what is too long.
void FillErrorText(ErrorText& text, const Status& status);

// ereport(ERROR) with the texts. The caller's frames must own no C++ object any more.
[[noreturn]] void Raise(const ErrorText& text);

// The same as a message of the given level (LOG, WARNING, FATAL), for callers at the postmaster's
// start. Returns unless the level is ERROR or above.
void Report(int level, const ErrorText& text);

}  // namespace pgquorum::pg
