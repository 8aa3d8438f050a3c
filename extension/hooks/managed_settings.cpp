#include "extension/pg/pg.h"

extern "C" {
#include "nodes/parsenodes.h"
}

#include "extension/hooks/managed_settings.h"
#include "extension/shmem.h"

namespace pgquorum::managed_settings {

namespace {

constexpr const char* kManaged[] = {
    "primary_conninfo",          "primary_slot_name",
    "synchronous_standby_names", "hot_standby",
    "promote_trigger_file",      "recovery_target",
    "recovery_target_lsn",       "recovery_target_name",
    "recovery_target_time",      "recovery_target_timeline",
    "recovery_target_xid",
};

bool IsManaged(const char* name) {
  for (const char* managed : kManaged) {
    if (pg_strcasecmp(name, managed) == 0) {
      return true;
    }
  }
  return false;
}

}  // namespace

void Refuse(const Node* statement) {
  if (!IsA(statement, AlterSystemStmt)) {
    return;
  }
  const VariableSetStmt* set = castNode(AlterSystemStmt, const_cast<Node*>(statement))->setstmt;
  shared::Root* root = shmem::Attach();
  if (root == nullptr || root->boot.mode == shared::Mode::kStandalone ||
      set->kind != VAR_SET_VALUE || set->name == nullptr || !IsManaged(set->name)) {
    return;
  }
  ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                  errmsg("parameter \"%s\" is managed by the cluster", set->name),
                  errdetail("pgquorum sets it on each member from what the cluster decided.")));
}

}  // namespace pgquorum::managed_settings
