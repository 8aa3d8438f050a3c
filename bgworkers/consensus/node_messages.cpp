// What the nodes say to each other outside the Raft log: reports and leases, and what the transport
// notices about peers.
#include "extension/pg/pg.h"

#include "bgworkers/consensus/node.h"
#include "extension/identity/peers.h"

namespace pgquorum::consensus {

using failover::NodeId;
using failover::TimeNs;

namespace {

constexpr int kProbeTimeoutMs = 250;

// A peer that cannot be reached is told of once for each reason, and not oftener than this.
constexpr TimeNs kPeerLogInterval = 10'000 * failover::kMs;

const char* ToText(transport::PeerEventKind kind) {
  switch (kind) {
    case transport::PeerEventKind::kConnected:
      return "connected";
    case transport::PeerEventKind::kDisconnected:
      return "the connection ended";
    case transport::PeerEventKind::kRefused:
      return "nobody listens there";
    case transport::PeerEventKind::kUnreachable:
      break;
  }
  return "not reachable";
}

}  // namespace

void Node::OnFrame(NodeId from, transport::Channel channel, const std::string& payload) {
  TimeNs now = static_cast<TimeNs>(shmem::BootTimeNs());
  if (std::optional<identity::ForceOrder> order = machine_.OrderAgainst(from)) {
    if (channel == transport::Channel::kReport) {
      TellShutOut(from, *order);
    }
    return;
  }
  if (channel == transport::Channel::kReport) {
    Result<failover::NodeReport> report = failover::DecodeNodeReport(payload);
    // A member may speak for itself only.
    if (report.ok() && report.value().node == from) {
      failover::Accept(peers_[from], std::move(report).value(), now);
    }
    return;
  }
  if (channel != transport::Channel::kLease || payload.empty()) {
    return;
  }
  std::string_view body = std::string_view(payload).substr(1);
  if (payload[0] == kLeaseRequest) {
    Result<failover::LeaseRequest> request = failover::DecodeLeaseRequest(body);
    if (request.ok() && request.value().node == from) {
      failover::LeaseGrant grant =
          failover::Grant(self_, request.value(), machine_.revoked(), machine_.voters());
      transport_->Send(from.value(), transport::Channel::kLease,
                       std::string(1, kLeaseGrant) + failover::Encode(grant));
    }
  } else if (payload[0] == kLeaseGrant) {
    Result<failover::LeaseGrant> grant = failover::DecodeLeaseGrant(body);
    if (grant.ok() && grant.value().from == from) {
      lease_.OnGrant(grant.value(), now);
    }
  } else if (payload[0] == kShutOut) {
    OnShutOut(from, body);
  }
}

void Node::RunLease(TimeNs now) {
  if (!lease_.wanted()) {
    return;
  }
  failover::Voters voters = machine_.voters();
  std::optional<failover::LeaseRequest> request = lease_.Poll(cluster_->settings(), voters, now);
  if (!request) {
    return;
  }
  std::string payload = std::string(1, kLeaseRequest) + failover::Encode(*request);
  std::vector<NodeId> asked = voters.current;
  asked.insert(asked.end(), voters.outgoing.begin(), voters.outgoing.end());
  for (NodeId voter : asked) {
    if (voter == self_) {
      lease_.OnGrant(failover::Grant(self_, *request, machine_.revoked(), voters), now);
    } else {
      transport_->Send(voter.value(), transport::Channel::kLease, payload);
    }
  }
}

void Node::SendReport(TimeNs now) {
  transport::Urgency urgency =
      report_now_ ? transport::Urgency::kNow : transport::Urgency::kRoutine;
  report_now_ = false;
  report_due_ = now + cluster_->settings().heartbeat_interval;
  const failover::PeerView& self = peers_[self_];
  if (!self.report) {
    return;
  }
  std::string payload = failover::Encode(*self.report);
  for (const auto& [id, member] : cluster_->members()) {
    if (id != self_) {
      transport_->Send(id.value(), transport::Channel::kReport, payload, urgency);
    }
  }
}

// For people: a wrong certificate or a closed port shows nowhere else.
void Node::LogPeer(const transport::PeerEvent& event, TimeNs now) {
  PeerLog& told = peer_logs_[NodeId(event.peer)];
  std::string text = ToText(event.kind);
  if (!event.detail.empty()) {
    text += ": " + event.detail;
  }
  bool connected = event.kind == transport::PeerEventKind::kConnected;
  if (text == told.text || (!connected && now - told.at < kPeerLogInterval && told.at != 0)) {
    return;
  }
  told = {text, connected ? 0 : now};
  ereport(LOG, (errmsg("pgquorum: node %s: %s", NameOfPeer(event.peer).c_str(), text.c_str())));
}

// A node that starts alone has applied nothing yet, but knows whom it dials.
std::string Node::NameOfPeer(uint64_t id) const {
  if (cluster_->FindMember(NodeId(id)) == nullptr) {
    for (const identity::Peer& peer : peers_file_.members) {
      if (peer.raft_node_id == id) {
        return peer.name;
      }
    }
  }
  return cluster_->NameOf(NodeId(id));
}

void Node::OnPeerEvent(const transport::PeerEvent& event) {
  NodeId node(event.peer);
  TimeNs now = static_cast<TimeNs>(shmem::BootTimeNs());
  if (std::optional<identity::ForceOrder> order = machine_.OrderAgainst(node)) {
    if (event.kind == transport::PeerEventKind::kConnected) {
      TellShutOut(node, *order);
    }
    return;
  }
  LogPeer(event, now);
  failover::PeerView& peer = peers_[node];
  switch (event.kind) {
    case transport::PeerEventKind::kConnected:
      peer.connected = true;
      peer.reset_at = 0;
      peer.listener_refused = false;
      // What it missed while it was away it should not wait for.
      report_now_ = true;
      return;
    case transport::PeerEventKind::kDisconnected:
    case transport::PeerEventKind::kUnreachable:
      host_->ReportUnreachable(raft::NodeId(event.peer));
      break;
    case transport::PeerEventKind::kRefused:
      // Its kernel answers and nobody listens: the worker, and with it the Raft node, is gone.
      host_->ReportPeerDead(raft::NodeId(event.peer));
      break;
  }
  peer.connected = false;
  if (peer.reset_at == 0 && event.kind != transport::PeerEventKind::kUnreachable) {
    peer.reset_at = now;
  }
  if (event.kind != transport::PeerEventKind::kUnreachable && !peer.listener_refused) {
    ProbePeer(node);
  }
}

// Tells a dead server from a worker that is being restarted: only the postmaster holds the
// listener.
void Node::ProbePeer(NodeId node) {
  const failover::Member* member = cluster_->FindMember(node);
  if (member == nullptr || member->info.listen_host.empty()) {
    return;
  }
  transport_->ProbeTcp(member->info.listen_host, member->info.listen_port, kProbeTimeoutMs,
                       [this, node](transport::ProbeResult result) {
                         inbox_.Post(Inbox::Kind::kAnswer, [this, node, result] {
                           failover::PeerView& peer = peers_[node];
                           peer.listener_refused =
                               !peer.connected && result == transport::ProbeResult::kRefused;
                         });
                       });
}

std::vector<transport::Peer> Node::PeersToDial(const identity::Peers& file) const {
  std::vector<transport::Peer> peers;
  for (const identity::Peer& peer : file.members) {
    if (peer.raft_node_id != self_.value()) {
      peers.push_back({peer.raft_node_id, peer.name, peer.raft.host, peer.raft.port});
    }
  }
  AddShutOut(peers);
  return peers;
}

// The transport talks to whom the applied state names; before there is one, to whom the file names.
void Node::UpdatePeers() {
  if (!cluster_->created() || peers_index_ == cluster_->applied_index()) {
    return;
  }
  peers_index_ = cluster_->applied_index();
  identity::Peers file;
  file.cluster_id = cluster_->cluster_id();
  for (const auto& [id, member] : cluster_->members()) {
    file.members.push_back({id.value(),
                            member.info.name,
                            {member.info.listen_host, member.info.listen_port},
                            {member.info.raft_host, member.info.raft_port}});
  }
  for (auto peer = peers_.begin(); peer != peers_.end();) {
    bool gone = peer->first != self_ && cluster_->FindMember(peer->first) == nullptr;
    peer = gone ? peers_.erase(peer) : std::next(peer);
  }
  if (file == peers_file_) {
    return;
  }
  transport_->SetPeers(PeersToDial(file));
  Status saved = identity::Save(options_.state_directory + "/" + identity::kPeersFile, file);
  if (!saved.ok()) {
    ereport(LOG, (errmsg("pgquorum: could not save the addresses of the members: %s",
                         saved.message().c_str())));
  }
  peers_file_ = file;
}

}  // namespace pgquorum::consensus
