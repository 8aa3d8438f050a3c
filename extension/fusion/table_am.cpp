#include "extension/fusion/table_am.h"

#include "extension/pg/pg.h"

namespace pgquorum::fusion::server {

const TableAmRoutine* FusionTableRoutine() {
  static TableAmRoutine routine = [] {
    TableAmRoutine made = {};
    made.type = T_TableAmRoutine;
    FillScans(made);
    FillWrites(made);
    FillLocks(made);
    FillDdl(made);
    FillIndexed(made);
    FillUpkeep(made);
    FillLarge(made);
    return made;
  }();
  return &routine;
}

}  // namespace pgquorum::fusion::server

PGQUORUM_FUNCTION(pgquorum_fusion_table_handler) {
  (void)fcinfo;
  PG_RETURN_POINTER(pgquorum::fusion::server::FusionTableRoutine());
}
