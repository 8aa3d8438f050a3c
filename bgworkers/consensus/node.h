// One member at work: joins Raft, transport, the failover policies and the local server in the
// worker's main loop. Every decision is the policies'; this class moves facts, messages and entries
// between them.
//
// Main thread only, but for the closures that other threads post to the inbox (they run on the main
// thread too).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/status.h"
#include "bgworkers/consensus/certificates.h"
#include "bgworkers/consensus/cluster_machine.h"
#include "bgworkers/consensus/inbox.h"
#include "bgworkers/consensus/local_server.h"
#include "bgworkers/consensus/stall_meter.h"
#include "bgworkers/failover/agent.h"
#include "bgworkers/failover/coordinator.h"
#include "bgworkers/failover/lease.h"
#include "bgworkers/transport/transport.h"
#include "extension/identity/force_order.h"
#include "extension/identity/identity.h"
#include "extension/identity/peers.h"
#include "extension/raft_settings.h"
#include "extension/shmem.h"
#include "raftlog/runtime/host.h"
#include "raftlog/session_client.h"

namespace pgquorum::consensus {

// Raft's messages over the transport's raft channel.
class RaftTransport : public raft::Transport {
 public:
  explicit RaftTransport(std::unique_ptr<transport::Transport>& transport)
      : transport_(transport) {}
  void Send(raft::NodeId to, std::string bytes) override {
    if (!ready_.load(std::memory_order_acquire)) {
      return;
    }
    transport_->Send(to.value(), transport::Channel::kRaft, std::move(bytes));
  }

  // From now on the transport is there; called once.
  void SetReady() { ready_.store(true, std::memory_order_release); }

 private:
  std::unique_ptr<transport::Transport>& transport_;
  std::atomic<bool> ready_{false};
};

class Node {
 public:
  struct Options {
    std::string data_directory;
    std::string state_directory;
    identity::NodeIdentity identity;
    bool tls = true;
    raft_settings::Values raft;
    uint64_t snapshot_interval_ms = 3'600'000;  // 0: not by time
    uint64_t snapshot_entries = 10'000;         // 0: not by number
    uint64_t log_retention = 10'000;            // entries
  };

  // Opens the state directory and starts the threads (all signals blocked in them). A Status means
  // that this node cannot take part now; the worker ends and is started again.
  static Result<std::unique_ptr<Node>> Start(Options options);
  ~Node();

  // One turn of the main loop: runs what was posted, looks at the server, steps the policies until
  // they ask for nothing new, publishes. Returns when the next turn is due (CLOCK_BOOTTIME, ns).
  failover::TimeNs Turn();

  // Readable when something was posted.
  int wakeup_fd() const { return inbox_.fd(); }
  // The server is being stopped: tell the others, so that they need not find out. The node keeps
  // turning until finished().
  void BeginShutdown() { server_.WantStepDown(); }
  // Nobody needs this node any more: it is a standby, or the others have been told and taken over.
  bool finished() const {
    return agent_.state() != failover::AgentState::kPrimary || server_.stopping();
  }
  // The Raft log could not be written, or an invariant broke: the worker must end.
  const std::optional<Status>& fatal() const { return fatal_; }

 private:
  explicit Node(Options options);
  Status StartRaft();
  std::unique_ptr<raft::Host> MakeHost(const std::optional<identity::ForceOrder>& order);
  Status StartTransport();
  void Bootstrap();
  void ReconcileSlots();
  void WatchCertificates();
  failover::TimeNs LookInterval(failover::TimeNs now);
  bool Settled() const;

  // node_messages.cpp
  void OnFrame(failover::NodeId from, transport::Channel channel, const std::string& payload);
  void OnPeerEvent(const transport::PeerEvent& event);
  struct PeerLog {
    std::string text;
    failover::TimeNs at = 0;
  };
  void LogPeer(const transport::PeerEvent& event, failover::TimeNs now);
  std::string NameOfPeer(uint64_t id) const;
  void ProbePeer(failover::NodeId node);
  void SendReport(failover::TimeNs now);
  void RunLease(failover::TimeNs now);
  void UpdatePeers();
  std::vector<transport::Peer> PeersToDial(const identity::Peers& file) const;

  // node_force.cpp
  Result<std::optional<identity::ForceOrder>> ReadForceOrder() const;
  void Force(const identity::ForceOrder& order, raft::HostOptions& options) const;
  Status ForgetForceOrder(const identity::ForceOrder& order, const Status& refusal);
  void AddShutOut(std::vector<transport::Peer>& peers) const;
  void TellShutOut(failover::NodeId node, const identity::ForceOrder& order);
  void OnShutOut(failover::NodeId from, std::string_view body);
  void AnswerStatus(const transport::TransportCallbacks::Answer& answer) const;

