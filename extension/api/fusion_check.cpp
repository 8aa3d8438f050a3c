// SQL area "fusion": system.fusion_check().
#include "extension/fusion/check.h"

#include "extension/api/rows.h"

namespace pgquorum::api {
namespace {

void PutProblem(void* rows, const char* relation, const char* problem) {
  Row row;
  row.Text(relation == nullptr ? "" : relation);
  row.Text(problem);
  row.PutInto(static_cast<ReturnSetInfo*>(rows));
}

}  // namespace
}  // namespace pgquorum::api

// fusion_check(remove_leaked boolean)
PGQUORUM_FUNCTION(pgquorum_fusion_check) {
  ReturnSetInfo* rows = pgquorum::api::BeginRows(fcinfo);
  pgquorum::fusion::server::Problems problems = {pgquorum::api::PutProblem, rows};
  pgquorum::fusion::server::CheckTables(problems);
  pgquorum::fusion::server::CheckSegments(problems, PG_GETARG_BOOL(0));
  return 0;
}
