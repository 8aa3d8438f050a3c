// One dispatcher for each PostgreSQL hook that pgquorum uses, in a file of its own in this folder.
// Nobody sets a PostgreSQL hook elsewhere. A dispatcher calls the capabilities in a fixed order
// (see README.md: fence before capture before fusion commit), then the hook that was there before.
#pragma once

namespace pgquorum::hooks {

void InstallMemory();          // shmem_request_hook, shmem_startup_hook
void InstallTransaction();     // transaction callbacks
void InstallExecutor();        // ExecutorStart_hook, ExecutorRun_hook, ExecutorFinish_hook
void InstallUtility();         // ProcessUtility_hook
void InstallPlanner();         // get_relation_info_hook
void InstallObjectAccess();    // object_access_hook
void InstallAuthentication();  // ClientAuthentication_hook

void InstallListGuard();  // check hook of synchronous_standby_names; members only
void InstallNameGuard();  // check hook of application_name; members only

}  // namespace pgquorum::hooks
