// Keeps synchronous_standby_names to what the rule allows, in every process.
//
// PostgreSQL offers no hook for the values of its own settings, but each setting has a check
// function in its table entry; ours runs before the original. A reload with another value (ALTER
// SYSTEM, an edited file) is then refused by each process with a log line, and the list in force
// stays: the moment in which an empty list would release every waiting commit does not exist.
#include "extension/pg/pg.h"

extern "C" {
#include "access/parallel.h"
#include "miscadmin.h"
#include "utils/guc.h"
}

#include "extension/hooks/hooks.h"
#include "extension/pg/compat.h"
#include "extension/shmem.h"

namespace pgquorum::hooks {

namespace {

GucStringCheckHook g_original = nullptr;

bool Allowed(const char* value) {
  shared::Root* root = shmem::Created();
  if (root == nullptr) {
    return true;  // the postmaster before shared memory exists
  }
  const shared::Gate& gate = root->gate;
  uint32_t count = gate.accepted_list_count.load(std::memory_order_acquire);
  uint64_t hash = shared::ListHash(value == nullptr ? "" : value);
  for (uint32_t i = 0; i < count; ++i) {
    if (gate.accepted_list_hash[i].load(std::memory_order_relaxed) == hash) {
      return true;
    }
  }
  return count == 0;
}

bool Check(char** value, void** extra, GucSource source) {
  // A parallel worker starts every setting from its default before it takes over its leader's
  // values, and never waits for a standby.
  if (!InitializingParallelWorker && !Allowed(*value)) {
    GUC_check_errdetail("The cluster decides which standbys are synchronous.");
    GUC_check_errhint("Change the members or pgquorum.synchronous_acks instead.");
    return false;
  }
  return g_original == nullptr || g_original(value, extra, source);
}

}  // namespace

void InstallListGuard() {
  config_string* setting = compat::FindStringSetting("synchronous_standby_names");
  if (setting == nullptr) {
    ereport(FATAL, (errmsg("the server has no setting \"synchronous_standby_names\"")));
  }
  g_original = setting->check_hook;
  setting->check_hook = Check;
}

}  // namespace pgquorum::hooks
