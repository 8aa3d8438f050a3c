#include "extension/fusion/index_am.h"

#include "extension/fusion/table_am.h"

extern "C" {
#include "access/genam.h"
#include "access/nbtree.h"
#include "access/reloptions.h"
#include "utils/index_selfuncs.h"
}

namespace pgquorum::fusion::server {
namespace {

void BuildEmpty(Relation) {
  ereport(ERROR,
          (errcode(ERRCODE_FEATURE_NOT_SUPPORTED), errmsg("fusion indexes cannot be unlogged")));
}

// There are none; what a user gives is refused (AdoptIndex too, which comes later).
bytea* Options(Datum options, bool validate) {
  if (validate && options != PointerGetDatum(nullptr)) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                    errmsg("fusion indexes have no storage parameters")));
  }
  return nullptr;
}

}  // namespace

IndexAmRoutine* MakeFusionIndexRoutine() {
  IndexAmRoutine* routine = makeNode(IndexAmRoutine);
  // Operator classes are btree's own: see index_ddl.cpp.
  routine->amstrategies = BTMaxStrategyNumber;
  routine->amsupport = BTNProcs;
  routine->amoptsprocnum = BTOPTIONS_PROC;
  routine->amcanorder = true;
  routine->amcanbackward = true;
  routine->amcanunique = true;
  routine->amcanmulticol = true;
  routine->amoptionalkey = true;
  routine->amsearcharray = true;
  routine->amsearchnulls = true;
  routine->amcaninclude = true;
  routine->amkeytype = InvalidOid;
  routine->ambuild = BuildFusionIndex;
  routine->ambuildempty = BuildEmpty;
  routine->aminsert = InsertIntoIndex;
  routine->amcostestimate = btcostestimate;
  routine->amoptions = Options;
  routine->amvalidate = btvalidate;
  FillIndexScans(*routine);
  FillIndexUpkeep(*routine);
  return routine;
}

bool IsFusionIndex(Relation rel) {
  return rel->rd_rel->relkind == RELKIND_INDEX && rel->rd_indam != nullptr &&
         rel->rd_indam->ambuild == BuildFusionIndex;
}

void FindComparisons(Relation index) {
  for (int i = 1; i <= IndexRelationGetNumberOfKeyAttributes(index); ++i) {
    index_getprocinfo(index, static_cast<AttrNumber>(i), BTORDER_PROC);
  }
}

OpenIndex::OpenIndex(Engine& engine, Relation index)
    : order(engine, index), tree(engine.storage, SegmentOf(index), order, engine.transactions) {}

}  // namespace pgquorum::fusion::server

PGQUORUM_FUNCTION(pgquorum_fusion_index_handler) {
  (void)fcinfo;
  PG_RETURN_POINTER(pgquorum::fusion::server::MakeFusionIndexRoutine());
}
