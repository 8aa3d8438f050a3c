// What the postmaster does for a member: before it opens anything (_PG_init), and whenever shared
// memory is made (the start and the restart after a crash of a backend).
#pragma once

namespace pgquorum::boot {

// In _PG_init, after the settings are defined. For a member: carries out an intent (and then never
// returns: the process executes itself again), saves this node's configuration, writes the
// configuration of a start that follows nobody, arms the demotion. Does nothing in a standalone
// server. Returns true for a member that is not closed.
bool PrepareStart();

// shmem_startup_hook, in the postmaster alone: a new boot id, the gate closed, and for members a
// standby's signal file. After a crash restart this is all that keeps the server from coming back
// as a primary by itself.
void InitializeSharedMemory();

}  // namespace pgquorum::boot
