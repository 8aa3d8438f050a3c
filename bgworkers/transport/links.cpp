// This node's streams to its peers: when to dial, whom it met, what broke.
#include <sys/socket.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "bgworkers/transport/impl.h"

namespace pgquorum::transport {

namespace {

constexpr int64_t kNsPerMs = 1'000'000;
// A stream that lived shorter than this was no success: attempts keep getting rarer. Short, because
// a peer that has just come back may die again, and that must be noticed as fast.
constexpr int64_t kStableNs = 100 * kNsPerMs;
// Beyond it a packet that the kernel did not take is lost with its stream.
constexpr uint64_t kMaxQueuedBytes = 2 * kMaxPacketBytes;
constexpr std::size_t kMaxReason = 256;
constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

const char* Describe(ProbeResult result) {
  switch (result) {
    case ProbeResult::kAccepted:
      return "accepted";
    case ProbeResult::kRefused:
      return "connection refused";
    case ProbeResult::kTimeout:
      return "no answer in time";
    case ProbeResult::kUnreachable:
      return "no route, or its name is not known";
  }
  return "";
}

}  // namespace

void Transport::Impl::AddLink(Peer peer, bool learned) {
  {
    std::lock_guard lock(send_mutex_);
    outboxes_.try_emplace(peer.id, OutboxBounds());
  }
  Link& link = links_[peer.id];
  link.peer = std::move(peer);
  link.learned = learned;
}

void Transport::Impl::RemoveLink(uint64_t id) {
  auto link = links_.find(id);
  if (link == links_.end()) {
    return;
  }
  DropStream(link->second);
  links_.erase(link);
  std::lock_guard lock(send_mutex_);
  outboxes_.erase(id);
}

void Transport::Impl::ReplaceLinks(std::vector<Peer> peers) {
  std::erase_if(peers, [this](const Peer& peer) {
    return peer.id == 0 || peer.id == options_.node_id || peer.name.empty();
  });
  peers.resize(std::min(peers.size(), kMaxPeers));
  std::vector<uint64_t> gone;
  for (const auto& [id, link] : links_) {
    auto kept = std::find_if(peers.begin(), peers.end(),
                             [id = id](const Peer& peer) { return peer.id == id; });
    if (kept == peers.end()) {
      gone.push_back(id);
    }
  }
  for (uint64_t id : gone) {
    RemoveLink(id);
  }
  for (Peer& peer : peers) {
    auto link = links_.find(peer.id);
    if (link == links_.end()) {
      AddLink(std::move(peer), false);
    } else if (link->second.peer != peer) {
      // Another address is another listener: what is waiting goes there.
      DropStream(link->second);
      AddLink(std::move(peer), false);
    } else {
      link->second.learned = false;
    }
  }
}

int64_t Transport::Impl::NextDue(const Link& link) const {
  switch (link.phase) {
    case Link::Phase::kWaiting:
    case Link::Phase::kConnecting:
      return link.due_ns;
    case Link::Phase::kProbing:
      return kNever;
    case Link::Phase::kConnected:
      break;
  }
  return link.ping != 0 ? link.heard_ns + options_.silence_ms * kNsPerMs
                        : link.pinged_ns + options_.ping_interval_ms * kNsPerMs;
}

void Transport::Impl::TickLink(Link& link, int64_t now) {
  switch (link.phase) {
    case Link::Phase::kWaiting:
      if (now >= link.due_ns) {
        BeginProbe(link);
      }
      return;
    case Link::Phase::kProbing:
      return;
    case Link::Phase::kConnecting:
      if (now >= link.due_ns) {
        AttemptFailed(link, PeerEventKind::kUnreachable, "no answer to the greeting in time");
      }
      return;
    case Link::Phase::kConnected:
      break;
  }
  if (link.ping != 0 && now >= link.heard_ns + options_.silence_ms * kNsPerMs) {
    Lost(link, PeerEventKind::kUnreachable, "no sign of life");
    return;
  }
  WriteFrames(link);
}

void Transport::Impl::BeginProbe(Link& link) {
  // A plain connect first: it tells "nobody listens" from silence, costs little, and needs no gRPC.
  link.phase = Link::Phase::kProbing;
  auto done = [this, id = link.peer.id, host = link.peer.host, port = link.peer.port](
                  ProbeResult result, const Address& address, UniqueFd connection) {
    std::lock_guard lock(mutex_);
    auto found = links_.find(id);
    if (!stopping_ && found != links_.end() && found->second.phase == Link::Phase::kProbing &&
        found->second.peer.host == host && found->second.peer.port == port) {
      Probed(found->second, result, address, std::move(connection));
    }
  };
  loop_.prober().Start(link.peer.host, link.peer.port, options_.connect_timeout_ms * kNsPerMs,
                       done);
}

void Transport::Impl::Probed(Link& link, ProbeResult result, const Address& address,
                             UniqueFd connection) {
  if (result == ProbeResult::kAccepted && BootTimeNs() < link.dial_after_ns) {
    link.phase = Link::Phase::kWaiting;
    link.due_ns = link.dial_after_ns;
    return;
  }
  if (result == ProbeResult::kAccepted) {
    link.target = address.Target();
    Dial(link, std::move(connection));
    return;
  }
  AttemptFailed(
      link, result == ProbeResult::kRefused ? PeerEventKind::kRefused : PeerEventKind::kUnreachable,
      Describe(result));
}

void Transport::Impl::Dial(Link& link, UniqueFd connection) {
  // No probe any more: what was sent last must arrive.
  linger none{0, 0};
  setsockopt(connection.get(), SOL_SOCKET, SO_LINGER, &none, sizeof none);
  auto stream = std::make_shared<OutStream>();
  link.phase = Link::Phase::kConnecting;
  link.due_ns = BootTimeNs() + options_.connect_timeout_ms * kNsPerMs;
  link.stream = stream;
  loop_.door().Dial(std::move(connection), NodeDnsName(link.peer.name, options_.cluster_id),
                    link.due_ns, [this, id = link.peer.id, stream](Result<Opened> opened) {
                      std::lock_guard lock(mutex_);
                      Dialed(id, stream, std::move(opened));
                    });
}

Link* Transport::Impl::LinkOf(uint64_t id, const OutStream* stream) {
  auto link = links_.find(id);
  return stopping_ || link == links_.end() || link->second.stream.get() != stream ? nullptr
                                                                                  : &link->second;
}

void Transport::Impl::Dialed(uint64_t id, const std::shared_ptr<OutStream>& stream,
                             Result<Opened> opened) {
  Link* link = LinkOf(id, stream.get());
  if (link == nullptr) {
    return;
  }
  if (!opened.ok()) {
    AttemptFailed(*link, PeerEventKind::kUnreachable, opened.status().message());
    return;
  }
  Opened connection = std::move(opened).value();
  stream->frames = std::make_unique<raft::FrameStream>(connection.fd.Release(),
                                                       raft::SslHandle(connection.ssl.release()),
                                                       kMaxQueuedBytes, kMaxPacketBytes);
  OutStream* raw = stream.get();
  Status started = stream->frames->Start(
      [this, id, raw](std::string_view frame, bool) { StreamSaid(id, raw, frame); },
      [this, id, raw] { StreamEnded(id, raw); }, [this, id, raw] { WriteDrained(id, raw); });
  if (!started.ok()) {
    AttemptFailed(*link, PeerEventKind::kUnreachable, started.message());
    return;
  }
  wire::Packet packet;
  FillHeader(packet, id);
  FillHello(packet);
  stream->frames->Send(packet.SerializeAsString());
}

void Transport::Impl::StreamSaid(uint64_t id, OutStream* stream, std::string_view frame) {
  bool good = stream->in.ParseFromArray(frame.data(), static_cast<int>(frame.size()));
  std::lock_guard lock(mutex_);
  Link* link = LinkOf(id, stream);
  if (link == nullptr) {
    return;
  }
  if (!good) {
    // Checked and counted as any other packet that does not fit.
    stream->in.Clear();
  }
  Heard(*link);
}

void Transport::Impl::FillHeader(wire::Packet& packet, uint64_t to) const {
  packet.set_cluster_id(options_.cluster_id);
  packet.set_from(options_.node_id);
  packet.set_to(to);
}

void Transport::Impl::FillHello(wire::Packet& packet) const {
  wire::Hello* hello = packet.mutable_hello();
  hello->set_version(kProtocolVersion);
  hello->set_version_min(kProtocolVersionMin);
  hello->set_name(options_.node_name);
  hello->set_host(options_.advertise_host);
  hello->set_port(options_.advertise_port != 0 ? options_.advertise_port : port_.load());
}

void Transport::Impl::Heard(Link& link) {
  std::shared_ptr<OutStream> stream = link.stream;
  const wire::Packet& packet = stream->in;
  if (!stream->welcomed && !packet.refused().empty()) {
    AttemptFailed(link, PeerEventKind::kUnreachable, packet.refused().substr(0, kMaxReason));
    return;
  }
  Refusal refusal = CheckPacket(packet, {options_.cluster_id, link.peer.id, options_.node_id});
  if (refusal == Refusal::kNone && !stream->welcomed) {
    refusal = CheckHello(packet);
    if (refusal == Refusal::kNone && packet.hello().name() != link.peer.name) {
      refusal = Refusal::kIdentity;
    }
  }
  if (refusal != Refusal::kNone) {
    Count(refusal);
    if (stream->welcomed) {
      Lost(link, PeerEventKind::kUnreachable, ToString(refusal));
    } else {
      AttemptFailed(link, PeerEventKind::kUnreachable, ToString(refusal));
    }
    return;
  }
  int64_t now = BootTimeNs();
  link.heard_ns = now;
  if (!stream->welcomed) {
    stream->welcomed = true;
    link.phase = Link::Phase::kConnected;
    link.connected_ns = link.pinged_ns = now;
    link.ping = 0;
    ++link.counters.connects;
    {
      std::lock_guard lock(send_mutex_);
      outboxes_.at(link.peer.id).SetOnline(true);
    }
    Event(link, PeerEventKind::kConnected, "");
    WriteFrames(link);
  } else if (link.ping != 0 && packet.echo() == link.ping) {
    link.counters.rtt_us = static_cast<uint64_t>(now - link.pinged_ns) / 1000;
    link.ping = 0;
  }
}

void Transport::Impl::StreamEnded(uint64_t id, OutStream* stream) {
  std::lock_guard lock(mutex_);
  Link* link = LinkOf(id, stream);
  if (link == nullptr) {
    return;
  }
  std::string why = stream->frames->end_reason();
  if (stream->welcomed) {
    Lost(*link, PeerEventKind::kDisconnected, std::move(why));
  } else {
    AttemptFailed(*link, PeerEventKind::kUnreachable, std::move(why));
  }
}

void Transport::Impl::WriteDrained(uint64_t id, OutStream* stream) {
  std::lock_guard lock(mutex_);
  Link* link = LinkOf(id, stream);
  if (link != nullptr) {
    WriteFrames(*link);
  }
}

// As long as the socket takes it: what waits longer waits in the outbox, where newer reports
// replace older ones.
void Transport::Impl::WriteFrames(Link& link) {
  while (WritePacket(link)) {
  }
}

// False: nothing more to write now.
bool Transport::Impl::WritePacket(Link& link) {
  if (link.phase != Link::Phase::kConnected || !link.stream->frames->drained()) {
    return false;
  }
  int64_t now = BootTimeNs();
  bool ping = link.ping == 0 && now >= link.pinged_ns + options_.ping_interval_ms * kNsPerMs;
  std::vector<OutFrame> frames;
  {
    std::lock_guard lock(send_mutex_);
    Outbox& outbox = outboxes_.at(link.peer.id);
    if (outbox.wants() || ping) {
      frames = outbox.Take(now);
    }
  }
  if (frames.empty() && !ping) {
    return false;
  }
  wire::Packet packet;
  FillHeader(packet, link.peer.id);
  if (ping) {
    link.pinged_ns = now;
    // The time until it must be answered begins now, however long the peer had nothing to say.
    link.heard_ns = now;
    link.ping = random_.Next() | 1;
    packet.set_ping(link.ping);
  }
  for (OutFrame& frame : frames) {
    ++link.counters.frames_sent;
    link.counters.bytes_sent += frame.payload.size();
    wire::Frame* out = packet.add_frames();
    out->set_channel(static_cast<uint32_t>(frame.channel));
    out->set_routine(frame.urgency == Urgency::kRoutine);
    out->set_payload(std::move(frame.payload));
  }
  ++link.counters.packets_sent;
  // A broken stream needs nothing: its end is told by its thread.
  return link.stream->frames->Send(packet.SerializeAsString());
}

// Each pause half as long again as the one before, shortened at random by up to a half, so that
// nodes that lost each other at the same moment do not stay in step.
int64_t Transport::Impl::NextPause(Link& link) {
  int64_t longest = options_.reconnect_max_ms * kNsPerMs;
  int64_t pause = options_.reconnect_first_ms * kNsPerMs;
  for (int i = 0; i < link.attempts && pause < longest; ++i) {
    pause += pause / 2;
  }
  ++link.attempts;
  pause = std::min(pause, longest);
  return pause - static_cast<int64_t>(random_.Below(static_cast<uint64_t>(pause / 2) + 1));
}

void Transport::Impl::AttemptFailed(Link& link, PeerEventKind kind, std::string detail) {
  DropStream(link);
  ++link.counters.attempts_failed;
  link.counters.last_error = detail;
  link.due_ns = BootTimeNs() + NextPause(link);
  Event(link, kind, std::move(detail));
}

void Transport::Impl::Lost(Link& link, PeerEventKind kind, std::string detail) {
  bool stable = BootTimeNs() - link.connected_ns >= kStableNs;
  DropStream(link);
  ++link.counters.disconnects;
  link.counters.last_error = detail;
  // At once: whether somebody listens there is what the owner wants to know next. But who accepts
  // and breaks again and again is dialed ever more rarely.
  link.due_ns = 0;
  if (stable) {
    link.attempts = 0;
  }
  link.dial_after_ns = stable ? 0 : BootTimeNs() + NextPause(link);
  Event(link, kind, std::move(detail));
}

void Transport::Impl::DropStream(Link& link) {
  if (link.stream) {
    // What its thread still does finds that the stream is nobody's.
    if (link.stream->frames) {
      link.stream->frames->Close();
    }
    ended_.push_back(std::move(link.stream));
    link.stream.reset();
    loop_.Wake();
  }
  link.channel.reset();
  link.phase = Link::Phase::kWaiting;
  link.due_ns = 0;
  link.ping = 0;
  std::lock_guard lock(send_mutex_);
  auto outbox = outboxes_.find(link.peer.id);
  if (outbox != outboxes_.end()) {
    outbox->second.SetOnline(false);
  }
}

}  // namespace pgquorum::transport
