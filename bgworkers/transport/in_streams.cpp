// The peers' streams to this node: who may speak, and what it says.
#include <algorithm>
#include <utility>

#include "bgworkers/transport/impl.h"

namespace pgquorum::transport {

namespace {

constexpr int64_t kNsPerMs = 1'000'000;
// A peer pings us; several of its silences mean that it has given up or is gone. Only resources are
// at stake here, so there is no hurry.
constexpr int64_t kInSilences = 3;
constexpr std::size_t kMaxInStreams = 2 * kMaxPeers;
constexpr uint64_t kMaxQueuedBytes = 64 << 10;  // echoes

}  // namespace

void Transport::Impl::Count(Refusal refusal) {
  switch (refusal) {
    case Refusal::kNone:
      return;
    case Refusal::kCluster:
      ++counters_.refused_cluster;
      return;
    case Refusal::kIdentity:
      ++counters_.refused_identity;
      return;
    case Refusal::kVersion:
      ++counters_.refused_version;
      return;
    case Refusal::kMalformed:
      ++counters_.malformed;
      return;
  }
}

void Transport::Impl::StreamOpened(Opened opened) {
  auto stream = std::make_shared<InStream>();
  stream->common_name = std::move(opened.common_name);
  stream->heard_ns = BootTimeNs();
  stream->frames = std::make_unique<raft::FrameStream>(
      opened.fd.Release(), raft::SslHandle(opened.ssl.release()), kMaxQueuedBytes, kMaxPacketBytes);
  InStream* raw = stream.get();
  std::lock_guard lock(mutex_);
  if (!options_.insecure && stream->common_name.empty()) {
    ++counters_.refused_certificate;
    return;
  }
  if (in_streams_.size() >= kMaxInStreams) {
    return;
  }
  Status started =
      stream->frames->Start([this, raw](std::string_view frame, bool) { ReadIn(raw, frame); },
                            [this, raw] {
                              std::lock_guard inner(mutex_);
                              EndStream(raw);
                            });
  if (started.ok()) {
    in_streams_.insert(std::move(stream));
  }
}

void Transport::Impl::ReadIn(InStream* stream, std::string_view frame) {
  bool good = stream->in.ParseFromArray(frame.data(), static_cast<int>(frame.size()));
  {
    std::lock_guard lock(mutex_);
    if (stopping_ || stream->finished) {
      return;
    }
    if (!good) {
      Refuse(stream, Refusal::kMalformed);
      return;
    }
    if (!Accept(stream)) {
      return;
    }
  }
  for (wire::Frame& one : *stream->in.mutable_frames()) {
    std::optional<Channel> channel = ChannelOf(one);
    if (channel && callbacks_.on_frame) {
      callbacks_.on_frame(stream->from, *channel, one.routine() ? Urgency::kRoutine : Urgency::kNow,
                          std::move(*one.mutable_payload()));
    }
  }
}

// Whether the packet just read is good; refuses the stream otherwise.
bool Transport::Impl::Accept(InStream* stream) {
  const wire::Packet& packet = stream->in;
  Refusal refusal = CheckPacket(packet, {options_.cluster_id, stream->from, options_.node_id});
  if (refusal == Refusal::kNone && stream->from == 0) {
    refusal = Welcome(stream);
  }
  if (refusal != Refusal::kNone) {
    Refuse(stream, refusal);
    return false;
  }
  stream->heard_ns = BootTimeNs();
  auto link = links_.find(stream->from);
  if (link == links_.end()) {
    // The owner's list is older than the sender's membership, or the sender was removed: the owner
    // decides what to make of its frames, and can answer.
    if (links_.size() < kMaxPeers) {
      AddLink({stream->from, stream->hello.name(), stream->hello.host(),
               static_cast<uint16_t>(stream->hello.port())},
              true);
      loop_.Wake();
    }
  } else {
    PeerCounters& counters = link->second.counters;
    counters.frames_received += static_cast<uint64_t>(packet.frames_size());
    for (const wire::Frame& frame : packet.frames()) {
      counters.bytes_received += frame.payload().size();
    }
  }
  if (packet.ping() != 0) {
    wire::Packet reply;
    reply.set_echo(packet.ping());
    WriteIn(stream, std::move(reply));
  }
  return true;
}

// A name and an id belong together, whether the list knows the one or the other.
bool Transport::Impl::NameFits(uint64_t id, const std::string& name) const {
  if (id == options_.node_id || name == options_.node_name) {
    return false;
  }
  return std::all_of(links_.begin(), links_.end(), [&](const auto& entry) {
    return entry.second.learned || (entry.first == id) == (entry.second.peer.name == name);
  });
}

Refusal Transport::Impl::Welcome(InStream* stream) {
  Refusal refusal = CheckHello(stream->in);
  if (refusal != Refusal::kNone) {
    return refusal;
  }
  const wire::Hello& hello = stream->in.hello();
  bool spoofed = !options_.insecure && hello.name() != stream->common_name;
  if (spoofed || !NameFits(stream->in.from(), hello.name())) {
    return Refusal::kIdentity;
  }
  // A peer has one stream here. The newest is the one that it uses; an older one is what a restart
  // or a cut has left.
  std::vector<InStream*> older;
  for (const std::shared_ptr<InStream>& other : in_streams_) {
    if (other->from == stream->in.from()) {
      older.push_back(other.get());
    }
  }
  for (InStream* other : older) {
    EndStream(other);
  }
  stream->from = stream->in.from();
  stream->hello = hello;
  wire::Packet welcome;
  FillHello(welcome);
  WriteIn(stream, std::move(welcome));
  // It lives: no need to wait for the next attempt.
  auto link = links_.find(stream->from);
  if (link != links_.end() && link->second.phase == Link::Phase::kWaiting) {
    link->second.due_ns = 0;
    loop_.Wake();
  }
  return Refusal::kNone;
}

void Transport::Impl::Refuse(InStream* stream, Refusal refusal) {
  Count(refusal);
  wire::Packet reason;
  reason.set_refused("node \"" + options_.node_name + "\" refused this node: " + ToString(refusal));
  WriteIn(stream, std::move(reason));
  EndStream(stream);
}

// What a peer that does not read cannot take is dropped: it has other worries than an echo.
void Transport::Impl::WriteIn(InStream* stream, wire::Packet packet) {
  FillHeader(packet, stream->from);
  stream->frames->Send(packet.SerializeAsString());
}

void Transport::Impl::EndStream(InStream* stream) {
  if (stream->finished) {
    return;
  }
  stream->finished = true;
  stream->frames->Close();
  auto found = std::find_if(in_streams_.begin(), in_streams_.end(),
                            [&](const auto& other) { return other.get() == stream; });
  if (found != in_streams_.end()) {
    ended_.push_back(*found);
    in_streams_.erase(found);
  }
  loop_.Wake();
}

void Transport::Impl::TickIn(int64_t now) {
  std::vector<InStream*> silent;
  for (const std::shared_ptr<InStream>& stream : in_streams_) {
    int64_t allowed =
        stream->from == 0 ? Door::kGreetingNs : kInSilences * options_.silence_ms * kNsPerMs;
    if (now - stream->heard_ns > allowed) {
      silent.push_back(stream.get());
    }
  }
  for (InStream* stream : silent) {
    EndStream(stream);
  }
}

}  // namespace pgquorum::transport
