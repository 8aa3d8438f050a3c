#include "base/check.h"

#include <cstdio>
#include <cstdlib>

#include "base/pure.h"

namespace pgquorum {
namespace {

void PrintAndAbort(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "pgquorum: invariant violated at %s:%d: %s\n", file, line, condition);
  std::abort();
}

CheckFailureHandler check_failure_handler = PrintAndAbort;

}  // namespace

CheckFailureHandler SetCheckFailureHandler(CheckFailureHandler handler) {
  PGQUORUM_CHECK(handler != nullptr);
  CheckFailureHandler before = check_failure_handler;
  check_failure_handler = handler;
  return before;
}

void CheckFailed(const char* file, int line, const char* condition) {
  check_failure_handler(file, line, condition);
  std::abort();  // a handler that returns is itself a bug
}

}  // namespace pgquorum
