// Dispatcher of shmem_request_hook and shmem_startup_hook.
#include "extension/fusion/memory.h"
#include "extension/pg/pg.h"

extern "C" {
#include "miscadmin.h"
#include "storage/ipc.h"
}

#include "extension/hooks/boot/boot.h"
#include "extension/hooks/hooks.h"
#include "extension/resources.h"

namespace pgquorum::hooks {

namespace {

shmem_request_hook_type g_next_request = nullptr;
shmem_startup_hook_type g_next_startup = nullptr;

void OnRequest() {
  if (g_next_request != nullptr) {
    g_next_request();
  }
  resources::RequestSharedMemory();
}

void OnStartup() {
  if (g_next_startup != nullptr) {
    g_next_startup();
  }
  if (IsPostmasterEnvironment && !IsUnderPostmaster) {
    boot::InitializeSharedMemory();
    fusion::server::CreateMemory();
  }
}

}  // namespace

void InstallMemory() {
  g_next_request = shmem_request_hook;
  shmem_request_hook = OnRequest;
  g_next_startup = shmem_startup_hook;
  shmem_startup_hook = OnStartup;
}

}  // namespace pgquorum::hooks
