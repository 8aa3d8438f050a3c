// Entry point of the preloaded library.
#include "extension/fusion/settings.h"
#include "extension/pg/pg.h"

extern "C" {
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
}

#include "extension/guc.h"
#include "extension/hooks/boot/boot.h"
#include "extension/hooks/boot/reexec.h"
#include "extension/hooks/hooks.h"
#include "extension/hooks/raft_settings.h"
#include "extension/resources.h"

PGQUORUM_EXPORT const Pg_magic_struct* PG_MAGIC_FUNCTION_NAME(void);
const Pg_magic_struct* PG_MAGIC_FUNCTION_NAME(void) {
  static const Pg_magic_struct magic = PG_MODULE_MAGIC_DATA;
  return &magic;
}

PGQUORUM_EXPORT void _PG_init(void);
void _PG_init(void) {
  using namespace pgquorum;
  if (!process_shared_preload_libraries_in_progress) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("pgquorum must be loaded when the server starts"),
                    errhint("Add pgquorum to shared_preload_libraries and restart the server.")));
  }
  guc::Define();
  // Single-user mode (pg_rewind uses it), binary upgrade and `postgres -C` get the settings and
  // nothing else.
  if (!IsPostmasterEnvironment || IsBinaryUpgrade) {
    return;
  }
  boot::PrepareReexec();
  if (boot::OnlyPrintsASetting()) {
    return;
  }
  hooks::CheckRaftSettings();
  bool member = boot::PrepareStart();
  resources::RegisterWorkers(member);
  hooks::InstallMemory();
  hooks::InstallTransaction();
  hooks::InstallExecutor();
  hooks::InstallUtility();
  if (fusion::server::Configured()) {
    hooks::InstallPlanner();
    hooks::InstallObjectAccess();
  }
  hooks::InstallAuthentication();
  if (member) {
    hooks::InstallListGuard();
    hooks::InstallNameGuard();
  }
}
