// What the simulated worlds have been through. A situation that never arose has not been tested, so
// a long run fails on a counter that stayed at zero.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace pgquorum::replication::sim {

enum class Point : std::size_t {
  kLocalWrite,
  kRemoteApply,
  kConflict,
  kMerged,
  kKeptBoth,
  kMessageLost,
  kMessageDoubled,
  kMessageCut,
  kPartition,
  kCrashBeforeCommit,
  kCrashAfterCommit,
  kCrashBeforeSync,
  kCrashAfterSync,
  kCrashWhileExecuting,
  kCrashAfterApply,
  kRestart,
  kClockJump,
  kParkedForSkew,
  kBoundPersisted,
  kDuplicateReceived,
  kGapReceived,
  kSideBySide,
  kYielded,
  kTrimmed,
  kSpoolFull,
  kStatesForgotten,
  kEvicted,
  kLevelledUp,
  kClosed,
  kJoined,
  kRejoined,
  kTruncated,
  kKeyUpdated,
  kCount,
};

const char* Name(Point point);

class Coverage {
 public:
  void Hit(Point point, uint64_t times = 1) { counts_[static_cast<std::size_t>(point)] += times; }
  uint64_t Of(Point point) const { return counts_[static_cast<std::size_t>(point)]; }
  // Names of the counters at zero, separated by blanks.
  std::string Missing() const;
  std::string ToString() const;

 private:
  std::array<uint64_t, static_cast<std::size_t>(Point::kCount)> counts_{};
};

}  // namespace pgquorum::replication::sim

#include "base/pure.h"
