// Locks between the processes of one instance, behind a thin wall: PostgreSQL's lightweight locks
// in the server, mutexes in tests. They are numbered; each name below says what it protects.
//
// Order: pages as ../README.md says, then checkpoint (shared, while a segment is removed; or
// alone), commit, at most one partition, redo insert, double write, redo flush. Nobody waits for a
// page's latch while holding one of the others.
#pragma once

#include <cstdint>

namespace pgquorum::fusion {

using LatchId = uint32_t;
inline constexpr LatchId kRedoInsertLatch = 0;   // end of the redo stream, its ring
inline constexpr LatchId kRedoFlushLatch = 1;    // writing and syncing of redo files
inline constexpr LatchId kDoubleWriteLatch = 2;  // the double-write area and all page writes
inline constexpr LatchId kCommitLatch = 3;       // the order of commits
inline constexpr LatchId kCheckpointLatch = 4;   // one checkpoint at a time; the control file
inline constexpr LatchId kPartitionLatches = 8;
inline constexpr uint32_t kPartitions = 64;  // of the map from pages to frames
inline constexpr LatchId kFrameLatches = kPartitionLatches + kPartitions;

enum class LatchMode : uint8_t { kShared = 1, kExclusive = 2 };

class Latches {
 public:
  virtual ~Latches() = default;

  virtual void Acquire(LatchId latch, LatchMode mode) = 0;
  virtual bool TryAcquire(LatchId latch, LatchMode mode) = 0;
  virtual void Release(LatchId latch) = 0;
  // Exclusive. False: the latch was busy, this waited until it was free and did not take it. For
  // work that the holder has probably done for the waiters.
  virtual bool AcquireOrWait(LatchId latch) = 0;
};

class LatchHold {
 public:
  LatchHold(Latches& latches, LatchId latch, LatchMode mode) : latches_(latches), latch_(latch) {
    latches_.Acquire(latch_, mode);
  }
  ~LatchHold() { latches_.Release(latch_); }
  LatchHold(const LatchHold&) = delete;
  LatchHold& operator=(const LatchHold&) = delete;

 private:
  Latches& latches_;
  LatchId latch_;
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
