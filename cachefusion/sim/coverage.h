// What the simulated worlds have been through. A situation that never arose has not been tested, so
// a long run fails on a counter that stayed at zero.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

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

class Coverage {
 public:
  void Hit(Point point, uint64_t times = 1) { counts_[static_cast<std::size_t>(point)] += times; }
  uint64_t Of(Point point) const { return counts_[static_cast<std::size_t>(point)]; }
  // Names of what never happened, separated by blanks.
  std::string Missing() const;
  std::string ToString() const;

 private:
  std::array<uint64_t, static_cast<std::size_t>(Point::kCount)> counts_{};
};

}  // namespace pgquorum::fusion::sim

#include "base/pure.h"
