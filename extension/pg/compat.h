// The only place that knows how PostgreSQL 15 to 18 differ. Everything else is written against the
// names below. Include after the PostgreSQL headers that the caller uses.
#pragma once

extern "C" {
#include "miscadmin.h"
#include "replication/walsender_private.h"
#include "storage/proc.h"
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

}  // namespace pgquorum::compat
