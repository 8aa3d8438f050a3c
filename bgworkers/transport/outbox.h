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
  std::string payload;
};

class Outbox {
 public:
  struct Bounds {
    std::size_t frames = 4096;
    std::size_t bytes = std::size_t{16} << 20;
  };
  // Without a connection only the latest few Raft frames are worth keeping: Raft repeats itself,
  // and old ones would only delay the first good one.
  static constexpr std::size_t kOfflineFrames = 64;
  // Frames of one packet; a longer frame goes alone.
  static constexpr std::size_t kPacketBytes = std::size_t{1} << 20;

  explicit Outbox(Bounds bounds) : bounds_(bounds) {}

  void Push(Channel channel, std::string payload);
  // The next packet's frames: the lease, the report, then Raft's in order.
  std::vector<OutFrame> Take();
  // Losing the connection also loses the Raft frames that waited for it.
  void SetOnline(bool online);

  bool online() const { return online_; }
  bool empty() const { return !lease_ && !report_ && raft_.empty(); }
  uint64_t raft_dropped() const { return raft_dropped_; }
  uint64_t superseded() const { return superseded_; }

 private:
  void PushNewest(std::optional<std::string>& slot, std::string payload);

  Bounds bounds_;
  bool online_ = false;
  std::optional<std::string> lease_;
  std::optional<std::string> report_;
  std::deque<std::string> raft_;
  std::size_t raft_bytes_ = 0;
  uint64_t raft_dropped_ = 0;
  uint64_t superseded_ = 0;
};

}  // namespace pgquorum::transport
