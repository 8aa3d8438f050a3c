// What can happen to the simulated worlds.
#pragma once

#include <cstddef>

#include "base/sim/coverage.h"

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

using Coverage = pgquorum::sim::Coverage<Point>;

}  // namespace pgquorum::replication::sim

#include "base/pure.h"
