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
  good = LoadCertificates();
  if (!good.ok()) {
    return good;
  }
  Door::Callbacks callbacks;
  callbacks.on_other = [this](UniqueFd fd) {
    grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
    connection.fd = fd.Release();
    acceptor_->HandleNewConnection(&connection);
  };
  callbacks.on_stream = [this](Opened opened) { StreamOpened(std::move(opened)); };
  callbacks.on_refused = [this] {
    std::lock_guard lock(mutex_);
    ++counters_.refused_certificate;
  };
  Door& door = loop_.door();
  good = door.Listen(options_.listen_host, options_.listen_port, std::move(callbacks));
  if (good.ok()) {
    port_ = door.port();
    good = StartRequests();
  }
  if (!good.ok()) {
    Stop();
    return good;
  }
  return loop_.Start([this] { return Turn(); });
}

// Also what is in use already; what was loaded before stays when it cannot be loaded.
Status Transport::Impl::LoadCertificates() {
  std::shared_ptr<const FrameTls> tls;
  std::shared_ptr<grpc::ChannelCredentials> credentials = MakeChannelCredentials(nullptr);
  if (!options_.insecure) {
    Result<TlsIdentity> identity = LoadIdentity(options_.pki_directory, options_.node_name);
    if (!identity.ok()) {
      return identity.status();
    }
    Result<std::shared_ptr<const FrameTls>> made = FrameTls::Create(identity.value());
    if (!made.ok()) {
      return made.status();
    }
    tls = std::move(made).value();
    credentials = MakeChannelCredentials(&identity.value());
    shown_.Set(std::move(identity).value());
  }
  loop_.Post([this, tls] { loop_.door().SetTls(tls); });
  std::lock_guard lock(mutex_);
  channel_credentials_ = std::move(credentials);
  for (auto& [id, link] : links_) {
    link.channel.reset();
  }
  return Status::Ok();
}

Status Transport::Impl::Reload() {
  SignalGuard signals;
  return LoadCertificates();
}

// gRPC listens nowhere: the door hands it what is not a stream of ours.
Status Transport::Impl::StartRequests() {
  grpc::ServerBuilder builder;
  SetServerArguments(builder);
  acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
      MakeServerCredentials(options_.insecure ? nullptr : &shown_));
  service_ = std::make_unique<wire::Nodes::AsyncService>();
  builder.RegisterService(service_.get());
  queue_ = builder.AddCompletionQueue();
  server_ = builder.BuildAndStart();
  if (!server_) {
    return Status::Error("XX000", "could not start gRPC").WithDetail(LastGrpcError());
  }
  {
    std::lock_guard lock(mutex_);
    AcceptJoin();
    AcceptStatus();
    AcceptForward();
  }
  completer_ = std::thread([this] { RunCompletions(); });
  return Status::Ok();
}

void Transport::Impl::Stop() {
  SignalGuard signals;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    for (const std::shared_ptr<grpc::ClientContext>& call : out_calls_) {
      call->TryCancel();
    }
  }
  // Nobody listens before the peers see their streams end.
  loop_.Stop();
  {
    std::lock_guard lock(mutex_);
    for (auto& [id, link] : links_) {
      DropStream(link);
    }
    while (!in_streams_.empty()) {
      EndStream(in_streams_.begin()->get());
    }
  }
  JoinEndedStreams();
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
  out_calls_.clear();
  server_.reset();
  acceptor_.reset();
  queue_.reset();
  service_.reset();
  channel_credentials_.reset();
}

void Transport::Impl::JoinEndedStreams() {
  std::vector<std::shared_ptr<void>> ended;
  {
    std::lock_guard lock(mutex_);
    ended.swap(ended_);
  }
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
  JoinEndedStreams();
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
        [done](ProbeResult result, const Address&, const UniqueFd&) { done(result); });
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
Status Transport::Reload() {
  return impl_->Reload();
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