  // node_steps.cpp
  void CatchUp(failover::TimeNs now);
  bool StepAgent(failover::TimeNs now);
  bool StepCoordinator(failover::TimeNs now);
  failover::Lsn UpstreamFloor() const;
  failover::RaftView ViewRaft() const;
  void Propose(const failover::Command& command);
  void ChangeRaft(const failover::RaftChange& change);

  // node_requests.cpp
  struct Waiting {
    shared::RequestSlot* slot = nullptr;
    failover::RequestId request;  // answered when this one has an outcome
    failover::NodeId leaving;     // answered when this member is gone
  };
  void TakeRequests();
  void HandleRequest(shared::RequestSlot* slot);
  void RequestFailover(shared::RequestSlot* slot, failover::RequestKind kind);
  void CreateJoinToken(shared::RequestSlot* slot);
  void RemoveMember(shared::RequestSlot* slot);
  void SetPriority(shared::RequestSlot* slot);
  void PauseFailover(shared::RequestSlot* slot);
  void ChangeSetting(shared::RequestSlot* slot);
  // Proposes in this worker's session: carried out once, and repeated until it is answered or not
  // `wanted` any more.
  void ProposeOnce(const failover::Command& command, std::function<bool()> wanted,
                   std::function<void(const Result<failover::ApplyResult>&)> done);
  void ProposeFor(shared::RequestSlot* slot, const failover::Command& command,
                  std::function<void(const failover::ApplyResult&)> applied);
  void ProposeAgain(failover::TimeNs now);
  void AnswerFinished();
  void OnJoin(transport::JoinRequest request, transport::JoinAnswer answer);
  void SendJoinerOn(const transport::JoinAnswer& answer);
  void AnswerJoin(const transport::JoinRequest& request, const transport::JoinAnswer& answer,
                  const Result<failover::ApplyResult>& applied);

  // node_publish.cpp
  void Publish(failover::TimeNs now);
  void PublishHistory();
  void PublishSettings();
  void FillMember(shared::MemberView& out, const failover::Member& member,
                  failover::TimeNs now) const;

  Options options_;
  failover::NodeId self_;
  Random random_;
  Inbox inbox_;
  ClusterMachine machine_;
  LocalServer server_;
  failover::Agent agent_;
  failover::Coordinator coordinator_;
  failover::LeaseHolder lease_;
  std::unique_ptr<raft::Host> host_;
  std::unique_ptr<transport::Transport> transport_;
  RaftTransport raft_transport_{transport_};

  std::shared_ptr<const failover::ClusterState> cluster_;
  failover::PeerViews peers_;
  std::map<failover::NodeId, PeerLog> peer_logs_;
  failover::AgentOutput agent_out_;
  std::string last_detail_;
  std::string waiting_for_;  // the coordinator's, for people
  uint64_t coordinated_term_ = 0;
  failover::TimeNs leader_since_ = 0;
  uint64_t worker_id_ = 0;
  uint64_t report_sequence_ = 0;
  failover::TimeNs report_due_ = 0;
  bool report_now_ = false;  // something happened that the others must hear of at once
  failover::TimeNs agent_due_ = 0;
  failover::TimeNs coordinator_due_ = 0;
  failover::TimeNs publish_due_ = 0;
  failover::TimeNs slots_due_ = 0;
  StallMeter stalls_;
  failover::TimeNs turn_due_ = 0;
  uint64_t published_index_ = 0;
  uint64_t peers_index_ = 0;
  identity::Peers peers_file_;
  // Since this worker started, the applied state has reached what a leader had committed.
  bool current_ = false;
  failover::TimeNs catch_up_due_ = 0;
  uint64_t lease_renewals_ = 0;
  uint64_t lease_lapses_ = 0;
  failover::TimeNs lease_deadline_ = 0;
  failover::TimeNs busy_since_ = 0;      // 0: calm
  failover::TimeNs settling_until_ = 0;  // 0: not about to become the primary
  std::vector<Waiting> waiting_;
  raft::SessionClient session_;
  failover::TimeNs repeat_due_ = 0;
  bool bootstrap_proposed_ = false;
  std::optional<CertificateWatch> certificates_;  // none without TLS
  std::string certificate_warning_;
  std::optional<Status> fatal_;
  bool forced_ = false;  // this start has carried out an order
};

// First byte of a payload on the lease channel.
inline constexpr char kLeaseRequest = 1;
inline constexpr char kLeaseGrant = 2;
inline constexpr char kShutOut = 3;  // a forced quorum went on without the receiver

}  // namespace pgquorum::consensus
