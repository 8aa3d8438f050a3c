#include "bgworkers/failover/sim/coverage.h"

#include <algorithm>
#include <iterator>

#include "bgworkers/failover/agent.h"

#include "base/pure.h"

namespace pgquorum::failover::sim {
namespace {

constexpr const char* kNames[] = {
    "raft-leader",
    "raft-snapshot-taken",
    "raft-snapshot-installed",
    "wal-recycled-refused",
    "diverged-connected",
    "commit-unknown",
    "commit-acknowledged",
    "commit-too-late",
    "late-acknowledgement",
    "write-refused",
    "rewind",
    "re-clone",
    "repair-interrupted",
    "demoted",
    "nudged",
    "rule-changed",
    "resumed",
    "appointed",
    "appointment-superseded",
    "tail-fetched",
    "member-forgotten",
    "switchover-interrupted",
    "diverged-pointed",
    "old-backup-pointed",
    "revoke-heartbeats-missed",
    "revoke-postmaster-gone",
    "revoke-wal-not-writable",
    "revoke-step-down",
    "revoke-switchover",
    "revoke-forced",
    "revoke-appointment-stuck",
    "revoke-force-quorum",
    "figure-killed",
    "figure-cut-off",
    "figure-stopped",
    "kill-node",
    "kill-all",
    "kill-backend",
    "kill-worker",
    "stop-worker",
    "stop-node",
    "cut-off",
    "one-way-cut",
    "link-cut",
    "slow-link",
    "promoted-by-hand",
    "pointed-by-hand",
    "quarantined",
    "restored",
    "disk-full",
    "wal-recycled",
    "replay-held",
    "setting-changed",
    "member-removed",
    "switchover",
    "stuck-switchover",
    "forced",
    "candidate-dies",
    "stale-voter",
    "tricked-voter",
    "last-holders",
    "long-tail",
    "frozen-candidate",
    "all-diverged",
    "foreign-tail",
    "force-quorum",
    "old-backup",
};
static_assert(std::size(kNames) == static_cast<std::size_t>(Point::kCount));

// A worker never outlives its server here; the unit tests take that row.
bool Reachable(const Transition& row) {
  return row.from != AgentState::kAny || row.to != AgentState::kStarting;
}

std::string NameOf(const Transition& row) {
  return std::string(failover::ToString(row.from)) + ": " + row.condition + " -> " +
         failover::ToString(row.to);
}

}  // namespace

const char* Name(Point point) {
  return kNames[static_cast<std::size_t>(point)];
}

void HitRevoke(pgquorum::sim::Coverage<Point>& coverage, Reason reason) {
  switch (reason) {
    case Reason::kHeartbeatsMissed:
      return coverage.Hit(Point::kRevokeHeartbeatsMissed);
    case Reason::kPostmasterGone:
      return coverage.Hit(Point::kRevokePostmasterGone);
    case Reason::kWalNotWritable:
      return coverage.Hit(Point::kRevokeWalNotWritable);
    case Reason::kStepDown:
      return coverage.Hit(Point::kRevokeStepDown);
    case Reason::kSwitchover:
      return coverage.Hit(Point::kRevokeSwitchover);
    case Reason::kForced:
      return coverage.Hit(Point::kRevokeForced);
    case Reason::kAppointmentStuck:
      return coverage.Hit(Point::kRevokeAppointmentStuck);
    case Reason::kForceQuorum:
      return coverage.Hit(Point::kRevokeForceQuorum);
    case Reason::kNone:
    case Reason::kListenerDead:
      return;
  }
}

void Coverage::HitRows(const std::vector<uint32_t>& taken) {
  rows_.resize(Agent::Transitions().size());
  for (std::size_t i = 0; i < taken.size(); ++i) {
    rows_[i] += taken[i];
  }
}

void Coverage::HitFigure(Point figure, TimeNs outage) {
  Hit(figure);
  TimeNs& worst = worst_[static_cast<std::size_t>(figure)];
  worst = std::max(worst, outage);
}

std::string Coverage::Missing() const {
  std::string text = pgquorum::sim::Coverage<Point>::Missing();
  for (std::size_t i = 0; i < Agent::Transitions().size(); ++i) {
    const Transition& row = Agent::Transitions()[i];
    if (Reachable(row) && (i >= rows_.size() || rows_[i] == 0)) {
      text += "\n" + NameOf(row);
    }
  }
  return text;
}

std::string Coverage::ToString() const {
  std::string text = pgquorum::sim::Coverage<Point>::ToString();
  for (Point figure : {Point::kFigureKilled, Point::kFigureCutOff, Point::kFigureStopped}) {
    text += std::string(Name(figure)) + " at most " +
            std::to_string(worst_[static_cast<std::size_t>(figure)] / kMs) + " ms\n";
  }
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    text += NameOf(Agent::Transitions()[i]) + " " + std::to_string(rows_[i]) + "\n";
  }
  return text;
}

}  // namespace pgquorum::failover::sim
