#include "bgworkers/transport/transport.h"

#include <algorithm>
#include <utility>

#include "bgworkers/transport/impl.h"

namespace pgquorum::transport {

namespace {
constexpr int64_t kNsPerMs = 1'000'000;
// The loop turns at least once a second.
constexpr int64_t kPauseNs = 2000 * kNsPerMs;
}  // namespace

Transport::Impl::Impl(TransportOptions options, TransportCallbacks callbacks)
    : options_(std::move(options)),
      callbacks_(std::move(callbacks)),
      random_(static_cast<uint64_t>(BootTimeNs()) ^ options_.node_id) {}

Transport::Impl::~Impl() {
  Stop();
}

Status Transport::Impl::CheckOptions() const {
  bool named = options_.cluster_id != 0 && options_.node_id != 0 && !options_.node_name.empty();
  bool addressed = !options_.listen_host.empty() && !options_.advertise_host.empty() &&
                   options_.advertise_host.size() <= kMaxHostLength;
  bool timed = options_.reconnect_first_ms > 0 &&
               options_.reconnect_max_ms >= options_.reconnect_first_ms &&
               options_.connect_timeout_ms > 0 && options_.ping_interval_ms > 0 &&
               options_.silence_ms > options_.ping_interval_ms;
  bool bounded = options_.raft_queue_frames > 0 && options_.raft_queue_bytes > 0;
  if (named && addressed && timed && bounded) {
    return Status::Ok();
  }
  return Status::Error("22023", "an option of the transport has a value that is not allowed");
}

Outbox::Bounds Transport::Impl::OutboxBounds() const {
  return {options_.raft_queue_frames, options_.raft_queue_bytes,
          options_.routine_hold_ms * kNsPerMs};
}

Status Transport::Impl::Start() {
  SignalGuard signals;
  Status good = CheckOptions();
  if (!good.ok()) {
    return good;
  }
  PrepareGrpc();
  std::shared_ptr<grpc::ServerCredentials> server_credentials;
  if (options_.insecure) {
    server_credentials = MakeServerCredentials(nullptr);
    channel_credentials_ = MakeChannelCredentials(nullptr);
  } else {
    Result<TlsIdentity> identity = LoadIdentity(options_.pki_directory, options_.node_name);
    if (!identity.ok()) {
      return identity.status();
    }
    server_credentials = MakeServerCredentials(&identity.value());
    channel_credentials_ = MakeChannelCredentials(&identity.value());
  }
  grpc::ServerBuilder builder;
  SetServerArguments(builder);
  int bound = 0;
  std::string address = HostPort(options_.listen_host, options_.listen_port);
  builder.AddListeningPort(address, server_credentials, &bound);
  service_ = std::make_unique<wire::Nodes::AsyncService>();
  builder.RegisterService(service_.get());
  queue_ = builder.AddCompletionQueue();
  server_ = builder.BuildAndStart();
  if (!server_ || bound <= 0) {
    Stop();
    return Status::Error("08006", "could not listen on " + address).WithDetail(LastGrpcError());
  }
  port_ = static_cast<uint16_t>(bound);
  {
    std::lock_guard lock(mutex_);
    AcceptStream();
    AcceptJoin();
    AcceptStatus();
    AcceptForward();
  }
  completer_ = std::thread([this] { RunCompletions(); });
  started_ = true;
  return loop_.Start([this] { return Turn(); });
}

void Transport::Impl::Stop() {
  SignalGuard signals;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    for (auto& [id, link] : links_) {
      DropStream(link);
    }
    for (const std::shared_ptr<grpc::ClientContext>& call : out_calls_) {
      call->TryCancel();
    }
  }
  loop_.Stop();
  if (server_) {
    // The deadline is past: what is under way is cancelled, not waited for.
    server_->Shutdown(gpr_time_0(GPR_CLOCK_REALTIME));
  }
  if (queue_) {
    queue_->Shutdown();
    if (completer_.joinable()) {
      completer_.join();
    } else {
      RunCompletions();
    }
  }
  std::lock_guard lock(mutex_);
  links_.clear();
  in_calls_.clear();
  in_streams_.clear();
  out_calls_.clear();
  server_.reset();
  queue_.reset();
  service_.reset();
  channel_credentials_.reset();
}

Completion* Transport::Impl::Tag(std::function<void(bool ok)> run) {
  return new Completion{[this, run = std::move(run)](bool ok) {
    std::lock_guard lock(mutex_);
    run(ok);
  }};
}

void Transport::Impl::RunCompletions() {
  void* tag = nullptr;
  bool ok = false;
  while (queue_->Next(&tag, &ok)) {
    std::unique_ptr<Completion> completion(static_cast<Completion*>(tag));
    completion->run(ok);
  }
}

