// What can happen to the simulated clusters: situations and faults, the rows of the agent's state
// table, and how long the outages lasted.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/sim/coverage.h"
#include "bgworkers/failover/commands.h"

namespace pgquorum::failover::sim {

enum class Point : std::size_t {
  kRaftLeader,
  kRaftSnapshotTaken,
  kRaftSnapshotInstalled,
  kWalRecycledRefused,
  kDivergedConnected,
  kCommitUnknown,
  kCommitAcknowledged,
  kCommitTooLate,
  kLateAcknowledgement,  // of the old primary
  kWriteRefused,
  kRewind,
  kReclone,
  kRepairInterrupted,
  kDemoted,
  kNudged,
  kRuleChanged,
  kResumed,
  kAppointed,
  kAppointmentSuperseded,
  kTailFetched,
  kMemberForgotten,
  kSwitchoverInterrupted,
  kDivergedPointed,  // at the primary, by hand
  kOldBackupPointed,
  kRevokeHeartbeatsMissed,
  kRevokePostmasterGone,
  kRevokeWalNotWritable,
  kRevokeStepDown,
  kRevokeSwitchover,
  kRevokeForced,
  kRevokeAppointmentStuck,
  kRevokeForceQuorum,
  kFigureKilled,
  kFigureCutOff,
  kFigureStopped,
  // Faults.
  kKillNode,
  kKillAll,
  kKillBackend,
  kKillWorker,
  kStopWorker,
  kStopNode,
  kCutOff,
  kOneWayCut,
  kLinkCut,
  kSlowLink,
  kPromotedByHand,
  kPointedByHand,
  kQuarantined,
  kRestored,
  kDiskFull,
  kWalRecycled,
  kReplayHeld,
  kSettingChanged,
  kMemberRemoved,
  kSwitchover,
  kStuckSwitchover,
  kForced,
  kCandidateDies,
  kStaleVoter,
  kTrickedVoter,
  kLastHolders,
  kLongTail,
  kFrozenCandidate,
  kAllDiverged,
  kForeignTail,
  kForceQuorum,
  kOldBackup,
  kCount,
};

const char* Name(Point point);
// Nothing for reasons that the model has no cause of.
void HitRevoke(pgquorum::sim::Coverage<Point>& coverage, Reason reason);

class Coverage : public pgquorum::sim::Coverage<Point> {
 public:
  // Agent::taken() of an agent that is gone.
  void HitRows(const std::vector<uint32_t>& taken);
  // One fault of a kind, and the write outage that it made.
  void HitFigure(Point figure, TimeNs outage);
  std::string Missing() const;
  std::string ToString() const;

 private:
  std::vector<uint64_t> rows_;
  std::array<TimeNs, static_cast<std::size_t>(Point::kCount)> worst_{};
};

}  // namespace pgquorum::failover::sim

#include "base/pure.h"
