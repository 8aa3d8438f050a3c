// Dispatcher of ClientAuthentication_hook.
#include "extension/pg/port.h"

extern "C" {
#include "libpq/auth.h"
#include "miscadmin.h"
}

#include "extension/guc.h"
#include "extension/hooks/admission.h"
#include "extension/hooks/hooks.h"
#include "extension/shmem.h"

namespace pgquorum::hooks {

namespace {

ClientAuthentication_hook_type g_next = nullptr;

void OnAuthentication(Port* port, int status) {
  if (g_next != nullptr) {
    g_next(port, status);
  }
  // A new process has the setting from the postmaster, without its assign hook having run here.
  shmem::NoteSyncGeneration(static_cast<uint64_t>(guc::sync_generation));
  if (status == STATUS_OK) {
    admission::AwaitSettling();
    admission::CheckLogin(port->user_name);
    admission::MarkSession();
  }
}

}  // namespace

void InstallAuthentication() {
  g_next = ClientAuthentication_hook;
  ClientAuthentication_hook = OnAuthentication;
}

}  // namespace pgquorum::hooks
