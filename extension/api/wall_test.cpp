// Entry for the tests of the wall (regress/sql/wall.sql declares it; the extension's SQL does not).
// It changes nothing: it fails in every way that C++ and PostgreSQL code can.
#include <stdexcept>
#include <string>

#include "extension/pg/boundary.h"
#include "extension/pg/guard.h"

extern "C" {
#include "utils/builtins.h"
}

namespace pgquorum::api {
namespace {

// Counts itself: a destructor that was skipped shows.
class Counted {
 public:
  Counted() { ++alive; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  ~Counted() { --alive; }
  static int alive;

 private:
  std::string heap_ = std::string(1000, 'x');
};
int Counted::alive = 0;

Result<Datum> Fail(std::string_view how) {
  Counted counted;
  if (how == "exception") {
    throw std::runtime_error("thrown on purpose");
  }
  if (how == "memory") {
    throw std::bad_alloc();
  }
  if (how == "other") {
    throw 42;
  }
  if (how == "status") {
    return Status::Error("55000", "refused on purpose").WithDetail("A detail.").WithHint("A hint.");
  }
  if (how == "ereport") {
    Status caught = pg::Try([] {
      ereport(ERROR, (errcode(ERRCODE_DIVISION_BY_ZERO), errmsg("raised on purpose"),
                      errdetail("Another detail."), errhint("Another hint.")));
    });
    return caught;
  }
  if (how == "finally") {
    bool cleaned = false;
    Status caught = pg::Try([&] {
      pg::Finally([] { ereport(ERROR, (errmsg("raised on purpose"))); }, [&] { cleaned = true; });
    });
    return Int32GetDatum(cleaned && !caught.ok() ? 1 : 0);
  }
  return Int32GetDatum(Counted::alive - 1);
}

}  // namespace
}  // namespace pgquorum::api

// wall_test(how text) -> integer; with 'count', how many C++ objects earlier failures left behind.
PGQUORUM_FUNCTION(pgquorum_wall_test) {
  const char* how = text_to_cstring(PG_GETARG_TEXT_PP(0));
  return pgquorum::pg::Boundary([&] { return pgquorum::api::Fail(how); });
}
