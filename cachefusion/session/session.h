// Exactly once and in order between two lives of two instances, over a network that loses, repeats
// and reorders: sequence numbers, cumulative acknowledgements, repetition. Reordering is bounded by
// a window; what lies beyond is dropped and comes again.
//
// A life (incarnation) of the peer that is newer than the known one ends everything of the older:
// what was not acknowledged is dropped, which is right, since its membership has ended as well.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "cachefusion/types.h"

namespace pgquorum::fusion {

struct Datagram {
  InstanceId from;
  InstanceId to;
  Incarnation from_life;
  Incarnation to_life;
  uint64_t sequence = 0;  // 0: carries nothing but the acknowledgement
  uint64_t acknowledged = 0;
  std::string payload;

  bool operator==(const Datagram&) const = default;
};

struct SessionOptions {
  uint64_t resend_ticks = 3;
  std::size_t resend_burst = 64;  // repeated at a time
  std::size_t window = 1024;      // early arrivals that are kept
};

class Session {
 public:
  Session(InstanceId self, Incarnation life, InstanceId peer, const SessionOptions& options)
      : self_(self), life_(life), peer_(peer), options_(options) {}

  // As the membership says; an older life than the known one is ignored.
  void PeerIs(Incarnation life);
  // The peer is no member any more: nothing is repeated to it.
  void PeerIsGone() { sent_.clear(); }
  void Send(std::string payload, std::vector<Datagram>& out);
  // What has become deliverable goes to `delivered`, in order.
  void Receive(const Datagram& datagram, std::vector<std::string>& delivered);
  // Repeats what is overdue, and acknowledges what nothing else has acknowledged.
  void Tick(std::vector<Datagram>& out);

  std::size_t unacknowledged() const { return sent_.size(); }
  // How long the oldest message has been waiting for its acknowledgement; the runtime asks for the
  // peer's eviction when it exceeds the heartbeat timeout.
  uint64_t stalled_ticks() const { return sent_.empty() ? 0 : now_ - sent_.front().first_sent; }

 private:
  struct Sent {
    uint64_t sequence = 0;
    uint64_t first_sent = 0;
    uint64_t last_sent = 0;
    std::string payload;
  };
  Datagram Make(uint64_t sequence, const std::string& payload);

  InstanceId self_;
  Incarnation life_;
  InstanceId peer_;
  Incarnation peer_life_;
  SessionOptions options_;
  uint64_t now_ = 0;
  uint64_t next_sequence_ = 1;
  std::deque<Sent> sent_;
  uint64_t received_ = 0;  // all up to here were delivered
  std::map<uint64_t, std::string> early_;
  bool owes_acknowledgement_ = false;
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
