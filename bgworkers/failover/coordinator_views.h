// Internal to the coordinator: how it reads the peers' reports.
#pragma once

#include <algorithm>
#include <vector>

#include "bgworkers/failover/coordinator.h"
#include "bgworkers/failover/state_helpers.h"

namespace pgquorum::failover {

inline const PeerView* FindView(const CoordinatorInputs& in, NodeId node) {
  auto it = in.peers.find(node);
  return it == in.peers.end() ? nullptr : &it->second;
}

// The newest report, however old.
inline const NodeReport* AnyReport(const CoordinatorInputs& in, NodeId node) {
  const PeerView* view = FindView(in, node);
  return view != nullptr && view->report ? &*view->report : nullptr;
}

// The node answers: its last report is recent and its stream was not reset since.
inline const NodeReport* FreshReport(const CoordinatorInputs& in, NodeId node) {
  const PeerView* view = FindView(in, node);
  if (view == nullptr || !view->report ||
      (view->reset_at != 0 && view->reset_at >= view->received_at) ||
      view->Age(in.now) > in.cluster.settings().failure_timeout) {
    return nullptr;
  }
  return &*view->report;
}

// Streams from the settled or appointed primary, on its timeline.
inline bool Streams(const CoordinatorInputs& in, const NodeReport& report) {
  const Appointment& app = in.cluster.appointment();
  return report.pg == PgState::kStandby && report.repair == Repair::kNone &&
         report.receiver_running && report.upstream == app.node &&
         report.upstream_timeline == app.timeline && report.receive_timeline == app.timeline;
}

inline bool Healthy(const NodeReport& report) {
  return report.repair == Repair::kNone && report.listener_ok && report.wal_writable &&
         !report.wants_step_down;
}

// How far a leftover history file may lie ahead of every timeline in use. A promotion needs a file
// for each id in between, on every node and for ever: one stray file must not cost the cluster
// that.
inline constexpr uint32_t kMaxTimelineStep = 1000;

// Above it timelines are assigned.
inline Timeline HighestReportedTimeline(const CoordinatorInputs& in) {
  Timeline used = in.cluster.highest_timeline();
  for (const auto& [node, view] : in.peers) {
    if (view.report) {
      used = std::max({used, view.report->history.timeline, view.report->receive_timeline});
    }
  }
  Timeline highest = used;
  for (const auto& [node, view] : in.peers) {
    if (view.report && view.report->newest_timeline.value() <= used.value() + kMaxTimelineStep) {
      highest = std::max(highest, view.report->newest_timeline);
    }
  }
  return highest;
}

// A recruit's WAL can be the beginning of an assigned timeline. A tail that was begun by hand does
// not count, but it can stay below the next timeline, unless somebody else was assigned its id:
// then there would be two contents under one id.
inline bool CanLead(const CoordinatorInputs& in, const NodeReport& report) {
  auto used_twice = [&](Timeline t) {
    return t > report.pledge_position->timeline && in.cluster.IsAssigned(t);
  };
  return !used_twice(report.history.timeline) &&
         std::none_of(report.history.ancestors.begin(), report.history.ancestors.end(),
                      [&](const TimelineSwitch& s) { return used_twice(s.timeline); });
}

// The node's server can come out on the id that is assigned next.
inline bool CanBegin(const NodeReport& report, Timeline floor) {
  return report.newest_timeline <= floor;
}

inline void WakeAt(CoordinatorOutput& out, TimeNs now, TimeNs at) {
  if (at > now) {
    out.wake_at = std::min(out.wake_at, at);
  }
}

}  // namespace pgquorum::failover

#include "base/pure.h"
