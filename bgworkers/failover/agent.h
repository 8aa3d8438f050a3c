// The policy of one node: from what the cluster agreed on, what PostgreSQL here does and what the
// peers report, to the next actions. A pure, table-driven state machine: Agent::Transitions() is
// the table.
//
// It is driven by events: call Step after every applied entry, changed fact, accepted report and
// lease answer, and at `wake_at`. It may be thrown away and made anew at any time (worker restart):
// all that must last is in the Raft log, the pledge file and the facts.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bgworkers/failover/cluster_state.h"
#include "bgworkers/failover/facts.h"
#include "bgworkers/failover/report.h"

namespace pgquorum::failover {

enum class AgentState : uint8_t {
  kStarting = 0,   // server not consistent yet, or nothing applied yet
  kWitness,        // votes, holds no data
  kClosed,         // quarantined: administrators only
  kWaiting,        // standby without upstream; compares its position with the primary's history
  kFollowing,      // standby with its upstream set
  kRecruitStop,    // revoked: gate closed, upstream cleared, receiver stopping
  kRecruitSettle,  // ... replay runs to its end
  kRecruitPledge,  // ... pledge on its way to the disk
  kPledged,        // reports its position, waits for the appointment
  kFetching,       // recruited; fetches its missing tail from another recruit
  kResuming,       // restarted primary; asks for resume
  kPreparing,      // appointed: synchronous list going into force
  kPromoting,
  kMarking,      // promoted: barrier record on its way
  kBarrier,      // waits for the members' flush and the settled entry
  kPrimary,      // settled
  kDraining,     // switchover, still undoable: checkpoint, gate closed, commits end
  kHandingOver,  // switchover, revoked: fast stop
  kDemoting,     // immediate stop, will start as a standby
  kRepairing,    // needs or runs a rewind or re-clone
  kAny = 255,    // in the table only: the row holds for every state
};
inline constexpr std::size_t kAgentStates = 20;
const char* ToString(AgentState state);

// One row of the state table. Rows are tried from top to bottom; the first whose condition holds is
// taken; then the rows of the new state are tried, until none holds.
struct Transition {
  AgentState from;
  const char* condition;
  AgentState to;
  const char* why;
};

struct AgentInputs {
  const ClusterState& cluster;
  const LocalFacts& facts;
  const PeerViews& peers;
  TimeNs now = 0;
  // LeaseHolder::Deadline; after a restart of the worker alone not below what shared memory still
  // holds of this boot.
  TimeNs lease_deadline = 0;
  // Since this worker started, the applied state reached what a leader had committed. Until then it
  // may be far in the past: nothing irrevocable is concluded from what it lacks.
  bool current = true;
};

struct AgentOutput {
  std::vector<Action> actions;
  NodeReport report;        // complete but for sequence and worker, which the sender sets
  bool report_now = false;  // something changed that others wait for
  Epoch lease_epoch;        // LeaseHolder::Want(lease_epoch, boot); zero: Drop()
  TimeNs wake_at = kNever;
};

class Agent {
 public:
  explicit Agent(NodeId self) : self_(self) {}

  AgentOutput Step(const AgentInputs& in);
  AgentState state() const { return state_; }
  const std::string& detail() const { return detail_; }

  static std::span<const Transition> Transitions();
  static std::string DumpTransitions();  // a Markdown table
  // How often each row of Transitions() was taken by this agent (coverage).
  const std::vector<uint32_t>& taken() const { return taken_; }

 private:
  friend struct AgentRules;
  struct Context;

  void Run(const Context& c);
  void Enter(AgentState next, const Context& c);
  void Act(const Context& c, std::vector<Action>& out);
  void ActStandby(const Context& c, std::vector<Action>& out);
  void ActPrimary(const Context& c, std::vector<Action>& out);
  void ActLeaving(const Context& c, std::vector<Action>& out);
  void ActRepair(const Context& c, std::vector<Action>& out);
  void Deduplicate(const Context& c, std::vector<Action>& out);
  void Nudge(const Context& c, std::vector<Action>& out);
  bool AwaitsFirstWal(const Context& c) const;
  bool MayRepair(const Context& c) const;
  bool NeedsReclone(const Context& c) const;
  NodeReport MakeReport(const Context& c) const;
  bool WorthReporting(const Context& c, const NodeReport& report) const;
  TimeNs WakeAt(const Context& c) const;

  NodeId self_;
  AgentState state_ = AgentState::kStarting;
  TimeNs entered_at_ = 0;
  std::string detail_;
  BootId boot_;  // of the last Step
  // The appointment that kFollowing was entered for.
  NodeId follow_node_;
  Timeline follow_timeline_;
  // A re-clone that the streaming error asked for stays needed for that appointment.
  Timeline reclone_for_;
  bool recycled_ = false;  // because the WAL is gone there, not because of its content
  BootId admitted_boot_;   // clients were admitted once in this boot
  Epoch recruiting_seen_;
  TimeNs recruiting_since_ = 0;
  TimeNs lease_lost_at_ = 0;  // 0 while there is one
  // While a standby waits for its first WAL: when to write some for it again, and how long after.
  TimeNs nudge_due_ = 0;
  TimeNs nudge_pause_ = 0;
  // Actions whose effect is awaited, and when each is repeated.
  std::vector<std::pair<Action, TimeNs>> pending_;
  NodeReport last_report_;
  std::vector<uint32_t> taken_;
};

}  // namespace pgquorum::failover

#include "base/pure.h"
