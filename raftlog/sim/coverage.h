// What can happen to the simulated worlds.
#pragma once

#include <cstddef>

#include "base/sim/coverage.h"

namespace pgquorum::raft::sim {

enum class Point : std::size_t {
  kCrashBeforeWrite,
  kCrashAfterQueue,
  kCrashInWrite,
  kCrashAfterSync,
  kCrashAfterRelease,
  kCrashAfterApply,
  kCrashInSnapshotReceive,
  kCrashAtSnapshotInstall,
  kCrashAfterSnapshotTaken,
  kElection,
  kLeaderChange,
  kMessageLost,
  kMessageDoubled,
  kMessageCut,
  kOneWayCut,
  kBridgeCut,
  kPause,
  kDiskStuck,
  kPeerDead,
  kTruncation,
  kConfigJoint,
  kConfigRolledBack,
  kConfigSimple,
  kSnapshotInstalled,
  kReadQuorum,
  kReadLease,
  kReadFollower,
  kForwarded,
  kOverloaded,
  kTransfer,
  kSessionRepeated,
  kWitness,
  kSteppedDown,
  kLastingCut,
  kDiskWriteError,
  kDiskFull,
  kDiskShortWrite,
  kDiskSyncError,
  kDiskLaterError,
  kSnapshotNoSpace,
  kBitFlip,
  kLostWrite,
  kSnapshotSpoiled,
  kReadFoundDamage,
  kTornTail,
  kLogDamaged,
  kRefilled,
  kRefillAskedFor,
  kSegmentRecycled,
  kLawfullyStuck,
  kSwitchedOff,
  kSearched,  // operations whose answers were explained
  kCount,
};

const char* Name(Point point);

using Coverage = pgquorum::sim::Coverage<Point>;

}  // namespace pgquorum::raft::sim

#include "base/pure.h"
