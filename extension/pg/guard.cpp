#include "extension/pg/guard.h"

namespace pgquorum::pg::internal {

namespace {

// What is taken from PostgreSQL's error, in plain memory: no C++ object may exist between PG_TRY
// and PG_END_TRY.
ErrorData* Run(void (*call)(void*), void* argument) {
  ErrorData* volatile error = nullptr;
  MemoryContext context = CurrentMemoryContext;
  PG_TRY();
  { call(argument); }
  PG_CATCH();
  {
    MemoryContextSwitchTo(context);
    error = CopyErrorData();
    FlushErrorState();
  }
  PG_END_TRY();
  return error;
}

std::string TextOf(const char* text) {
  return text == nullptr ? std::string() : text;
}

}  // namespace

Status TryCall(void (*call)(void*), void* argument) {
  ErrorData* error = Run(call, argument);
  if (error == nullptr) {
    return Status::Ok();
  }
  Status status = Status::Error(unpack_sql_state(error->sqlerrcode), TextOf(error->message))
                      .WithDetail(TextOf(error->detail))
                      .WithHint(TextOf(error->hint));
  FreeErrorData(error);
  return status;
}

void FinallyCall(void (*call)(void*), void* argument, void (*cleanup)(void*),
                 void* cleanup_argument) {
  PG_TRY();
  { call(argument); }
  PG_CATCH();
  {
    cleanup(cleanup_argument);
    PG_RE_THROW();
  }
  PG_END_TRY();
  cleanup(cleanup_argument);
}

}  // namespace pgquorum::pg::internal
