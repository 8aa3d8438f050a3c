#include "bgworkers/replication/server/apply_references.h"

#include <string>
#include <vector>

#include "extension/pg/boundary.h"

extern "C" {
#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/reltrigger.h"
#include "utils/snapmgr.h"
}

namespace pgquorum::replication::server {

namespace {

// Beyond it, what is there is looked at before the transaction ends; should it not hold yet, the
// transaction is applied row by row.
constexpr std::size_t kMaxPending = 10'000;

struct Pending {
  Oid table;
  bool is_gone;
  std::string row;
};
// Outlives every error.
std::vector<Pending>& Queue() {
  static auto* const queue = new std::vector<Pending>;
  return *queue;
}

// The server's own triggers for foreign keys say on which side of one the table is.
bool HasSide(Relation relation, int side) {
  const TriggerDesc* triggers = relation->trigdesc;
  for (int i = 0; triggers != nullptr && i < triggers->numtriggers; ++i) {
    if (RI_FKey_trigger_type(triggers->triggers[i].tgfoid) == side) {
      return true;
    }
  }
  return false;
}

char* Json(TupleTableSlot* row) {
  Datum json = DirectFunctionCall1(row_to_json, ExecFetchSlotHeapTupleDatum(row));
  return text_to_cstring(DatumGetTextPP(json));
}

void Check(Oid table, bool is_gone, const char* row) {
  PushActiveSnapshot(GetTransactionSnapshot());
  if (SPI_connect() != SPI_OK_CONNECT) {
    elog(ERROR, "SPI_connect failed");
  }
  Oid types[] = {OIDOID, TEXTOID};
  Datum values[] = {ObjectIdGetDatum(table), CStringGetTextDatum(row)};
  SPI_execute_with_args(is_gone ? "SELECT pgquorum_internal.check_children($1, $2::json)"
                                : "SELECT pgquorum_internal.check_parents($1, $2::json)",
                        2, types, values, nullptr, false, 0);
  SPI_finish();
  PopActiveSnapshot();
}

}  // namespace

ReferenceChecks ChecksOf(Relation relation, Oid table, TupleTableSlot* before,
                         TupleTableSlot* after) {
  ReferenceChecks checks;
  checks.table = table;
  if (after != nullptr && HasSide(relation, RI_TRIGGER_FK)) {
    checks.written = Json(after);
  }
  if (before != nullptr && HasSide(relation, RI_TRIGGER_PK)) {
    checks.gone = Json(before);
  }
  return checks;
}

void CheckReferences(const ReferenceChecks& checks) {
  if (checks.written != nullptr) {
    Check(checks.table, false, checks.written);
  }
  if (checks.gone != nullptr) {
    Check(checks.table, true, checks.gone);
  }
}

void CheckReferencesLater(const ReferenceChecks& checks) {
  pg::Boundary([&] {
    if (checks.written != nullptr) {
      Queue().push_back({checks.table, false, checks.written});
    }
    if (checks.gone != nullptr) {
      Queue().push_back({checks.table, true, checks.gone});
    }
  });
  if (Queue().size() > kMaxPending) {
    CheckReferencesNow();
  }
}

void CheckReferencesNow() {
  for (std::size_t i = 0; i < Queue().size(); ++i) {
    Check(Queue()[i].table, Queue()[i].is_gone, Queue()[i].row.c_str());
  }
  Queue().clear();
}

void ForgetReferences() {
  Queue().clear();
}

}  // namespace pgquorum::replication::server
