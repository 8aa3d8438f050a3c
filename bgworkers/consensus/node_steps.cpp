// The policies' turns: facts and reports in, actions and proposals out.
#include "extension/pg/pg.h"

#include <algorithm>

#include "bgworkers/consensus/node.h"
#include "bgworkers/consensus/wall_clock.h"

namespace pgquorum::consensus {

using failover::NodeId;
using failover::TimeNs;

namespace {

constexpr TimeNs kCatchUpInterval = 200 * failover::kMs;
// Logins wait no longer for an appointed node: applications give a host two seconds.
constexpr TimeNs kSettlingTime = 1000 * failover::kMs;

// Appointed and not yet settled.
bool IsSettling(failover::AgentState state) {
  return state == failover::AgentState::kPreparing || state == failover::AgentState::kPromoting ||
         state == failover::AgentState::kMarking || state == failover::AgentState::kBarrier;
}

}  // namespace

// A worker that has just started has applied a prefix of the log. Once a leader has confirmed how
// far that must reach, the agent may conclude from what is not there.
void Node::CatchUp(TimeNs now) {
  if (current_ || now < catch_up_due_) {
    return;
  }
  catch_up_due_ = now + kCatchUpInterval;
  host_->ReadIndex(raft::ReadMode::kQuorum, [this](const Status& status, raft::Index) {
    if (status.ok()) {
      inbox_.Post(Inbox::Kind::kAnswer, [this] { current_ = true; });
    }
  });
}

// What the primary of the present appointment can still send, by its last report.
failover::Lsn Node::UpstreamFloor() const {
  const failover::Appointment& app = cluster_->appointment();
  auto peer = peers_.find(app.node);
  if (peer == peers_.end() || !peer->second.report || server_.facts().upstream != app.node) {
    return failover::Lsn();
  }
  const failover::NodeReport& report = *peer->second.report;
  bool serves = report.boot == app.boot && report.pg == failover::PgState::kPrimary;
  return serves ? report.wal_floor : failover::Lsn();
}

// True when something was asked for, so that another look at the facts is due.
bool Node::StepAgent(TimeNs now) {
  cluster_ = machine_.published();
  server_.SetUpstreamFloor(UpstreamFloor());
  const failover::LocalFacts& facts = server_.Refresh(now);
  TimeNs deadline = lease_.wanted() ? lease_.Deadline(cluster_->settings(), machine_.voters()) : 0;
  if (deadline > lease_deadline_) {
    ++lease_renewals_;
  } else if (lease_deadline_ > 0 && deadline == 0) {
    ++lease_lapses_;
  }
  lease_deadline_ = deadline;
  if (cluster_->created()) {
    server_.UpdateGate(deadline, *cluster_);
  }
  failover::AgentState before = agent_.state();
  agent_out_ = agent_.Step({*cluster_, facts, peers_, now, deadline, current_});
  if (agent_.state() != before) {
    ereport(LOG, (errmsg("pgquorum: %s -> %s%s%s", failover::ToString(before),
                         failover::ToString(agent_.state()), agent_.detail().empty() ? "" : ": ",
                         agent_.detail().c_str())));
  }
  if (facts.detail != last_detail_) {
    last_detail_ = facts.detail;
    ereport(DEBUG1, (errmsg_internal("pgquorum: %s", last_detail_.c_str())));
  }
  for (const failover::Action& action : agent_out_.actions) {
    server_.Execute(action, *cluster_);
  }
  // After the actions: whoever waited finds the gate open.
  if (!IsSettling(agent_.state())) {
    settling_until_ = 0;
  } else if (settling_until_ == 0) {
    settling_until_ = now + kSettlingTime;
  }
  shmem::SetSettling(static_cast<uint64_t>(settling_until_));
  if (agent_out_.lease_epoch) {
    lease_.Want(agent_out_.lease_epoch, facts.boot);
  } else {
    lease_.Drop();
  }
  failover::PeerView& self = peers_[self_];
  self.report = agent_out_.report;
  self.report->sequence = ++report_sequence_;
  self.report->worker = worker_id_;
  self.received_at = now;
  self.connected = true;
  agent_due_ = agent_out_.wake_at;
  if (agent_out_.report_now) {
    report_now_ = true;
  }
  return !agent_out_.actions.empty();
}

failover::RaftView Node::ViewRaft() const {
  const std::shared_ptr<const raft::HostStatus> published = host_->status();
  const raft::HostStatus& raft = *published;
  failover::RaftView view = machine_.View(raft.role == raft::Role::kLeader, raft.term);
  view.leader_since = leader_since_;
  view.last_index = raft.last.value();
  for (const raft::PeerStatus& peer : raft.peers) {
    view.match[FromRaft(peer.node)] = peer.match.value();
  }
  return view;
}

bool Node::StepCoordinator(TimeNs now) {
  const std::shared_ptr<const raft::HostStatus> published = host_->status();
  const raft::HostStatus& raft = *published;
  if (raft.role != raft::Role::kLeader) {
    if (coordinated_term_ != 0) {
      coordinator_.Reset();
      coordinated_term_ = 0;
      waiting_for_.clear();
    }
    coordinator_due_ = failover::kNever;
    return false;
  }
  if (coordinated_term_ != raft.term.value()) {
    coordinator_.Reset();
    coordinated_term_ = raft.term.value();
    leader_since_ = now;
  }
  Bootstrap();
  if (!cluster_->created()) {
    return false;
  }
  failover::RaftView view = ViewRaft();
  failover::CoordinatorOutput out =
      coordinator_.Step({*cluster_, peers_, view, now, UnixMicroseconds()});
  for (const failover::Command& command : out.proposals) {
    ereport(LOG, (errmsg("pgquorum: proposing %s", failover::ToString(command).c_str())));
    Propose(command);
  }
  for (const failover::RaftChange& change : out.raft_changes) {
    ChangeRaft(change);
  }
  if (out.waiting_for != waiting_for_ && !out.waiting_for.empty()) {
    ereport(LOG, (errmsg("pgquorum: coordinator: %s", out.waiting_for.c_str())));
  }
  waiting_for_ = out.waiting_for;
  coordinator_due_ = out.wake_at;
  if (out.hand_over) {
    // A refused transfer only means that the election after the stop is an ordinary one.
    host_->TransferLeadership(ToRaft(out.hand_over), [](const Status&) {});
  }
  return false;
}

// The first entry of a new cluster, by its first member.
void Node::Bootstrap() {
  if (cluster_->created() || bootstrap_proposed_ || !options_.identity.join_addresses.empty() ||
      !ViewRaft().caught_up || !server_.facts().history.timeline) {
    return;
  }
  const identity::NodeIdentity& me = options_.identity;
  failover::CreateCluster create;
  create.name = me.cluster_name;
  create.cluster_id = me.cluster_id;
  create.system_identifier = me.system_identifier;
  create.generation = random_.Next();
  create.first.name = me.node_name;
  create.first.listen_host = me.listen.host;
  create.first.listen_port = me.listen.port;
  create.first.raft_host = me.raft.host;
  create.first.raft_port = me.raft.port;
  create.timeline = server_.facts().history.timeline;
  bootstrap_proposed_ = true;
  Propose(create);
}

void Node::Propose(const failover::Command& command) {
  std::string text = failover::ToString(command);
  host_->Propose(failover::Encode(command), [this, text](const Status& status, raft::Index,
                                                         const std::string& result) {
    inbox_.Post(Inbox::Kind::kAnswer, [this, text, status, result] {
      Status outcome = status;
      if (outcome.ok()) {
        Result<failover::ApplyResult> applied = DecodeApplyResult(result);
        outcome = applied.ok() ? applied.value().status : applied.status();
      }
      if (!outcome.ok()) {
        ereport(LOG,
                (errmsg("pgquorum: %s was refused: %s", text.c_str(), outcome.ToString().c_str())));
        bootstrap_proposed_ = cluster_->created();
      }
    });
  });
}

void Node::ChangeRaft(const failover::RaftChange& change) {
  host_->ProposeConfig(
      {ToRaft(change, *cluster_)}, "",
      [this](const Status& status, raft::Index, const std::string&) {
        inbox_.Post(Inbox::Kind::kAnswer, [status] {
          if (!status.ok()) {
            ereport(LOG, (errmsg("pgquorum: membership change: %s", status.ToString().c_str())));
          }
        });
      });
}

}  // namespace pgquorum::consensus
