// The policy of the Raft leader: looks at entries and reports, proposes the next entries. It holds
// no decision of its own that must last: whoever becomes leader goes on from the same state and
// reports.
//
// Driven by events, like the agent: Step after every applied entry, accepted report, changed peer
// or Raft role, and at `wake_at`. Call it on the leader only; Reset when leadership is lost.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "bgworkers/failover/cluster_state.h"
#include "bgworkers/failover/lease.h"
#include "bgworkers/failover/report.h"

namespace pgquorum::failover {

// What the coordinator needs to know of the Raft core of this node.
struct RaftView {
  uint64_t term = 0;
  // Everything up to the first entry of this term is applied here: only then decisions are made.
  bool caught_up = false;
  TimeNs leader_since = 0;
  Voters voters;
  std::vector<NodeId> learners;
  bool change_pending = false;  // a membership change is not finished
  uint64_t last_index = 0;
  std::map<NodeId, uint64_t> match;  // what each follower has in its log
};

struct RaftChange {
  enum class Kind : uint8_t { kAddLearner, kPromote, kRemove };
  Kind kind = Kind::kAddLearner;
  NodeId node;
  bool operator==(const RaftChange&) const = default;
};

struct CoordinatorInputs {
  const ClusterState& cluster;
  const PeerViews& peers;  // with this node's own report under its own id
  const RaftView& raft;
  TimeNs now = 0;
  int64_t wall_us = 0;  // for the record only
};

struct CoordinatorOutput {
  std::vector<Command> proposals;
  std::vector<RaftChange> raft_changes;
  TimeNs wake_at = kNever;
  // What it waits for, one line for people ("recruiting for epoch 5: 1 of 2 needed (node2)"); empty
  // when all is well.
  std::string waiting_for;
};

struct CoordinatorBugs {
  bool recruit_off_by_one = false;  // one recruit fewer than |V| - n
  bool settle_without_barrier = false;
  bool longest_wal_wins = false;  // ignores timelines when it compares positions
  bool lower_g_before_n = false;  // changes the rule in the wrong order
  bool no_lease_wait = false;
  bool only_last_rule = false;      // recruits for the latest rule alone
  bool remove_voter_first = false;  // from V before S
};

class Coordinator {
 public:
  explicit Coordinator(NodeId self, CoordinatorBugs bugs = {}) : self_(self), bugs_(bugs) {}

  CoordinatorOutput Step(const CoordinatorInputs& in);
  // This node is no longer leader (or leads a new term): forget timers.
  void Reset();

 private:
  struct Evidence {
    Reason reason = Reason::kNone;
    TimeNs last_sign = 0;  // of a working primary
    std::string text;
  };

  void Detect(const CoordinatorInputs& in, CoordinatorOutput& out);
  Evidence Judge(const CoordinatorInputs& in, CoordinatorOutput& out) const;
  void Recruit(const CoordinatorInputs& in, CoordinatorOutput& out);
  void SettleOrSupersede(const CoordinatorInputs& in, CoordinatorOutput& out);
  void Maintain(const CoordinatorInputs& in, CoordinatorOutput& out);
  void HandleRequest(const CoordinatorInputs& in, CoordinatorOutput& out);
  void HandleMembership(const CoordinatorInputs& in, CoordinatorOutput& out);
  void Propose(const CoordinatorInputs& in, CoordinatorOutput& out, Command command);

  NodeId self_;
  CoordinatorBugs bugs_;
  // Proposals in flight: not repeated before this time, so that a lost one is.
  std::vector<std::pair<Command, TimeNs>> proposed_;
  Epoch seen_epoch_;
  TimeNs recruiting_since_ = 0;   // when this leader saw the revoke committed
  TimeNs recruits_complete_ = 0;  // when enough had answered
  TimeNs appointed_since_ = 0;
  RequestId request_;
  TimeNs request_since_ = 0;
  TimeNs drain_since_ = 0;
  std::map<NodeId, TimeNs> bad_since_;  // voters that do not stream
};

}  // namespace pgquorum::failover

#include "base/pure.h"
