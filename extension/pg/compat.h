// The only place that knows how PostgreSQL 15 to 18 differ. Everything else is written against the
// names below. Include after the PostgreSQL headers that the caller uses.
#pragma once

extern "C" {
#include "miscadmin.h"
#include "replication/walsender_private.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
}

namespace pgquorum::compat {

// Number of this process's PGPROC, from 0.
inline int32_t MyProcNumber() {
#if PG_VERSION_NUM >= 170000
  return ::MyProcNumber;
#else
  return MyProc->pgprocno;
#endif
}

// PGPROCs of backends, workers and auxiliary processes (not those of prepared transactions).
inline uint32_t ProcessSlots() {
  return static_cast<uint32_t>(MaxBackends + NUM_AUXILIARY_PROCS);
}

inline Latch* CheckpointerLatch() {
#if PG_VERSION_NUM >= 170000
  return ProcGlobal->checkpointerProc == INVALID_PROC_NUMBER
             ? nullptr
             : &GetPGProcByNumber(ProcGlobal->checkpointerProc)->procLatch;
#else
  return ProcGlobal->checkpointerLatch;
#endif
}

// Whether committing backends wait for standbys: set by the checkpointer from
// synchronous_standby_names. The field had another name before 15.13; build for a current minor.
inline bool SyncStandbysDefined() {
  return (WalSndCtl->sync_standbys_status & SYNC_STANDBY_DEFINED) != 0;
}

// The table entry of a string setting of the server, or null. For the check hook of a core setting.
inline config_string* FindStringSetting(const char* name) {
#if PG_VERSION_NUM >= 160000
  config_generic* found = find_option(name, false, true, DEBUG1);
  return found != nullptr && found->vartype == PGC_STRING ? reinterpret_cast<config_string*>(found)
                                                          : nullptr;
#else
  config_generic** settings = get_guc_variables();
  for (int i = 0; i < GetNumConfigOptions(); ++i) {
    if (strcmp(settings[i]->name, name) == 0 && settings[i]->vartype == PGC_STRING) {
      return reinterpret_cast<config_string*>(settings[i]);
    }
  }
  return nullptr;
#endif
}

// A parameter was changed in the files that this process has read, and only a restart of the server
// brings it into force.
inline bool AnySettingAwaitsRestart() {
#if PG_VERSION_NUM >= 160000
  int count = 0;
  config_generic** settings = get_guc_variables(&count);
#else
  config_generic** settings = get_guc_variables();
  int count = GetNumConfigOptions();
#endif
  bool found = false;
  for (int i = 0; i < count && !found; ++i) {
    found = (settings[i]->status & GUC_PENDING_RESTART) != 0;
  }
#if PG_VERSION_NUM >= 160000
  pfree(settings);
#endif
  return found;
}

}  // namespace pgquorum::compat
