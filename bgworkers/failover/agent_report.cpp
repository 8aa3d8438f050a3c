// What the agent tells the peers.
#include "bgworkers/failover/agent.h"
#include "bgworkers/failover/agent_context.h"

#include "base/pure.h"

namespace pgquorum::failover {

NodeReport Agent::MakeReport(const Context& c) const {
  const LocalFacts& f = c.facts;
  NodeReport r;
  r.node = self_;
  r.boot = f.boot;
  r.pg = f.pg;
  r.known_epoch = c.cluster.highest_epoch();
  r.applied_index = c.cluster.applied_index();
  r.pledge_epoch = f.pledge_epoch;
  if (c.recruiting && state_ == AgentState::kPledged && !c.Broken()) {
    if (PGQUORUM_FAILOVER_BUG(kNoPledge)) {
      r.pledge_epoch = c.recruiting->epoch;
    }
    bool settled = (c.Stopped() && f.replay_settled) || PGQUORUM_FAILOVER_BUG(kPositionBeforeStop);
    if (settled && r.pledge_epoch == c.recruiting->epoch && c.position) {
      r.pledge_position = c.position;
      if (PGQUORUM_FAILOVER_BUG(kReceiveLsnAsPosition)) {
        r.pledge_position->lsn = f.receive_lsn ? f.receive_lsn : Lsn(1);
      }
    }
  }
  r.whole = !c.Broken() && f.quarantine.empty();
  r.wants_resume = state_ == AgentState::kResuming && f.replay_settled && c.Stopped() && r.whole;
  r.wants_step_down = f.wants_step_down;
  r.history = f.history;
  r.newest_timeline = f.newest_timeline;
  r.wal_floor = f.wal_floor;
  r.warning = f.warning;
  r.receiver_running = f.receiver_running;
  r.upstream = f.upstream;
  r.upstream_timeline = f.upstream_timeline;
  r.receive_timeline = f.receive_timeline;
  r.receive_lsn = f.receive_lsn;
  r.receive_age_ms = f.receive_age_ms;
  r.replay_lsn = f.history.end;
  r.replay_lag_ms = f.replay_lag_ms;
  if (f.pg == PgState::kPrimary) {
    r.marker = f.marker;
    r.checkpointed = f.checkpointed;
    r.list_epoch = f.list_epoch;
    r.list_version = f.list_version;
    r.list_confirmed = f.list_confirmed;
    r.gate_open = f.gate_open;
    if (state_ == AgentState::kDraining && !f.gate_open && f.commits_in_flight == 0 &&
        f.checkpoint_tag == c.draining->verb.id.value()) {
      r.drained = c.draining->verb.id;
      r.drained_lsn = f.history.end;
    }
  }
  if (!f.quarantine.empty()) {
    r.repair = Repair::kQuarantined;
  } else if (f.repair_running) {
    r.repair = Repair::kRunning;
  } else if (state_ == AgentState::kRepairing) {
    r.repair = NeedsReclone(c) ? Repair::kNeedsReclone : Repair::kNeedsRewind;
  } else if (c.Broken()) {
    r.repair = Repair::kNeedsRewind;
  }
  r.listener_ok = f.listener_ok;
  r.wal_writable = f.wal_writable;
  r.clients_admitted = f.admission == Admission::kClients;
  r.pending_restart = f.pending_restart;
  r.stalled_ms = f.stalled_ms;
  r.connections = f.connections;
  r.uptime_s = f.uptime_s;
  r.state = ToString(state_);
  r.detail = detail_.empty() ? f.detail : detail_;
  r.detail.resize(std::min<std::size_t>(r.detail.size(), kMaxTextLength));
  return r;
}

// Others act on these at once; everything else can wait for the next heartbeat.
bool Agent::WorthReporting(const Context& c, const NodeReport& report) const {
  NodeReport before = last_report_;
  bool somebody_waits_for_wal = !c.app.settled || c.cluster.PendingRequest() != nullptr;
  before.applied_index = report.applied_index;
  before.receive_age_ms = report.receive_age_ms;
  before.replay_lsn = report.replay_lsn;
  before.replay_lag_ms = report.replay_lag_ms;
  before.stalled_ms = report.stalled_ms;
  before.connections = report.connections;
  before.uptime_s = report.uptime_s;
  before.detail = report.detail;
  if (!somebody_waits_for_wal) {
    before.receive_lsn = report.receive_lsn;
    before.history.end = report.history.end;
    before.drained_lsn = report.drained_lsn;
  }
  if (report.pg != PgState::kPrimary) {
    before.history.end = report.history.end;
  }
  return before != report;
}

}  // namespace pgquorum::failover
