#include "extension/pg/pg.h"

extern "C" {
#include "utils/guc.h"
}

#include "extension/guc.h"
#include "extension/shmem.h"

namespace pgquorum::guc {

#include "settings_definitions.inc"

namespace {

void AssignSyncGeneration(int value, void*) {
  shmem::NoteSyncGeneration(static_cast<uint64_t>(value));
}

}  // namespace

void Define() {
#include "settings_calls.inc"
  MarkGUCPrefixReserved("pgquorum");
}

}  // namespace pgquorum::guc
