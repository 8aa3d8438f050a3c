// The insides of Transport. Threads of our own:
//   the loop       tasks posted by others, connections until they are made, timers, what is sent,
//                  peer events to the owner
//   the streams'   one each: what it receives, frames to the owner
//   the completer  takes gRPC's completions: requests
// Lock order: mutex_ before send_mutex_, and both before a stream's own. The owner is never called
// with any held.
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/random.h"
#include "bgworkers/transport/grpc_setup.h"
#include "bgworkers/transport/loop.h"
#include "bgworkers/transport/outbox.h"
#include "bgworkers/transport/wire.h"
#include "raftlog/runtime/frame_stream.h"
#include "transport.grpc.pb.h"

namespace pgquorum::transport {

// Pieces of one gRPC operation's tag: runs when it is done, then is deleted. What the function
// holds lives as long as the operation may touch it.
struct Completion {
  std::function<void(bool ok)> run;
};

// This node's stream to one peer: one attempt to connect, and what came of it.
struct OutStream {
  wire::Packet in;  // of the stream's thread
  bool welcomed = false;
  // After the handshake. Last: its thread ends before what it uses.
  std::unique_ptr<raft::FrameStream> frames;
};

// What this node does about one peer. Under mutex_.
struct Link {
  enum class Phase { kWaiting, kProbing, kConnecting, kConnected };

  Peer peer;
  bool learned = false;  // by a stream of its own; not in the owner's list
  Phase phase = Phase::kWaiting;
  int64_t due_ns = 0;  // kWaiting: of the next attempt. kConnecting: when the attempt is given up
  int attempts = 0;    // failed in a row
  int64_t dial_after_ns = 0;
  std::shared_ptr<OutStream> stream;
  std::string target;                      // where the stream leads, as gRPC takes it
  std::shared_ptr<grpc::Channel> channel;  // for requests; made for the first
  int64_t connected_ns = 0;
  int64_t heard_ns = 0;
  int64_t pinged_ns = 0;
  uint64_t ping = 0;  // the one that is not answered; 0 for none
  PeerCounters counters;
};

// A peer's stream to this node. Under mutex_, but `in`, which is its thread's.
struct InStream {
  wire::Packet in;
  std::string common_name;
  wire::Hello hello;
  uint64_t from = 0;  // 0 until its hello was accepted
  int64_t heard_ns = 0;
  bool finished = false;
  std::unique_ptr<raft::FrameStream> frames;  // last, as above
};

// A request that waits for the owner's answer.
template <typename Request, typename Reply>
struct InCall {
  grpc::ServerContext context;
  Request request;
  grpc::ServerAsyncResponseWriter<Reply> writer{&context};
};

class Transport::Impl : public std::enable_shared_from_this<Transport::Impl> {
 public:
  Impl(TransportOptions options, TransportCallbacks callbacks);
  ~Impl();

  // transport.cpp
  Status Start();
  Status Reload();
  void Stop();
  uint16_t port() const { return port_; }
  void SetPeers(std::vector<Peer> peers);
  void Send(uint64_t to, Channel channel, std::string payload, Urgency urgency);
  void ProbeTcp(const std::string& host, uint16_t port, int timeout_ms,
                std::function<void(ProbeResult)> done);
  Counters counters() const;
  // out_calls.cpp
  std::shared_ptr<grpc::Channel> RequestChannel(Link& link);  // with mutex_ held
  void Forward(uint64_t to, std::string request, int timeout_ms,
               std::function<void(Result<std::string>)> done);

 private:
  // transport.cpp
  Status CheckOptions() const;
  Outbox::Bounds OutboxBounds() const;
  Status LoadCertificates();
  Status StartRequests();
  void RunCompletions();
  int64_t Turn();
  void JoinEndedStreams();
  void DeliverEvents();
  // The tag of an operation whose completion runs `run` with mutex_ held.
  Completion* Tag(std::function<void(bool ok)> run);
  void Event(const Link& link, PeerEventKind kind, std::string detail);

