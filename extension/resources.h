// The one place that sums what pgquorum takes from the server: shared memory and background
// workers. A capability adds its rows to the tables of resources.cpp.
#pragma once

#include <cstddef>

namespace pgquorum::resources {

// Whom a worker is started for.
enum class Needs { kMember, kEveryServer, kFusion };

// From when on, and whether it may connect to a database.
enum class When {
  kStart,       // with the postmaster, before recovery; never a connection
  kConsistent,  // when the server is consistent; may connect
  kPrimary,     // when recovery has finished; no connection
};

struct Worker {
  const char* name;      // shown in pg_stat_activity and the log
  const char* type;      // bgw_type
  const char* library;   // shared object below $libdir
  const char* function;  // its entry point
  Needs needs;
  When when;
};

// Registers the workers of this kind of server; call it in _PG_init. A member that cannot have all
// its workers must not start: FATAL names the number that max_worker_processes needs.
void RegisterWorkers(bool member);

// Requests shared memory; shmem_request_hook.
void RequestSharedMemory();

// How many workers the server of this kind needs.
int WorkersNeeded(bool member);

}  // namespace pgquorum::resources
