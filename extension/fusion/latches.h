// The engine's latches as lightweight locks of the server.
//
// A lightweight lock holds interrupts back while it is waited for and held, so nothing is raised in
// the engine's frames. The one error that could be (more than 200 locks held) is beyond what the
// engine ever holds: kMaxBlocksAdded + 2 pages and one lock of each other kind.
#pragma once

#include "cachefusion/storage/latches.h"

#include "extension/fusion/memory.h"

namespace pgquorum::fusion::server {

class ServerLatches : public Latches {
 public:
  // Of this process: names the locks for pg_stat_activity.
  ServerLatches();

  void Acquire(LatchId latch, LatchMode mode) override;
  bool TryAcquire(LatchId latch, LatchMode mode) override;
  void Release(LatchId latch) override;
  bool AcquireOrWait(LatchId latch) override;

 private:
  LWLock* locks_;
};

}  // namespace pgquorum::fusion::server
