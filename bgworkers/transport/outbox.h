// What waits for one peer, bounded. Knows no thread: its owner locks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "bgworkers/transport/transport.h"

namespace pgquorum::transport {

struct OutFrame {
  Channel channel = Channel::kRaft;
  Urgency urgency = Urgency::kNow;
  std::string payload;
};

class Outbox {
 public:
  struct Bounds {
    std::size_t frames = 4096;
    std::size_t bytes = std::size_t{16} << 20;
    int64_t hold_ns = 0;  // TransportOptions::routine_hold_ms
  };
  // Without a connection only the latest few Raft frames are worth keeping: Raft repeats itself,
  // and old ones would only delay the first good one.
  static constexpr std::size_t kOfflineFrames = 64;
  // Frames of one packet; a longer frame goes alone.
  static constexpr std::size_t kPacketBytes = std::size_t{1} << 20;

  explicit Outbox(Bounds bounds) : bounds_(bounds) {}

  // True when whoever takes must be told: this frame is the first that wants to go now.
  bool Push(Channel channel, Urgency urgency, std::string payload, int64_t now_ns);
  // Whether anything waits that may not be held back.
  bool wants() const { return wants_; }
  // The next packet's frames: the lease, the report, then Raft's in order.
  std::vector<OutFrame> Take(int64_t now_ns);
  // Losing the connection also loses the Raft frames that waited for it.
  void SetOnline(bool online);

  bool online() const { return online_; }
  bool empty() const { return !lease_ && !report_ && raft_.empty(); }
  uint64_t raft_dropped() const { return raft_dropped_; }
  uint64_t superseded() const { return superseded_; }

 private:
  void PushNewest(std::optional<OutFrame>& slot, OutFrame frame);

  Bounds bounds_;
  bool online_ = false;
  bool wants_ = false;
  int64_t taken_ns_ = 0;
  std::optional<OutFrame> lease_;
  std::optional<OutFrame> report_;
  std::deque<std::string> raft_;
  std::size_t raft_bytes_ = 0;
  uint64_t raft_dropped_ = 0;
  uint64_t superseded_ = 0;
};

}  // namespace pgquorum::transport
