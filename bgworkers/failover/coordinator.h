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

// What a forced membership in this node's log asks for (docs/design/0011-forced-quorum.md).
struct ForcedQuorum {
  uint64_t generation = 0;
  std::vector<NodeId> survivors;
  std::string requested_by;
};

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
  std::map<NodeId, uint64_t> match;    // what each follower has in its log
  std::optional<ForcedQuorum> forced;  // the newest in the log
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
  // To whom the Raft leadership shall go: a planned switchover restarts the old primary's server,
  // and its worker with it, and the cluster should not lose its leader in that moment.
  NodeId hand_over;
  TimeNs wake_at = kNever;
  // What it waits for, one line for people ("recruiting for epoch 5: 1 of 2 needed (node2)"); empty
  // when all is well.
  std::string waiting_for;
};

class Coordinator {
 public:
  explicit Coordinator(NodeId self) : self_(self) {}

  CoordinatorOutput Step(const CoordinatorInputs& in);
  // This node is no longer leader (or leads a new term): forget timers.
  void Reset();

 private:
  struct Evidence {
    Reason reason = Reason::kNone;
    TimeNs last_sign = 0;  // of a working primary
  };
  struct Recruit {
    NodeId node;
    const NodeReport* report = nullptr;
    Position position;
    bool alive = false;
  };
  using In = CoordinatorInputs;
  using Out = CoordinatorOutput;

  void Track(const In& in);
  bool BeginGeneration(const In& in, Out& out);
  void AnswerResume(const In& in, Out& out);
  // coordinator_detect.cpp
  void Detect(const In& in, Out& out);
  Evidence Judge(const In& in, Out& out);
  bool CounterEvidence(const In& in, NodeId primary) const;
  bool EnoughAnswer(const In& in, bool without_primary, bool with_diverged = false) const;
  // coordinator_recruit.cpp
  void DoRecruit(const In& in, Out& out);
  bool Complete(const In& in, const std::vector<Recruit>& recruits, Out& out);
  const Recruit* Prefer(const In& in, const std::vector<Recruit>& recruits) const;
  bool Fetching(const In& in, Out& out);
  bool FetchFirst(const In& in, const Recruit& wanted, const Recruit& best, Out& out);
  void AppointOne(const In& in, const std::vector<Recruit>& recruits, const Recruit& winner,
                  Out& out);
  void DoSettle(const In& in, Out& out);
  bool LeasesOver(const In& in, Out& out) const;
  bool Stuck(const In& in) const;
  bool CanStillFlush(const In& in, NodeId node) const;
  // coordinator_rules.cpp
  void Maintain(const In& in, Out& out);
  void RepairInPlace(const In& in, Out& out);
  bool StaysVoter(const In& in, const Member& member, Out& out);
  bool MayBecomeVoter(const In& in, const Member& member) const;
  void HandleMembership(const In& in, Out& out);
  // coordinator_requests.cpp
  void HandleRequest(const In& in, Out& out);
  void Switchover(const In& in, const FailoverRequest& request, Out& out);
  std::string WhyNotSwitchover(const In& in, NodeId target) const;
  NodeId ChooseTarget(const In& in) const;

  void Propose(const In& in, Out& out, Command command);

  NodeId self_;
  uint64_t term_ = 0;
  // Proposals in flight -> when one is repeated, in case it was lost.
  std::map<std::string, TimeNs> proposed_;
  Epoch epoch_seen_;
  TimeNs epoch_since_ = 0;     // when this leader saw the highest epoch committed
  TimeNs complete_since_ = 0;  // when enough had pledged
  NodeId fetch_node_;
  TimeNs fetch_since_ = 0;
  std::set<NodeId> fetch_tried_;
  Timeline appointment_seen_;
  TimeNs appointed_since_ = 0;
  TimeNs not_serving_since_ = 0;  // primary restarted and is not back
  RequestId request_seen_;
  TimeNs drain_since_ = 0;
  TimeNs gate_closed_since_ = 0;
  std::map<NodeId, TimeNs> bad_since_;  // voters that do not stream
  std::map<NodeId, Lsn> progress_;      // what each voter had received at the last look
};

// The next safe step from `rule` towards voters `voters` and n, or nothing when it is there or the
// list must be confirmed first. The order is the point: V grows and n falls in the entry that
// changes the list; V shrinks and n rises only after the list is in force everywhere.
std::optional<ChangeRule> NextRule(const Rule& rule, std::vector<NodeId> voters, uint32_t n,
                                   bool confirmed);

}  // namespace pgquorum::failover

#include "base/pure.h"
