// Segments of tables, sizes, and what of DDL there is not.
#include <algorithm>

#include "extension/fusion/segments.h"
#include "extension/fusion/table_am.h"

extern "C" {
#include "access/multixact.h"
#include "catalog/storage.h"
#include "miscadmin.h"
#include "storage/smgr.h"
#include "utils/rel.h"
}

#include "extension/pg/boundary.h"

namespace pgquorum::fusion::server {
namespace {

void SetNewFilenode(Relation rel, const RelFileNode* fresh, char persistence, TransactionId* freeze,
                    MultiXactId* multi) {
  if (persistence != RELPERSISTENCE_PERMANENT) {
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("fusion tables can be neither temporary nor unlogged"),
                    errhint("Use the access method heap for such tables.")));
  }
  if (fresh->spcNode != MyDatabaseTableSpace) {
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("fusion tables cannot be in a tablespace of their own"),
                    errhint("Their pages are in pgquorum.fusion_storage.")));
  }
  Use();
  // Rows carry no transaction ids of PostgreSQL: nothing has to be frozen.
  *freeze = InvalidTransactionId;
  *multi = InvalidMultiXactId;
  // An empty file of PostgreSQL's own: it reserves the number, and goes with the transaction.
  smgrclose(RelationCreateStorage(*fresh, persistence, true));
  MakeTableSegment(SegmentOf(fresh->dbNode, fresh->relNode));
  if (OidIsValid(rel->rd_node.relNode) && rel->rd_node.relNode != fresh->relNode) {
    RemoveAtCommit(SegmentOf(rel));
  }
}

void Truncate(Relation rel) {
  EmptyTableSegment(SegmentOf(rel));
}

void CopyData(Relation, const RelFileNode*) {
  ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                  errmsg("fusion tables cannot be moved to a tablespace"),
                  errhint("Their pages are in pgquorum.fusion_storage.")));
}

void CopyForCluster(Relation, Relation, Relation, bool, TransactionId, TransactionId*, MultiXactId*,
                    double*, double*, double*) {
  ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                  errmsg("fusion tables support neither CLUSTER nor VACUUM FULL yet"),
                  errhint("VACUUM makes the room of dead rows usable again.")));
}

// ANALYZE reads ahead in a file of the server's own, which is empty here: that goes well up to the
// end of its first segment. Samples of larger tables are taken from their first part.
constexpr uint32_t kBlocksShown = RELSEG_SIZE;

uint32_t BlocksOf(Relation rel) {
  Engine& engine = Use();
  uint64_t segment = SegmentOf(rel);
  return pg::Boundary([&]() -> Result<uint32_t> {
    Result<TableStore*> table = engine.Table(segment);
    return table.ok() ? table.value()->space().Blocks() : table.status();
  });
}

// The header and the first map come before the first page with rows.
constexpr uint32_t kFirstRows = 2;

uint64 SizeShown(Relation rel, ForkNumber fork) {
  return fork == MAIN_FORKNUM || fork == InvalidForkNumber
             ? uint64{std::min(BlocksOf(rel), kBlocksShown)} * kPageBytes
             : 0;
}

void EstimateSize(Relation rel, int32* widths, BlockNumber* pages, double* tuples,
                  double* all_visible) {
  table_block_relation_estimate_size(rel, widths, pages, tuples, all_visible,
                                     kVersionHeaderBytes + sizeof(uint32_t),
                                     kPageBytes - kPageHeaderBytes);
  uint32_t blocks = BlocksOf(rel);
  if (blocks > kBlocksShown) {
    *tuples *= static_cast<double>(blocks) / *pages;
    *pages = blocks;
  }
  // A scan costs what the pages with rows do; of a small table they are the smaller part.
  if (*pages == blocks && blocks > kFirstRows) {
    *pages = blocks - kFirstRows;
  }
}

bool NeedsToastTable(Relation) {
  return false;
}

Oid ToastAm(Relation rel) {
  return rel->rd_rel->relam;
}

}  // namespace

uint64_t TableBytes(Relation rel) {
  return uint64_t{BlocksOf(rel)} * kPageBytes;
}

void FillDdl(TableAmRoutine& routine) {
  routine.relation_set_new_filenode = SetNewFilenode;
  routine.relation_nontransactional_truncate = Truncate;
  routine.relation_copy_data = CopyData;
  routine.relation_copy_for_cluster = CopyForCluster;
  routine.relation_size = SizeShown;
  routine.relation_estimate_size = EstimateSize;
  routine.relation_needs_toast_table = NeedsToastTable;
  routine.relation_toast_am = ToastAm;
}

}  // namespace pgquorum::fusion::server
