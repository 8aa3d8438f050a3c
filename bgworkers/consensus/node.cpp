#include "extension/pg/pg.h"

extern "C" {
#include "miscadmin.h"
#include "storage/latch.h"
}

#include <algorithm>
#include <span>
#include <utility>

#include "bgworkers/consensus/node.h"
#include "bgworkers/consensus/raft_options.h"
#include "bgworkers/consensus/wall_clock.h"
#include "bgworkers/transport/pki.h"

namespace pgquorum::consensus {

using failover::kMs;
using failover::NodeId;
using failover::TimeNs;

namespace {

// While something is under way whose progress is no event (promotion, replay, a list going into
// force), the facts are looked at this often: a takeover is a row of such steps, so at first in
// haste.
constexpr TimeNs kHastyInterval = 1 * kMs;
constexpr TimeNs kHaste = 1000 * kMs;
constexpr TimeNs kBusyInterval = 5 * kMs;
// Facts of a settled node that arrive without an event: positions, health.
constexpr TimeNs kCalmInterval = 100 * kMs;
constexpr TimeNs kSlotsInterval = 1000 * kMs;
constexpr int kMaxSteps = 8;
// A request of a backend waits for so many halves of the longest election timeout before it is told
// that nobody leads.
constexpr uint64_t kHalfElectionsWaitedFor = 3;
// A member that stays away for more WAL than this comes back by a new base backup.
constexpr uint64_t kMaxRetainedBytes = uint64_t{16} << 30;
// The log holds decisions, not data: small segments keep an idle node small.
constexpr uint64_t kSegmentBytes = uint64_t{1} << 20;

bool IsCalm(failover::AgentState state) {
  return state == failover::AgentState::kPrimary || state == failover::AgentState::kFollowing ||
         state == failover::AgentState::kWitness || state == failover::AgentState::kClosed;
}

}  // namespace

Node::Node(Options options)
    : options_(std::move(options)),
      self_(options_.identity.raft_node_id),
      random_(shmem::BootTimeNs() ^ (uint64_t{static_cast<uint32_t>(MyProcPid)} << 32) ^
              options_.identity.raft_node_id),
      server_({options_.data_directory, options_.state_directory}, options_.identity, options_.tls),
      agent_(self_),
      coordinator_(self_),
      lease_(self_),
      cluster_(machine_.published()),
      worker_id_(random_.Next()),
      session_(
          kHalfElectionsWaitedFor * static_cast<uint64_t>(options_.raft.longest_ms()) / 2 * kMs,
          [this](const raft::SessionCommand& command, raft::SessionClient::Answer answer) {
            host_->ProposeSession(
                command, [this, answer = std::move(answer)](const Status& status, raft::Index index,
                                                            const std::string& result) {
                  inbox_.Post(Inbox::Kind::kAnswer,
                              [answer, status, index, result] { answer(status, index, result); });
                });
          }) {}

Node::~Node() {
  inbox_.Close();
  // Both call into each other from their threads: end both before either is destroyed.
  if (transport_) {
    transport_->Stop();
  }
  if (host_) {
    host_->Stop();
  }
  transport_.reset();
  host_.reset();
}

Result<std::unique_ptr<Node>> Node::Start(Options options) {
  std::unique_ptr<Node> node(new Node(std::move(options)));
  Status opened = node->server_.Open();
  if (!opened.ok()) {
    // A node that does not know what it promised stays closed, but shows why.
    ereport(LOG, (errmsg("pgquorum: this node stays closed: %s", opened.message().c_str())));
  }
  // The host first: the transport delivers into it from its first moment on. Until there is a
  // transport, what the host sends is dropped, as if the network were slow.
  Status started = node->StartRaft();
  if (started.ok()) {
    started = node->StartTransport();
  }
  if (!started.ok()) {
    return started;
  }
  // Alone it need not wait for anybody's silence. With others the core ignores this where it must.
  // A forced membership's heir has voted for itself already.
  if (node->peers_file_.members.size() <= 1 || node->forced_) {
    node->host_->Campaign();
  }
  return node;
}

Status Node::StartTransport() {
  transport::TransportCallbacks callbacks;
  callbacks.on_frame = [this](uint64_t from, transport::Channel channel, transport::Urgency urgency,
                              std::string payload) {
    if (channel == transport::Channel::kRaft) {
      host_->Receive(raft::NodeId(from), payload);
      return;
    }
    // A routine report is read at the next turn, which is never far.
    inbox_.Post(
        urgency == transport::Urgency::kRoutine ? Inbox::Kind::kRoutine : Inbox::Kind::kDroppable,
        [this, from, channel, payload = std::move(payload)] {
          OnFrame(NodeId(from), channel, payload);
        });
  };
  callbacks.on_peer_event = [this](const transport::PeerEvent& event) {
    inbox_.Post(Inbox::Kind::kAnswer, [this, event] { OnPeerEvent(event); });
  };
  callbacks.on_join = [this](transport::JoinRequest request, transport::JoinAnswer answer) {
    inbox_.Post(Inbox::Kind::kDroppable,
                [this, request = std::move(request), answer] { OnJoin(request, answer); });
  };
  callbacks.on_status = [this](const std::string&, transport::TransportCallbacks::Answer answer) {
    AnswerStatus(answer);
  };
  const identity::NodeIdentity& me = options_.identity;
  transport::TransportOptions options;
  options.cluster_id = me.cluster_id;
  options.node_id = me.raft_node_id;
  options.node_name = me.node_name;
  options.listen_host = me.raft.host;
  options.listen_port = me.raft.port;
  options.advertise_host = me.raft.host;
  options.pki_directory = options_.state_directory + "/" + identity::kPkiDirectory;
  options.insecure = !options_.tls;
  if (options_.tls) {
    certificates_.emplace(options.pki_directory, me.node_name);
  }
  transport_ = std::make_unique<transport::Transport>(std::move(options), std::move(callbacks));
  Result<identity::Peers> peers =
      identity::Load<identity::Peers>(options_.state_directory + "/" + identity::kPeersFile);
  if (peers.ok()) {
    peers_file_ = peers.value();
    transport_->SetPeers(PeersToDial(peers_file_));
  }
  Status started = transport_->Start();
  if (started.ok()) {
    raft_transport_.SetReady();
  }
  return started;
}

Status Node::StartRaft() {
  Result<std::optional<identity::ForceOrder>> order = ReadForceOrder();
  if (!order.ok()) {
    return order.status();
  }
  host_ = MakeHost(order.value());
  Status started = host_->Start();
  if (!order.value() || (!started.ok() && started.sqlstate() != raft::kErrBadChange)) {
    return started;
  }
  forced_ = started.ok();
  if (Status forgotten = ForgetForceOrder(*order.value(), started); !forgotten.ok()) {
    return forgotten;
  }
  if (!started.ok()) {
    host_ = MakeHost(std::nullopt);
    started = host_->Start();
  }
  return started;
}

std::unique_ptr<raft::Host> Node::MakeHost(const std::optional<identity::ForceOrder>& order) {
  raft::HostOptions options;
  options.raft.id = raft::NodeId(self_.value());
  options.raft.seed = random_.Next();
  Apply(options_.raft, options.raft);
  options.raft.snapshot_interval_ticks = options_.snapshot_interval_ms * kMs / options.raft.tick_ns;
  options.raft.snapshot_entries = options_.snapshot_entries;
  options.raft.retain_entries = options_.log_retention;
  options.directory = options_.state_directory + "/" + identity::kRaftDirectory;
  options.cluster_id = options_.identity.cluster_id;
  options.log.segment_bytes = kSegmentBytes;
  if (options_.identity.join_addresses.empty()) {
    options.bootstrap = raft::Configuration();
    options.bootstrap->voters = {options.raft.id};
  }
  if (order) {
    Force(*order, options);
  }
  options.admit = [this](raft::NodeId from) { return machine_.Admits(FromRaft(from)); };
  raft::HostObservers observers;
  observers.on_appended = [this](const raft::Entry& entry) { machine_.NoteAppended(entry); };
  observers.on_truncated = [this](raft::Index from) { machine_.NoteTruncated(from); };
  observers.on_applied = [this](std::span<const raft::Entry> entries) {
    machine_.NoteApplied(entries.back());
    inbox_.Poke();
  };
  observers.on_leadership_change = [this](const raft::Leadership& leadership) {
    machine_.NoteLeadership(leadership);
    inbox_.Poke();
  };
  observers.on_restored = [this](const raft::SnapshotMeta&) { inbox_.Poke(); };
  observers.on_fatal = [this](const pgquorum::Status& status) {
    inbox_.Post(Inbox::Kind::kAnswer, [this, status] { fatal_ = status; });
  };
  return std::make_unique<raft::Host>(std::move(options), raft_transport_, machine_,
                                      std::move(observers));
}

TimeNs Node::Turn() {
  TimeNs now = static_cast<TimeNs>(shmem::BootTimeNs());
  stalls_.Begin(now, turn_due_);
  server_.SetStalled(stalls_.LongestMs(now));
  inbox_.Run();
  CatchUp(now);
  ProposeAgain(now);
  TakeRequests();
  for (int step = 0; step < kMaxSteps && StepAgent(now); ++step) {
    now = static_cast<TimeNs>(shmem::BootTimeNs());
  }
  StepCoordinator(now);
  RunLease(now);
  UpdatePeers();
  AnswerFinished();
  if (now >= slots_due_) {
    slots_due_ = now + kSlotsInterval;
    ReconcileSlots();
    WatchCertificates();
  }
  if (report_now_ || now >= report_due_) {
    SendReport(now);
    publish_due_ = now;
  }
  if (now >= publish_due_ || published_index_ != cluster_->applied_index()) {
    publish_due_ = now + kCalmInterval;
    Publish(now);
  }
  turn_due_ = std::min({now + LookInterval(now), report_due_, agent_due_, coordinator_due_,
                        publish_due_, lease_.wanted() ? lease_.next_poll() : failover::kNever});
  return turn_due_;
}

// Until the next look at the facts.
TimeNs Node::LookInterval(TimeNs now) {
  if (IsCalm(agent_.state()) && Settled()) {
    busy_since_ = 0;
    return kCalmInterval;
  }
  if (busy_since_ == 0) {
    busy_since_ = now;
  }
  return now - busy_since_ < kHaste ? kHastyInterval : kBusyInterval;
}

// Nothing of the leadership or of a change of its rule is under way.
bool Node::Settled() const {
  if (!cluster_->created() || cluster_->recruiting() || !cluster_->appointment().settled) {
    return false;
  }
  const failover::LocalFacts& facts = server_.facts();
  bool list_pending = facts.pg == failover::PgState::kPrimary &&
                      (facts.list_version != cluster_->rule().version || !facts.list_confirmed);
  return !list_pending && cluster_->PendingRequest() == nullptr;
}

// New files are for the connections to come, here and, by a reload, in the server: nothing that
// lives is ended.
void Node::WatchCertificates() {
  if (!certificates_) {
    return;
  }
  CertificateFinding finding = certificates_->Look(UnixMicroseconds() / 1'000'000);
  if (!finding.problem.empty()) {
    ereport(WARNING, (errmsg("pgquorum: the new certificate files are not used: %s",
                             finding.problem.c_str())));
  }
  if (finding.warning != certificate_warning_) {
    certificate_warning_ = finding.warning;
    if (!finding.warning.empty()) {
      ereport(WARNING, (errmsg("pgquorum: %s", finding.warning.c_str())));
    }
    server_.SetWarning(finding.warning);
  }
  if (finding.replaced) {
    Status reloaded = ReloadConfiguration();
    if (!reloaded.ok()) {
      ereport(LOG, (errmsg("pgquorum: %s", reloaded.message().c_str())));
    }
    reloaded = transport_->Reload();
    ereport(reloaded.ok() ? LOG : WARNING,
            (errmsg("pgquorum: the new certificate files are %s%s",
                    reloaded.ok() ? "in use" : "not used: ", reloaded.message().c_str())));
  }
}

void Node::ReconcileSlots() {
  if (!cluster_->created()) {
    return;
  }
  SlotPlan plan;
  plan.self = options_.identity.node_name;
  plan.own_end = server_.facts().history.end;
  plan.retain_bytes_max = kMaxRetainedBytes;
  for (const auto& [id, member] : cluster_->members()) {
    if (!member.data()) {
      continue;
    }
    auto peer = peers_.find(id);
    bool known = peer != peers_.end() && peer->second.report;
    plan.members[member.info.name] =
        known ? std::max(peer->second.report->receive_lsn, peer->second.report->replay_lsn)
              : failover::Lsn();
  }
  server_.ReconcileSlots(plan);
}

}  // namespace pgquorum::consensus
