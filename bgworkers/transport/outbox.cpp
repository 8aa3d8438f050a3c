#include "bgworkers/transport/outbox.h"

#include <algorithm>
#include <utility>

namespace pgquorum::transport {

void Outbox::PushNewest(std::optional<std::string>& slot, std::string payload) {
  superseded_ += slot ? 1 : 0;
  slot = std::move(payload);
}

void Outbox::Push(Channel channel, std::string payload) {
  if (channel == Channel::kLease) {
    PushNewest(lease_, std::move(payload));
    return;
  }
  if (channel == Channel::kReport) {
    PushNewest(report_, std::move(payload));
    return;
  }
  raft_bytes_ += payload.size();
  raft_.push_back(std::move(payload));
  std::size_t frames = online_ ? bounds_.frames : std::min(bounds_.frames, kOfflineFrames);
  while (raft_.size() > frames || (raft_bytes_ > bounds_.bytes && raft_.size() > 1)) {
    raft_bytes_ -= raft_.front().size();
    raft_.pop_front();
    ++raft_dropped_;
  }
}

std::vector<OutFrame> Outbox::Take() {
  std::vector<OutFrame> frames;
  std::size_t bytes = 0;
  for (auto [slot, channel] :
       {std::pair{&lease_, Channel::kLease}, std::pair{&report_, Channel::kReport}}) {
    if (*slot) {
      bytes += (*slot)->size();
      frames.push_back({channel, std::move(**slot)});
      slot->reset();
    }
  }
  while (!raft_.empty() && (frames.empty() || bytes + raft_.front().size() <= kPacketBytes)) {
    bytes += raft_.front().size();
    raft_bytes_ -= raft_.front().size();
    frames.push_back({Channel::kRaft, std::move(raft_.front())});
    raft_.pop_front();
  }
  return frames;
}

void Outbox::SetOnline(bool online) {
  if (online_ && !online) {
    raft_dropped_ += raft_.size();
    raft_.clear();
    raft_bytes_ = 0;
  }
  online_ = online;
}

}  // namespace pgquorum::transport
