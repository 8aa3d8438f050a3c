// SQL area "fusion": what the views of fusion show. Everything is read from shared memory as it is;
// no view waits for the storage or opens it.
#include "extension/fusion/engine.h"
#include "extension/fusion/settings.h"
#include "extension/fusion/table_am.h"

extern "C" {
#include "access/relation.h"
#include "catalog/pg_class.h"
#include "utils/acl.h"
}

#include "extension/api/rows.h"
#include "extension/guc.h"
#include "extension/pg/boundary.h"

namespace pgquorum::api {
namespace {

using fusion::server::Engine;
using fusion::server::Memory;
using fusion::server::OpenState;

const char* NameOf(OpenState state) {
  switch (state) {
    case OpenState::kStarting:
      return "starting";
    case OpenState::kOpen:
      return "open";
    case OpenState::kFailed:
      return "failed";
    case OpenState::kBroken:
      return "broken";
    case OpenState::kClosed:
      return "closed";
  }
  return "";
}

void PutStorage(ReturnSetInfo* rows) {
  if (Memory() == nullptr) {
    return;
  }
  const fusion::server::SharedMemory& memory = *Memory();
  OpenState state = memory.state.load(std::memory_order_acquire);
  bool failed = state == OpenState::kFailed || state == OpenState::kBroken;
  Row row;
  row.Text(guc::fusion_storage);
  row.Text(NameOf(state));
  row.Text(failed ? memory.reason.message : "");
  row.Int(memory.users.load());
  row.Time(memory.opened_at);
  row.Long(static_cast<uint64_t>(memory.recovery_us));
  row.Long(memory.recovery_records);
  row.Long(memory.recovery_applied);
  row.Long(memory.recovery_bytes);
  row.Int(memory.recovery_torn_pages);
  row.Long(memory.recovery_committed);
  row.Long(memory.recovery_aborted);
  row.PutInto(rows);
}

void PutCache(ReturnSetInfo* rows, Engine& engine) {
  fusion::Cache::Usage usage = engine.storage.pages().Count();
  const fusion::CacheShared& shared = engine.storage.pages().shared();
  fusion::GateCounters gate = shared.gate.Counters();
  Row row;
  for (uint32_t count : {usage.frames, usage.used, usage.dirty, usage.pinned}) {
    row.Long(count);
  }
  for (uint64_t count :
       {shared.hits.load(), shared.misses.load(), shared.evictions.load(), shared.written.load(),
        shared.written_by_demand.load(), shared.batches.load(), gate.shared + gate.exclusive,
        gate.returned, gate.refused}) {
    row.Long(count);
  }
  row.PutInto(rows);
}

void PutRedo(ReturnSetInfo* rows, Engine& engine) {
  const fusion::RedoShared& redo = engine.storage.shared().redo;
  Row row;
  for (uint64_t count :
       {redo.incarnation.load(), redo.insert.load(), redo.durable.load(), redo.records.load(),
        redo.flushes.load(), redo.flush_waits.load(), redo.ring_full.load()}) {
    row.Long(count);
  }
  row.PutInto(rows);
}

void PutCheckpoint(ReturnSetInfo* rows, Engine& engine) {
  const fusion::StorageShared& shared = engine.storage.shared();
  uint64_t end = shared.redo.insert.load();
  uint64_t checkpoint = shared.checkpoint.load();
  Row row;
  row.Long(checkpoint);
  row.Long(end > checkpoint ? end - checkpoint : 0);
  row.Long(shared.checkpoints.load());
  row.Time(Memory()->checkpoint_at.load());
  row.PutInto(rows);
}

void PutTransactions(ReturnSetInfo* rows, Engine& engine) {
  Row row;
  row.Long(engine.storage.shared().next_transaction.load());
  row.Long(engine.storage.shared().scn.load());
  row.Long(engine.transactions.Horizon().value());
  row.Long(engine.transactions.OldestUnresolved());
  row.PutInto(rows);
}

using Put = void (*)(ReturnSetInfo*, Engine&);

// No row unless the storage is open.
Datum OneRow(FunctionCallInfo fcinfo, Put put) {
  ReturnSetInfo* rows = BeginRows(fcinfo);
  Engine* engine = fusion::server::UseIfOpen();
  if (engine != nullptr) {
    put(rows, *engine);
  }
  return 0;
}

}  // namespace
}  // namespace pgquorum::api

PGQUORUM_FUNCTION(pgquorum_fusion_storage) {
  pgquorum::api::PutStorage(pgquorum::api::BeginRows(fcinfo));
  return 0;
}

PGQUORUM_FUNCTION(pgquorum_fusion_cache) {
  return pgquorum::api::OneRow(fcinfo, pgquorum::api::PutCache);
}

PGQUORUM_FUNCTION(pgquorum_fusion_redo) {
  return pgquorum::api::OneRow(fcinfo, pgquorum::api::PutRedo);
}

PGQUORUM_FUNCTION(pgquorum_fusion_checkpoint) {
  return pgquorum::api::OneRow(fcinfo, pgquorum::api::PutCheckpoint);
}

PGQUORUM_FUNCTION(pgquorum_fusion_transactions) {
  return pgquorum::api::OneRow(fcinfo, pgquorum::api::PutTransactions);
}

// fusion_table_size(regclass): bytes; NULL for a relation that is no fusion table.
PGQUORUM_FUNCTION(pgquorum_fusion_table_size) {
  Relation rel = try_relation_open(PG_GETARG_OID(0), AccessShareLock);
  if (rel == nullptr) {
    PG_RETURN_NULL();
  }
  bool ours = rel->rd_tableam != nullptr && pgquorum::fusion::server::IsFusionTable(rel);
  uint64 size = ours ? pgquorum::fusion::server::TableBytes(rel) : 0;
  relation_close(rel, AccessShareLock);
  if (!ours) {
    PG_RETURN_NULL();
  }
  PG_RETURN_INT64(static_cast<int64>(size));
}
