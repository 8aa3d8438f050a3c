// What the simulated worlds have been through. A situation that never arose has not been tested, so
// a long run fails on a counter that stayed at zero.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

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
  kSearched,  // operations whose answers were explained
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

}  // namespace pgquorum::raft::sim

#include "base/pure.h"