  // links.cpp, all with mutex_ held
  void ReplaceLinks(std::vector<Peer> peers);
  void AddLink(Peer peer, bool learned);
  void RemoveLink(uint64_t id);
  void TickLink(Link& link, int64_t now);
  int64_t NextDue(const Link& link) const;
  void BeginProbe(Link& link);
  void Probed(Link& link, ProbeResult result, const Address& address, UniqueFd connection);
  void Dial(Link& link, UniqueFd connection);
  void Dialed(uint64_t id, const std::shared_ptr<OutStream>& stream, Result<Opened> opened);
  void StreamSaid(uint64_t id, OutStream* stream, std::string_view frame);  // without
  void Heard(Link& link);
  void StreamEnded(uint64_t id, OutStream* stream);   // without
  void WriteDrained(uint64_t id, OutStream* stream);  // without
  void WriteFrames(Link& link);
  bool WritePacket(Link& link);
  int64_t NextPause(Link& link);
  void AttemptFailed(Link& link, PeerEventKind kind, std::string detail);
  void Lost(Link& link, PeerEventKind kind, std::string detail);
  void DropStream(Link& link);
  // Null when the stream is not this link's (any more).
  Link* LinkOf(uint64_t id, const OutStream* stream);
  void FillHeader(wire::Packet& packet, uint64_t to) const;
  void FillHello(wire::Packet& packet) const;

  // in_streams.cpp, with mutex_ held but where told
  void StreamOpened(Opened opened);                       // without
  void ReadIn(InStream* stream, std::string_view frame);  // without
  bool Accept(InStream* stream);
  Refusal Welcome(InStream* stream);
  bool NameFits(uint64_t id, const std::string& name) const;
  void Refuse(InStream* stream, Refusal refusal);
  void WriteIn(InStream* stream, wire::Packet packet);
  void EndStream(InStream* stream);
  void TickIn(int64_t now);
  void ForgivePause(int64_t now);
  void Count(Refusal refusal);

  // in_calls.cpp
  void AcceptJoin();
  void AcceptStatus();
  void AcceptForward();
  void HandleJoin(const std::shared_ptr<InCall<wire::JoinCall, wire::JoinReply>>& call);
  template <typename Request, typename Reply>
  bool Admit(const std::shared_ptr<InCall<Request, Reply>>& call, bool members_only);
  template <typename Request, typename Reply>
  void Answer(const std::weak_ptr<InCall<Request, Reply>>& call, const Reply& reply);
  TransportCallbacks::Answer AnswerLater(
      const std::shared_ptr<InCall<wire::StatusCall, wire::Reply>>& call);
  TransportCallbacks::Answer AnswerLater(
      const std::shared_ptr<InCall<wire::ForwardCall, wire::Reply>>& call);

  const TransportOptions options_;
  const TransportCallbacks callbacks_;
  std::atomic<uint16_t> port_ = 0;
  ShownIdentity shown_;

  Loop loop_;
  std::thread completer_;
  bool started_ = false;

  // Everything of the connections.
  mutable std::mutex mutex_;
  bool stopping_ = false;
  Random random_;
  std::map<uint64_t, Link> links_;
  std::shared_ptr<grpc::ChannelCredentials> channel_credentials_;
  std::set<std::shared_ptr<InStream>> in_streams_;
  // Their threads are joined by the loop, which waits for no lock that these want.
  std::vector<std::shared_ptr<void>> ended_;
  std::set<std::shared_ptr<void>> in_calls_;
  std::set<std::shared_ptr<grpc::ClientContext>> out_calls_;
  std::deque<PeerEvent> events_;
  int64_t last_turn_ns_ = 0;
  Counters counters_;
  std::unique_ptr<wire::Nodes::AsyncService> service_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  std::unique_ptr<grpc::Server> server_;

  // What waits to be sent. Held for moments only: the owner's main thread takes it.
  mutable std::mutex send_mutex_;
  std::map<uint64_t, Outbox> outboxes_;
  uint64_t oversized_ = 0;
  uint64_t unknown_peer_ = 0;
};

}  // namespace pgquorum::transport
