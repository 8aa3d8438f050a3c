// What can happen to the simulated worlds.
#pragma once

#include <cstddef>

#include "base/sim/coverage.h"

namespace pgquorum::fusion::sim {

// The names are in coverage.cpp, in this order.
enum class Point : std::size_t {
  kLost,
  kDoubled,
  kCrash,
  kCrashWhileFrozen,
  kCrashWhileScanning,
  kCrashWhileReplaying,
  kCrashWhileRetiring,
  kCrashInWrite,
  kTornPage,
  kTornRepaired,
  kZombie,
  kZombieRefused,
  kJoin,
  kAllDead,
  kGrantDisk,
  kShipped,
  kUpgrade,
  kRestarted,
  kPastKept,
  kPastDropped,
  kShipAfterFlush,
  kShipDurable,
  kEvicted,
  kRecalled,
  kWaitedForRoom,
  kWithdrawn,
  kReplayed,
  kReplayMerged,
  kReplayOnPast,
  kRetired,
  kAdoptedShared,
  kAdoptedPast,
  kRemastered,
  kPassedOn,
  kCheckpoint,
  kLockGranted,
  kLockWaited,
  kLockTimeout,
  kLockCancelled,
  kLockNotAvailable,
  kDeadlock,
  kConversion,
  kValueRead,
  kValueInvalid,
  kCount,
};

const char* Name(Point point);

using Coverage = pgquorum::sim::Coverage<Point>;

}  // namespace pgquorum::fusion::sim

#include "base/pure.h"
