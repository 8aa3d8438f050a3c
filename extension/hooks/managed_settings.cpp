#include "extension/hooks/managed_settings.h"

#include "extension/pg/pg.h"

extern "C" {
#include "access/xact.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/formatting.h"
#include "utils/guc.h"
}

#include "extension/hooks/commit_gate.h"
#include "extension/hooks/raft_settings.h"
#include "extension/pg/raise.h"
#include "extension/shmem.h"

namespace pgquorum::managed_settings {

namespace {

constexpr char kPrefix[] = "pgquorum.";
constexpr uint32_t kTimeoutMs = 10'000;

// Written by the worker, or in the way of what it writes.
constexpr const char* kManaged[] = {
    "hot_standby",
    "primary_conninfo",
    "primary_slot_name",
    "promote_trigger_file",
    "recovery_end_command",
    "recovery_min_apply_delay",
    "recovery_target",
    "recovery_target_action",
    "recovery_target_inclusive",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_timeline",
    "recovery_target_xid",
    "restore_command",
    "synchronous_standby_names",
    "wal_retrieve_retry_interval",
};

// An acknowledged commit is on disk, here and there, and a standby can be made and rewound.
constexpr const char* kMustBeOn[] = {"fsync", "full_page_writes"};

bool IsOneOf(const char* name, const char* const* begin, const char* const* end) {
  for (; begin != end; ++begin) {
    if (pg_strcasecmp(name, *begin) == 0) {
      return true;
    }
  }
  return false;
}

template <std::size_t N>
bool IsOneOf(const char* name, const char* const (&names)[N]) {
  return IsOneOf(name, names, names + N);
}

void RefuseManaged(const char* name) {
  if (IsOneOf(name, kManaged)) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("parameter \"%s\" is managed by the cluster", name),
                    errdetail("pgquorum sets it on each member from what the cluster decided.")));
  }
}

void RefuseDanger(const char* name, const char* value) {
  bool on = true;
  const char* why = nullptr;
  if (IsOneOf(name, kMustBeOn) && parse_bool(value, &on) && !on) {
    why = "Without it an acknowledged commit may be lost.";
  } else if (pg_strcasecmp(name, "wal_level") == 0 && pg_strcasecmp(value, "minimal") == 0) {
    why = "Standbys need more.";
  } else if (pg_strcasecmp(name, "shared_preload_libraries") == 0 &&
             strstr(value, "pgquorum") == nullptr) {
    why = "A member does not work without the library pgquorum.";
  }
  if (why != nullptr) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("parameter \"%s\" may not be set to \"%s\" on a member of a cluster",
                           name, value),
                    errdetail_internal("%s", why)));
  }
}

// A name without a dot that the server does not know, or one with our prefix.
bool MayBeTheClusters(const char* name) {
  bool ours = pg_strncasecmp(name, kPrefix, sizeof(kPrefix) - 1) == 0;
  if (!ours && strchr(name, '.') != nullptr) {
    return false;
  }
  const char* known = nullptr;
  return GetConfigOptionByName(name, &known, true) == nullptr;
}

void SetForCluster(const char* name, const char* value, bool top_level) {
  if (!commit_gate::IsAdministrator()) {
    ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                    errmsg("permission denied to set parameter \"%s\"", name),
                    errdetail("Settings of the cluster are for members of pgquorum_admin.")));
  }
  PreventInTransactionBlock(top_level, "ALTER SYSTEM");
  shared::RequestArguments arguments = {};
  arguments.verb = shared::Verb::kSetSetting;
  arguments.timeout_ms = kTimeoutMs;
  arguments.user.Set(GetUserNameFromId(GetSessionUserId(), false));
  char* lower = asc_tolower(name, strlen(name));
  bool prefixed = strncmp(lower, kPrefix, sizeof(kPrefix) - 1) == 0;
  char* full = prefixed ? lower : psprintf("%s%s", kPrefix, lower);
  if (strlen(full) >= sizeof(arguments.node.data) || strlen(value) >= sizeof(arguments.text.data)) {
    ereport(ERROR,
            (errcode(ERRCODE_NAME_TOO_LONG), errmsg("name or value of a setting is too long")));
  }
  arguments.node.Set(full);
  arguments.text.Set(value);
  char answer[8];
  pg::ErrorText error = {};
  if (!shmem::Call(arguments, answer, sizeof(answer), &error)) {
    pg::Raise(error);
  }
}

}  // namespace

bool Handle(Node* statement, bool top_level) {
  if (!IsA(statement, AlterSystemStmt)) {
    return false;
  }
  VariableSetStmt* set = castNode(AlterSystemStmt, statement)->setstmt;
  shared::Root* root = shmem::Attach();
  if (root == nullptr || root->boot.mode == shared::Mode::kStandalone || set->name == nullptr) {
    return false;
  }
  const char* value = set->kind == VAR_SET_VALUE ? ExtractSetVariableArgs(set) : nullptr;
  if (MayBeTheClusters(set->name)) {
    SetForCluster(set->name, value == nullptr ? "" : value, top_level);
    return true;
  }
  if (value != nullptr) {
    RefuseManaged(set->name);
    RefuseDanger(set->name, value);
  }
  hooks::CheckRaftSettingsWith(set->name, value);
  return false;
}

}  // namespace pgquorum::managed_settings
