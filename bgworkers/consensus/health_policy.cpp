#include "bgworkers/consensus/health_policy.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/pure.h"

namespace pgquorum::consensus {

using failover::NodeReport;
using failover::PgState;

namespace {

HealthVerdict Verdict(Health health, int32_t score, std::string reason) {
  HealthVerdict v;
  v.health = health;
  v.score = score;
  v.reason = std::move(reason);
  return v;
}

bool Fresh(const HealthInputs& in, const failover::PeerView& view) {
  return view.Age(in.now) <= kStaleHeartbeats * in.cluster.settings().heartbeat_interval;
}

HealthVerdict JudgePrimary(const HealthInputs& in, const NodeReport& report) {
  if (!in.cluster.appointment().settled) {
    return Verdict(Health::kDegraded, 50, "the appointment is not settled yet");
  }
  if (!report.gate_open) {
    return Verdict(Health::kFenced, 20, "it holds no lease, so it may not commit");
  }
  if (!report.listener_ok) {
    return Verdict(Health::kDegraded, 30, "its listener does not answer");
  }
  if (!report.wal_writable) {
    return Verdict(Health::kDegraded, 30, "no space for the next WAL segment");
  }
  HealthVerdict v = Verdict(Health::kHealthy, 100, "");
  v.lag_bytes = 0;
  v.lag_ms = 0;
  return v;
}

HealthVerdict JudgeStandby(const HealthInputs& in, const NodeReport& report) {
  HealthVerdict v = Verdict(Health::kDegraded, 50, "");
  const failover::Appointment& appointment = in.cluster.appointment();
  bool streams = report.receiver_running && report.upstream == appointment.node;
  v.lag_ms = streams ? static_cast<int64_t>(report.replay_lag_ms) : -1;
  if (streams && in.primary != nullptr && in.primary->report && Fresh(in, *in.primary)) {
    failover::Lsn sent = in.primary->report->history.end;
    // Before anything was received in this start, the replay end is what is known to be on disk.
    failover::Lsn have = std::max(report.receive_lsn, report.replay_lsn);
    v.lag_bytes = sent > have ? static_cast<int64_t>(sent - have) : 0;
  }
  if (report.repair != failover::Repair::kNone) {
    v.reason = failover::ToString(report.repair);
  } else if (!appointment.settled) {
    v.reason = "the cluster has no settled primary";
  } else if (!streams) {
    v.reason = "it does not stream from the primary";
  } else if (report.receive_timeline != appointment.timeline) {
    v.reason = "it has not received the primary's timeline yet";
  } else if (v.lag_ms > kHealthyLagMs) {
    v.reason = "replay is more than two seconds behind";
  } else if (v.lag_bytes > kHealthyLagBytes) {
    v.reason = "it lacks more than 16 MB of the primary's WAL";
  } else {
    v.health = Health::kHealthy;
    v.score = 100 - static_cast<int32_t>(v.lag_ms / 100);
  }
  return v;
}

HealthVerdict JudgeWork(const HealthInputs& in) {
  const failover::Member* member = in.cluster.FindMember(in.node);
  if (member == nullptr || in.view == nullptr || !in.view->report) {
    return Verdict(Health::kUnknown, -1, "no report was received");
  }
  if (in.view->listener_refused && in.view->reset_at != 0) {
    return Verdict(Health::kFailed, 0, "its server is not running");
  }
  if (!Fresh(in, *in.view)) {
    return Verdict(Health::kUnknown, -1, "its reports stopped");
  }
  const NodeReport& report = *in.view->report;
  if (!member->data()) {
    return Verdict(Health::kHealthy, 100, "");
  }
  if (report.repair == failover::Repair::kQuarantined) {
    return Verdict(Health::kFenced, 0, report.detail);
  }
  bool appointed = in.cluster.appointment().node == in.node;
  switch (report.pg) {
    case PgState::kDown:
      return Verdict(Health::kFailed, 0, "its server is not running");
    case PgState::kStarting:
    case PgState::kStopping:
      return Verdict(Health::kDegraded, 40, failover::ToString(report.pg));
    case PgState::kPromoting:
      return Verdict(Health::kDegraded, 50, "being promoted");
    case PgState::kPrimary:
      return appointed ? JudgePrimary(in, report)
                       : Verdict(Health::kFenced, 10, "it was a primary and is being stopped");
    case PgState::kStandby:
      return appointed ? Verdict(Health::kDegraded, 50, "appointed, not promoted yet")
                       : JudgeStandby(in, report);
  }
  return Verdict(Health::kUnknown, -1, "unknown state");
}

}  // namespace

HealthVerdict JudgeHealth(const HealthInputs& in) {
  HealthVerdict v = JudgeWork(in);
  if (v.health == Health::kHealthy && !in.view->report->warning.empty()) {
    v.health = Health::kDegraded;
    v.score = std::min(v.score, 80);
    v.reason = in.view->report->warning;
  }
  return v;
}

}  // namespace pgquorum::consensus
