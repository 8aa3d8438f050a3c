// The postmaster replaces itself by a fresh copy of the same program: same process id, so that a
// service manager or container sees nothing.
#pragma once

#include <string>

namespace pgquorum::boot {

// Once, early in _PG_init of the postmaster: remembers the command line and keeps the original
// stdout and stderr, which the logging collector redirects later. Without that each re-exec would
// leak one collector.
void PrepareReexec();

// `postgres -C name` loads the libraries too, and must change nothing. After PrepareReexec().
bool OnlyPrintsASetting();

// Never returns on success; on failure returns strerror text.
std::string Reexec();

// Registers the on_proc_exit callback that turns the end of this postmaster into a restart in place
// when a demote order for this very boot lies in the state directory.
void ArmDemotion(const std::string& state_directory);
// The boot that an order must name; set by shmem_startup_hook.
void SetDemotionBoot(uint64_t boot_id);

}  // namespace pgquorum::boot
