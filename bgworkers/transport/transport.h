// Frames and requests between the nodes of a cluster, with mutual TLS 1.3: frames on streams of our
// own, requests over gRPC. The contract is docs/design/0001-anatomy-of-a-node.md; the rules are in
// README.md.
//
// Nothing here knows PostgreSQL, Raft or failover: payloads are opaque. No method calls gRPC on the
// caller's thread but Start(), Reload() and Stop(), and no method but those blocks.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "bgworkers/transport/join.h"

namespace pgquorum::transport {

enum class Channel : uint8_t {
  kRaft = 1,    // in order; when the peer is slow the oldest are dropped
  kReport = 2,  // only the newest that was not sent yet is kept
  kLease = 3,   // the same, and goes out before all others
};

// A routine frame is news that is repeated anyway: it travels with the next packet to the peer, and
// makes a packet of its own only when none has gone for routine_hold_ms. An idle cluster's cost is
// the number of its packets: each wakes threads at both ends.
enum class Urgency : uint8_t { kNow, kRoutine };

// Longest payload of a frame and of a request. Longer ones are not sent, and counted.
inline constexpr std::size_t kMaxPayloadBytes = std::size_t{4} << 20;
inline constexpr std::size_t kMaxPeers = 64;

struct Peer {
  uint64_t id = 0;   // raft node id
  std::string name;  // node name, the CN of its certificate
  std::string host;  // of its transport; a name or an address, IPv6 without brackets
  uint16_t port = 0;
  bool operator==(const Peer&) const = default;
};

enum class PeerEventKind : uint8_t {
  // The peer has accepted this node's stream.
  kConnected,
  // The stream broke: the process has died, has stopped, or the connection was reset. Follows
  // kConnected only. An attempt to connect again is made at once.
  kDisconnected,
  // The peer's kernel answered that nobody listens. One event an attempt.
  kRefused,
  // No answer in time, no route, or an answer that is not our peer's (`detail` says which): tells
  // nothing about whether it lives. One event an attempt; also ends a kConnected whose stream went
  // silent.
  kUnreachable,
};

struct PeerEvent {
  uint64_t peer = 0;
  PeerEventKind kind = PeerEventKind::kUnreachable;
  int64_t time_ns = 0;  // CLOCK_BOOTTIME, when it was noticed
  std::string detail;   // for people
};

enum class ProbeResult : uint8_t {
  kAccepted,
  kRefused,      // the machine answers and nobody listens there
  kTimeout,      // silence
  kUnreachable,  // no route, name not found, local error
};

struct TransportOptions {
  uint64_t cluster_id = 0;
  uint64_t node_id = 0;
  std::string node_name;
  // Where to listen. Port 0 takes a free one: Transport::port().
  std::string listen_host;
  uint16_t listen_port = 0;
  // What peers are told to dial when they do not know this node yet.
  std::string advertise_host;
  uint16_t advertise_port = 0;  // 0: the port that is listened on

  std::string pki_directory;  // see pki.h
  bool insecure = false;  // plain TCP, no identities: only for networks that nobody else reaches

  // Raft frames that wait for a peer.
  std::size_t raft_queue_frames = 4096;
  std::size_t raft_queue_bytes = std::size_t{16} << 20;

  int routine_hold_ms = 150;  // see Urgency

  int reconnect_first_ms = 10;    // doubles with every attempt that fails, with jitter, up to
  int reconnect_max_ms = 1000;    // this
  int connect_timeout_ms = 1500;  // of an attempt: TCP, TLS, and the peer's answer
  int ping_interval_ms = 1000;    // a connected peer is asked for a sign of life this often,
  int silence_ms = 3000;          // and is unreachable when none has come for so long
};

// The owner's part. Called on the transport's threads (several, at the same time), never after
// Stop() has returned. Must be quick, must not throw, must not call Start() or Stop(); everything
// else may be called. Unset functions are allowed.
struct TransportCallbacks {
  // Frames of one peer and channel arrive in the order sent, one after the other; those of
  // different peers at the same time. `from` is authentic.
  std::function<void(uint64_t from, Channel channel, Urgency urgency, std::string payload)>
      on_frame;
  // Events of one peer come one after the other, in order.
  std::function<void(const PeerEvent& event)> on_peer_event;
  // A node without certificate asks to join; whether its secret is good is for the owner to decide.
  std::function<void(JoinRequest request, JoinAnswer answer)> on_join;
  using Answer = std::function<void(Result<std::string>)>;
  // `caller` is the name in the caller's certificate (empty with `insecure`).
  std::function<void(std::string caller, Answer answer)> on_status;
  std::function<void(std::string caller, std::string request, Answer answer)> on_forward;
};

struct PeerCounters {
  uint64_t peer = 0;
  bool connected = false;
  uint64_t frames_sent = 0;
  uint64_t frames_received = 0;
  uint64_t bytes_sent = 0;  // payloads
  uint64_t bytes_received = 0;
  uint64_t packets_sent = 0;  // frames travel in packets
  uint64_t raft_dropped = 0;  // oldest dropped beyond the bound, or lost with the stream
  uint64_t superseded = 0;    // reports and leases replaced by newer ones before they were sent
  uint64_t connects = 0;
  uint64_t disconnects = 0;
  uint64_t attempts_failed = 0;
  uint64_t rtt_us = 0;     // of the last sign of life that was asked for
  std::string last_error;  // of the last attempt that failed
};

struct Counters {
  std::vector<PeerCounters> peers;
  uint64_t refused_cluster = 0;  // foreign cluster id
  uint64_t refused_identity =
      0;  // sender is not whom its certificate names, or not this node meant
  uint64_t refused_certificate = 0;  // a method for members called without a member's certificate
  uint64_t refused_version = 0;
  uint64_t malformed = 0;
  uint64_t oversized = 0;     // Send() beyond kMaxPayloadBytes
  uint64_t unknown_peer = 0;  // Send() to nobody known
};

class Transport {
 public:
  // Neither a thread nor a socket yet: gRPC is first touched by Start(), after the last fork.
  Transport(TransportOptions options, TransportCallbacks callbacks);
  ~Transport();  // stops
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  // Loads the certificates, listens, starts the threads (all signals blocked in them and in gRPC's)
  // and begins to connect. Once. Errors: 22023 (options), of LoadIdentity(), 08006 (the address is
  // taken or not ours).
  Status Start();
  // Reads the certificates again, for connections that are made from now on; those that live go on.
  // After Start(). Errors: of LoadIdentity(), and then the old ones stay in use.
  Status Reload();
  // Ends threads and connections; peers notice at once. Idempotent.
  void Stop();
  uint16_t port() const;  // listened on, after Start()

  // The following from any thread, before Start() too.

  // The other members, whole list. Connections to peers that stay as they are stay; to others they
  // end. A node that is not in the list but dials with a good certificate is answered, under the
  // address that it told, until the next call: this node's list may be the older one.
  void SetPeers(std::vector<Peer> peers);
  // Never blocks; may drop.
  void Send(uint64_t to, Channel channel, std::string payload, Urgency urgency = Urgency::kNow);
  // A plain TCP connect, closed at once: is anybody listening? Answered exactly once, unless the
  // transport stops before.
  void ProbeTcp(const std::string& host, uint16_t port, int timeout_ms,
                std::function<void(ProbeResult)> done);
  // Asks a peer's owner (its on_forward). Errors: 08006 and what it answered; 08007 when it is
  // unknown whether the request arrived. Answered exactly once, unless the transport stops before.
  void Forward(uint64_t to, std::string request, int timeout_ms,
               std::function<void(Result<std::string>)> done);

  Counters counters() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace pgquorum::transport
