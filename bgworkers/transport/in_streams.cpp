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

// One is always ready for the next caller.
void Transport::Impl::AcceptStream() {
  auto stream = std::make_shared<InStream>();
  service_->RequestConnect(&stream->context, &stream->rpc, queue_.get(), queue_.get(),
                           Tag([this, stream](bool ok) {
                             if (!ok || stopping_) {
                               return;
                             }
                             AcceptStream();
                             StreamOpened(stream);
                           }));
}

void Transport::Impl::StreamOpened(const std::shared_ptr<InStream>& stream) {
  stream->common_name = PeerCommonName(stream->context);
  stream->heard_ns = BootTimeNs();
  in_streams_.insert(stream);
  if (!options_.insecure && stream->common_name.empty()) {
    ++counters_.refused_certificate;
    EndStream(stream, {grpc::StatusCode::UNAUTHENTICATED, "a member's certificate is needed"});
    return;
  }
  if (in_streams_.size() > kMaxInStreams) {
    EndStream(stream, {grpc::StatusCode::RESOURCE_EXHAUSTED, "too many streams"});
    return;
  }
  ReadIn(stream);
}

void Transport::Impl::ReadIn(const std::shared_ptr<InStream>& stream) {
  // Without the lock while it runs: it calls the owner.
  stream->rpc.Read(&stream->in, new Completion{[this, stream](bool ok) { ReadDone(stream, ok); }});
}

void Transport::Impl::ReadDone(const std::shared_ptr<InStream>& stream, bool ok) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_ || stream->finished) {
      return;
    }
    if (!ok) {
      EndStream(stream, grpc::Status::OK);
      return;
    }
    if (!Accept(stream)) {
      return;
    }
  }
  for (wire::Frame& frame : *stream->in.mutable_frames()) {
    std::optional<Channel> channel = ChannelOf(frame);
    if (channel && callbacks_.on_frame) {
      callbacks_.on_frame(stream->from, *channel,
                          frame.routine() ? Urgency::kRoutine : Urgency::kNow,
                          std::move(*frame.mutable_payload()));
    }
  }
  std::lock_guard lock(mutex_);
  if (!stopping_ && !stream->finished) {
    ReadIn(stream);
  }
}

// Whether the packet just read is good; refuses the stream otherwise.
bool Transport::Impl::Accept(const std::shared_ptr<InStream>& stream) {
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
    stream->echo = packet.ping();
    wire::Packet reply;
    WriteIn(stream, reply);
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

Refusal Transport::Impl::Welcome(const std::shared_ptr<InStream>& stream) {
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
  std::vector<std::shared_ptr<InStream>> older;
  std::copy_if(in_streams_.begin(), in_streams_.end(), std::back_inserter(older),
               [&](const auto& other) { return other->from == stream->in.from(); });
  for (const std::shared_ptr<InStream>& other : older) {
    EndStream(other, {grpc::StatusCode::ABORTED, "replaced by a newer stream"});
  }
  stream->from = stream->in.from();
  stream->hello = hello;
  wire::Packet welcome;
  FillHello(welcome);
  WriteIn(stream, welcome);
  // It lives: no need to wait for the next attempt.
  auto link = links_.find(stream->from);
  if (link != links_.end() && link->second.phase == Link::Phase::kWaiting) {
    link->second.due_ns = 0;
    loop_.Wake();
  }
  return Refusal::kNone;
}

void Transport::Impl::Refuse(const std::shared_ptr<InStream>& stream, Refusal refusal) {
  Count(refusal);
  EndStream(stream,
            {grpc::StatusCode::PERMISSION_DENIED,
             "node \"" + options_.node_name + "\" refused this node: " + ToString(refusal)});
}

void Transport::Impl::WriteIn(const std::shared_ptr<InStream>& stream, const wire::Packet& packet) {
  if (stream->writing) {
    return;  // its end looks for an echo that waits
  }
  wire::Packet out = packet;
  FillHeader(out, stream->from);
  out.set_echo(std::exchange(stream->echo, 0));
  stream->writing = true;
  stream->rpc.Write(out, Tag([this, stream](bool ok) {
                      stream->writing = false;
                      if (ok && !stopping_ && !stream->finished && stream->echo != 0) {
                        WriteIn(stream, wire::Packet());
                      }
                    }));
}

void Transport::Impl::EndStream(const std::shared_ptr<InStream>& stream,
                                const grpc::Status& status) {
  in_streams_.erase(stream);
  if (stream->finished) {
    return;
  }
  stream->finished = true;
  // The caller learns why; operations under way end with it.
  stream->rpc.Finish(status, Tag([stream](bool) {}));
}

void Transport::Impl::TickIn(int64_t now) {
  std::vector<std::shared_ptr<InStream>> silent;
  for (const std::shared_ptr<InStream>& stream : in_streams_) {
    if (now - stream->heard_ns > kInSilences * options_.silence_ms * kNsPerMs) {
      silent.push_back(stream);
    }
  }
  for (const std::shared_ptr<InStream>& stream : silent) {
    stream->context.TryCancel();
  }
}

}  // namespace pgquorum::transport
