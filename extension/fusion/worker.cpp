// The background worker of fusion: opens the storage when PostgreSQL's own recovery has finished,
// writes behind, takes checkpoints, and closes the storage when the last user has gone.
#include "extension/fusion/leaks.h"
#include "extension/fusion/open_storage.h"
#include "extension/fusion/settings.h"
#include "extension/fusion/storage_lock.h"
#include "extension/guc.h"

extern "C" {
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
}

#include "extension/pg/boundary.h"

namespace pgquorum::fusion::server {
namespace {

constexpr long kTurnMs = 200;     // redo of commits that did not wait is durable after this
constexpr long kRetryMs = 2000;   // after a failed attempt to open
constexpr long kFarewellMs = 50;  // how often the users are counted at the end
constexpr int kFarewellTurns = 1200;
constexpr std::size_t kPagesATurn = 256;

struct Worker {
  Engine* engine;
  int64_t checkpoint_begun;
};

void Sleep(long ms) {
  WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, ms, PG_WAIT_EXTENSION);
  ResetLatch(MyLatch);
  CHECK_FOR_INTERRUPTS();
  if (ConfigReloadPending) {
    ConfigReloadPending = false;
    ProcessConfigFile(PGC_SIGHUP);
  }
}

void Fail(OpenState state, const pg::ErrorText& error) {
  SharedMemory& memory = *Memory();
  if (memory.state.load() != state || strcmp(memory.reason.message, error.message) != 0) {
    pg::Report(LOG, error);
    memory.reason = error;
  }
  ChangeState(state);
}

OpenState Now() {
  return Memory()->state.load(std::memory_order_acquire);
}

void Open(Worker& worker) {
  pg::ErrorText error = {};
  if (pg::Attempt([&]() -> Status { return OpenStorage(*worker.engine); }, error)) {
    SharedMemory& memory = *Memory();
    ereport(LOG, (errmsg("fusion storage is open after %.3f s",
                         static_cast<double>(memory.recovery_us) / 1e6),
                  errdetail("%llu redo records, %llu bytes; %llu transactions committed and %llu "
                            "aborted by the recovery.",
                            static_cast<unsigned long long>(memory.recovery_records),
                            static_cast<unsigned long long>(memory.recovery_bytes),
                            static_cast<unsigned long long>(memory.recovery_committed),
                            static_cast<unsigned long long>(memory.recovery_aborted))));
    worker.checkpoint_begun = GetCurrentTimestamp();
    memory.checkpoint_at.store(worker.checkpoint_begun);
    ChangeState(OpenState::kOpen);
    BeginLeakSearch();
    return;
  }
  // A storage that was opened half-way has used this memory up.
  if (worker.engine->storage.broken()) {
    Fail(OpenState::kBroken, error);
  } else {
    UnlockAsServer();
    Fail(OpenState::kFailed, error);
  }
}

uint64_t RedoBehindCheckpoint(Storage& storage) {
  return storage.redo().end().value() - storage.shared().checkpoint.load();
}

Status Tick(Worker& worker) {
  Storage& storage = worker.engine->storage;
  Status status = storage.FlushRedo(storage.redo().end());
  if (!status.ok()) {
    return status;
  }
  // Half of the redo may lie behind pages that are not written yet; a checkpoint has the rest to
  // do.
  Result<std::size_t> written = storage.WriteBehind(MaxRedoBytes() / 2, kPagesATurn);
  if (!written.ok()) {
    return written.status();
  }
  bool full = RedoBehindCheckpoint(storage) > MaxRedoBytes();
  int64_t begun = GetCurrentTimestamp();
  bool due = begun - worker.checkpoint_begun >= int64_t{guc::fusion_checkpoint_timeout} * 1000000;
  if (!full && !due) {
    return Status::Ok();
  }
  worker.checkpoint_begun = begun;
  status = storage.Checkpoint(worker.engine->transactions.OldestUnresolved());
  if (status.ok()) {
    status = NoteCatalogPosition();
  }
  Memory()->checkpoint_at.store(GetCurrentTimestamp());
  return status;
}

void Work(Worker& worker) {
  pg::ErrorText error = {};
  if (!pg::Attempt([&]() -> Status { return Tick(worker); }, error)) {
    worker.engine->storage.shared().redo.broken.store(1);
    strlcpy(error.hint, "Mend what the server's log tells of and restart the server.",
            sizeof(error.hint));
    Fail(OpenState::kBroken, error);
  }
}

// Everybody else is told to end at the same time, and may have transactions to abort.
void Close(Worker& worker) {
  for (int i = 0; i < kFarewellTurns && Memory()->users.load() > 0; ++i) {
    Sleep(kFarewellMs);
  }
  if (Memory()->users.load() > 0) {
    ereport(LOG, (errmsg("fusion storage is left as it is, for it is still in use")));
    return;
  }
  ChangeState(OpenState::kClosed);
  pg::ErrorText error = {};
  auto close = [&]() -> Status {
    Status status = worker.engine->storage.Close(worker.engine->transactions.OldestUnresolved());
    return status.ok() ? NoteCatalogPosition() : status;
  };
  if (!pg::Attempt(close, error)) {
    ereport(LOG, (errmsg("could not close the fusion storage: %s", error.message)));
  }
}

[[noreturn]] void Main() {
  pqsignal(SIGHUP, SignalHandlerForConfigReload);
  pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
  BackgroundWorkerUnblockSignals();
  Worker worker = {};
  pg::Boundary([&] { worker.engine = new Engine(); });
  worker.checkpoint_begun = GetCurrentTimestamp();
  if (Now() == OpenState::kOpen) {
    // A successor of a worker that ended by itself: the storage is open all the same.
    pg::Boundary([&]() -> Status { return LockAsServer(Directory(), true); });
    BeginLeakSearch();
  }
  while (ShutdownRequestPending == 0) {
    if (Now() == OpenState::kStarting || Now() == OpenState::kFailed) {
      Open(worker);
    } else if (Now() == OpenState::kOpen) {
      Work(worker);
      ContinueLeakSearch(*worker.engine);
    }
    Sleep(Now() == OpenState::kFailed ? kRetryMs : kTurnMs);
  }
  if (Now() == OpenState::kOpen) {
    Close(worker);
  }
  proc_exit(0);
}

}  // namespace
}  // namespace pgquorum::fusion::server

PGQUORUM_EXPORT void pgquorum_fusion_main(Datum);
void pgquorum_fusion_main(Datum) {
  pgquorum::fusion::server::Main();
}
