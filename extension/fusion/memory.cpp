#include "extension/fusion/memory.h"

#include "extension/fusion/settings.h"

extern "C" {
#include "miscadmin.h"
#include "storage/shmem.h"
}

#include "extension/pg/compat.h"

namespace pgquorum::fusion::server {
namespace {

constexpr char kSegment[] = "pgquorum fusion";

SharedMemory* g_memory = nullptr;

// The parts of the region, in their order; each begins at a cache line, the engine's at a page.
struct Layout {
  std::size_t latches;
  std::size_t slots;
  std::size_t engine;
  std::size_t end;
};

Layout LayoutOf(const StorageSizes& sizes) {
  Layout layout;
  layout.latches = CACHELINEALIGN(sizeof(SharedMemory));
  layout.slots = CACHELINEALIGN(layout.latches + sizeof(LWLock) * sizes.LatchCount());
  layout.engine = TYPEALIGN(kPageBytes, layout.slots + sizeof(TxSlot) * compat::ProcessSlots());
  layout.end = layout.engine + sizes.MemoryBytes();
  return layout;
}

char* At(std::size_t offset) {
  return reinterpret_cast<char*>(g_memory) + offset;
}

}  // namespace

std::size_t MemoryBytes() {
  return Configured() ? LayoutOf(Sizes()).end : 0;
}

void CreateMemory() {
  g_memory = nullptr;
  if (!Configured()) {
    return;
  }
  bool found = false;
  LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
  // Fresh from the operating system: all zero, which is what the engine calls closed.
  g_memory = static_cast<SharedMemory*>(ShmemInitStruct(kSegment, LayoutOf(Sizes()).end, &found));
  LWLockRelease(AddinShmemInitLock);
  if (found) {
    ereport(FATAL, (errmsg("shared memory of fusion exists already")));
  }
  ConditionVariableInit(&g_memory->changed);
  g_memory->latch_tranche = LWLockNewTrancheId();
  g_memory->latch_count = Sizes().LatchCount();
  g_memory->slot_count = compat::ProcessSlots();
  for (uint32_t i = 0; i < g_memory->latch_count; ++i) {
    LWLockInitialize(&LatchArray()[i], g_memory->latch_tranche);
  }
}

SharedMemory* Memory() {
  return g_memory;  // inherited from the postmaster by every process that it starts
}

LWLock* LatchArray() {
  return reinterpret_cast<LWLock*>(At(LayoutOf(Sizes()).latches));
}

std::span<TxSlot> Slots() {
  return {reinterpret_cast<TxSlot*>(At(LayoutOf(Sizes()).slots)), g_memory->slot_count};
}

void* EngineMemory() {
  return At(LayoutOf(Sizes()).engine);
}

void ChangeState(OpenState state) {
  g_memory->state.store(state, std::memory_order_release);
  ConditionVariableBroadcast(&g_memory->changed);
}

}  // namespace pgquorum::fusion::server