int64_t Transport::Impl::Turn() {
  int64_t next = BootTimeNs() + 1000 * kNsPerMs;
  {
    std::lock_guard lock(mutex_);
    if (stopping_) {
      return next;
    }
    int64_t now = BootTimeNs();
    ForgivePause(now);
    for (auto& [id, link] : links_) {
      TickLink(link, now);
      next = std::min(next, NextDue(link));
    }
    TickIn(now);
  }
  DeliverEvents();
  return next;
}

// This process was stopped or starved for a while: what it has not read yet is no silence of the
// peers.
void Transport::Impl::ForgivePause(int64_t now) {
  bool paused = last_turn_ns_ != 0 && now - last_turn_ns_ > kPauseNs;
  last_turn_ns_ = now;
  if (!paused) {
    return;
  }
  for (auto& [id, link] : links_) {
    link.heard_ns = now;
  }
  for (const std::shared_ptr<InStream>& stream : in_streams_) {
    stream->heard_ns = now;
  }
}

void Transport::Impl::DeliverEvents() {
  std::deque<PeerEvent> events;
  {
    std::lock_guard lock(mutex_);
    events.swap(events_);
  }
  for (const PeerEvent& event : events) {
    if (callbacks_.on_peer_event) {
      callbacks_.on_peer_event(event);
    }
  }
}

void Transport::Impl::Event(const Link& link, PeerEventKind kind, std::string detail) {
  events_.push_back({link.peer.id, kind, BootTimeNs(), std::move(detail)});
  loop_.Wake();
}

void Transport::Impl::SetPeers(std::vector<Peer> peers) {
  {
    // At once, so that what is sent from now on waits for them.
    std::lock_guard lock(send_mutex_);
    for (const Peer& peer : peers) {
      outboxes_.try_emplace(peer.id, OutboxBounds());
    }
  }
  loop_.Post([this, peers = std::move(peers)]() mutable {
    std::lock_guard lock(mutex_);
    if (!stopping_) {
      ReplaceLinks(std::move(peers));
    }
  });
}

void Transport::Impl::Send(uint64_t to, Channel channel, std::string payload, Urgency urgency) {
  {
    std::lock_guard lock(send_mutex_);
    if (payload.size() > kMaxPayloadBytes) {
      ++oversized_;
      return;
    }
    auto outbox = outboxes_.find(to);
    if (outbox == outboxes_.end()) {
      ++unknown_peer_;
      return;
    }
    if (!outbox->second.Push(channel, urgency, std::move(payload), BootTimeNs())) {
      return;  // whoever put the first one in has seen to it, it can wait, or nobody can take it
    }
  }
  loop_.Wake();
}

void Transport::Impl::ProbeTcp(const std::string& host, uint16_t port, int timeout_ms,
                               std::function<void(ProbeResult)> done) {
  loop_.Post([this, host, port, timeout_ms, done = std::move(done)] {
    loop_.prober().Start(
        host, port, timeout_ms * kNsPerMs,
        [done](ProbeResult result, const Address& address) { (void)address, done(result); });
  });
}

Counters Transport::Impl::counters() const {
  std::scoped_lock lock(mutex_, send_mutex_);
  Counters result = counters_;
  result.oversized = oversized_;
  result.unknown_peer = unknown_peer_;
  for (const auto& [id, link] : links_) {
    PeerCounters peer = link.counters;
    peer.peer = id;
    peer.connected = link.phase == Link::Phase::kConnected;
    auto outbox = outboxes_.find(id);
    if (outbox != outboxes_.end()) {
      peer.raft_dropped = outbox->second.raft_dropped();
      peer.superseded = outbox->second.superseded();
    }
    result.peers.push_back(std::move(peer));
  }
  return result;
}

Transport::Transport(TransportOptions options, TransportCallbacks callbacks)
    : impl_(std::make_shared<Impl>(std::move(options), std::move(callbacks))) {}
Transport::~Transport() {
  impl_->Stop();
}
Status Transport::Start() {
  return impl_->Start();
}
void Transport::Stop() {
  impl_->Stop();
}
uint16_t Transport::port() const {
  return impl_->port();
}
void Transport::SetPeers(std::vector<Peer> peers) {
  impl_->SetPeers(std::move(peers));
}
void Transport::Send(uint64_t to, Channel channel, std::string payload, Urgency urgency) {
  impl_->Send(to, channel, std::move(payload), urgency);
}
void Transport::ProbeTcp(const std::string& host, uint16_t port, int timeout_ms,
                         std::function<void(ProbeResult)> done) {
  impl_->ProbeTcp(host, port, timeout_ms, std::move(done));
}
void Transport::Forward(uint64_t to, std::string request, int timeout_ms,
                        std::function<void(Result<std::string>)> done) {
  impl_->Forward(to, std::move(request), timeout_ms, std::move(done));
}
Counters Transport::counters() const {
  return impl_->counters();
}

}  // namespace pgquorum::transport
