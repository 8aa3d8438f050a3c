#include "extension/fusion/engine.h"

#include <algorithm>

#include "base/storage/errors.h"
#include "base/storage/file.h"
#include "extension/fusion/settings.h"
#include "extension/fusion/storage_lock.h"

extern "C" {
#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/pmsignal.h"
}

#include "extension/pg/boundary.h"
#include "extension/pg/compat.h"

namespace pgquorum::fusion::server {
namespace {

// SegmentStore's open files, the redo file, the double-write file, the lock.
constexpr int kFileDescriptors = 131;
constexpr std::size_t kMaxTables = 512;

Engine* g_engine = nullptr;
bool g_attached = false;  // counted and locked

void OnExit(int, Datum) {
  Memory()->users.fetch_sub(1);
}

[[noreturn]] void RaiseNotConfigured() {
  ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                  errmsg("this server has no fusion storage"),
                  errhint("Set pgquorum.fusion_storage to a directory and restart the server.")));
  pg_unreachable();
}

[[noreturn]] void RaiseClosed() {
  const SharedMemory& memory = *Memory();
  if (memory.state.load(std::memory_order_acquire) == OpenState::kClosed) {
    ereport(ERROR, (errcode(MAKE_SQLSTATE('R', 'X', '3', '0', '2')),
                    errmsg("the fusion storage is closed"), errhint("Restart the server.")));
  }
  pg::Raise(memory.reason);
}

// Pages are latched meanwhile, and might be just those.
[[noreturn]] void RaiseComparing() {
  ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                  errmsg("the comparison function of a fusion index cannot use fusion tables")));
  pg_unreachable();
}

void RefuseStandby() {
  if (RecoveryInProgress()) {
    ereport(
        ERROR,
        (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
         errmsg("fusion tables cannot be used on a standby"),
         errhint(
             "Use the primary; only the server that has the fusion storage open can read it.")));
  }
}

// Until the worker has opened the storage, or said why not.
void AwaitOpen() {
  SharedMemory& memory = *Memory();
  ConditionVariablePrepareToSleep(&memory.changed);
  while (memory.state.load(std::memory_order_acquire) == OpenState::kStarting) {
    ConditionVariableSleep(&memory.changed, PG_WAIT_EXTENSION);
  }
  ConditionVariableCancelSleep();
  if (memory.state.load(std::memory_order_acquire) != OpenState::kOpen) {
    RaiseClosed();
  }
}

Status LockOnce() {
  Status locked = LockAsUser(Directory());
  if (locked.ok() && !PostmasterIsAlive()) {
    return Status::Error("57P01", "the server is going down");
  }
  return locked;
}

void MakeEngine() {
  if (g_engine == nullptr) {
    pg::Boundary([&] { g_engine = new Engine(); });
    Slots()[static_cast<std::size_t>(compat::MyProcNumber())].oldest_snapshot.store(0);
    Slots()[static_cast<std::size_t>(compat::MyProcNumber())].oldest_transaction.store(0);
  }
}

void Attach() {
  MakeEngine();
  pg::Boundary([&]() -> Status { return LockOnce(); });
  // Not more than half of what the server lets libraries have: wait sets of others are counted too.
  for (int i = 0; i < std::min(kFileDescriptors, max_safe_fds / 6); ++i) {
    ReserveExternalFD();
  }
  // After the callbacks that end the transaction: until then this process uses the engine.
  on_shmem_exit(OnExit, 0);
  Memory()->users.fetch_add(1);
  g_attached = true;
}

}  // namespace

Engine::Engine()
    : storage(PosixFileSystem(), Directory(), kThisInstance, Sizes(), EngineMemory(), latches),
      transactions(storage, kThisInstance, Slots(),
                   static_cast<std::size_t>(compat::MyProcNumber())),
      visibility(transactions, own) {}

Result<TableStore*> Engine::Table(uint64_t segment) {
  auto found = tables.find(segment);
  if (found != tables.end()) {
    return found->second.get();
  }
  auto store = std::make_unique<TableStore>(storage, segment);
  Result<uint32_t> blocks = store->space().Blocks();
  if (!blocks.ok()) {
    return blocks.status();
  }
  if (blocks.value() == 0) {
    return Status::Error(kErrFileMissing, "the fusion storage does not hold this table")
        .WithDetail("Segment " + std::to_string(segment >> 32) + "/" +
                    std::to_string(segment & UINT32_MAX) + " is missing.")
        .WithHint(
            "Tables do not come along with CREATE DATABASE … TEMPLATE or a physical backup of the "
            "server.");
  }
  if (tables.size() >= kMaxTables) {
    tables.clear();  // only hints are lost
  }
  return (tables[segment] = std::move(store)).get();
}

Engine& Use() {
  if (g_engine != nullptr && g_engine->comparing) {
    RaiseComparing();
  }
  SharedMemory* memory = Memory();
  if (memory == nullptr) {
    RaiseNotConfigured();
  }
  if (memory->state.load(std::memory_order_acquire) != OpenState::kOpen || !g_attached) {
    RefuseStandby();
    AwaitOpen();
    if (!g_attached) {
      Attach();
    }
  }
  return *g_engine;
}

Engine* UseIfOpen() {
  SharedMemory* memory = Memory();
  if (memory == nullptr || memory->state.load(std::memory_order_acquire) != OpenState::kOpen) {
    return nullptr;
  }
  MakeEngine();
  return g_engine;
}

Engine* Attached() {
  return g_engine;
}

}  // namespace pgquorum::fusion::server
