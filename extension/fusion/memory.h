// Shared memory of fusion: the engine's region, its latches, a slot for each process, and whether
// the storage may be used. It is made when the server starts and anew after every crash of a
// backend.
//
// Pure headers first: include this before extension/pg/pg.h.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "cachefusion/storage/recovery.h"
#include "cachefusion/tx/transactions.h"

#include "extension/pg/pg.h"

extern "C" {
#include "storage/condition_variable.h"
#include "storage/lwlock.h"
}

#include "extension/pg/raise.h"

namespace pgquorum::fusion::server {

enum class OpenState : uint32_t {
  kStarting = 0,  // the worker has not come to a result yet
  kOpen = 1,
  kFailed = 2,  // `reason` says why; the worker tries again
  kBroken = 3,  // `reason`; only a restart of the server helps
  kClosed = 4,  // the worker has closed it; there is no way back in this life of the server
};

struct SharedMemory {
  std::atomic<OpenState> state;
  std::atomic<int32_t> users;  // processes that have attached to the engine, without the worker
  ConditionVariable changed;   // of `state`
  int latch_tranche;
  uint32_t latch_count;
  uint32_t slot_count;

  // Written by the worker before `state` changes, under no lock: read after it.
  pg::ErrorText reason;
  int64_t opened_at;  // TimestampTz
  int64_t recovery_us;
  uint64_t recovery_records;
  uint64_t recovery_applied;
  uint64_t recovery_bytes;
  uint64_t recovery_committed;
  uint64_t recovery_aborted;
  int32_t recovery_torn_pages;
  std::atomic<int64_t> checkpoint_at;  // TimestampTz of the last one that ended
};

// Zero when fusion is not configured.
std::size_t MemoryBytes();
// The postmaster, in shmem_startup_hook.
void CreateMemory();

// Null when fusion is not configured, or in a process without shared memory.
SharedMemory* Memory();
LWLock* LatchArray();
std::span<TxSlot> Slots();
void* EngineMemory();

void ChangeState(OpenState state);

}  // namespace pgquorum::fusion::server
