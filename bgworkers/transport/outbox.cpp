#include "bgworkers/transport/outbox.h"

#include <algorithm>
#include <utility>

namespace pgquorum::transport {

void Outbox::PushNewest(std::optional<OutFrame>& slot, OutFrame frame) {
  if (slot) {
    ++superseded_;
    // News does not become less urgent by being overtaken.
    frame.urgency = std::min(frame.urgency, slot->urgency);
  }
  slot = std::move(frame);
}

bool Outbox::Push(Channel channel, Urgency urgency, std::string payload, int64_t now_ns) {
  bool wanted = wants_;
  wants_ = wants_ || urgency == Urgency::kNow || now_ns - taken_ns_ >= bounds_.hold_ns;
  if (channel == Channel::kLease) {
    PushNewest(lease_, {channel, urgency, std::move(payload)});
  } else if (channel == Channel::kReport) {
    PushNewest(report_, {channel, urgency, std::move(payload)});
  } else {
    raft_bytes_ += payload.size();
    raft_.push_back(std::move(payload));
    std::size_t frames = online_ ? bounds_.frames : std::min(bounds_.frames, kOfflineFrames);
    while (raft_.size() > frames || (raft_bytes_ > bounds_.bytes && raft_.size() > 1)) {
      raft_bytes_ -= raft_.front().size();
      raft_.pop_front();
      ++raft_dropped_;
    }
  }
  return online_ && wants_ && !wanted;
}

std::vector<OutFrame> Outbox::Take(int64_t now_ns) {
  taken_ns_ = now_ns;
  std::vector<OutFrame> frames;
  std::size_t bytes = 0;
  for (std::optional<OutFrame>* slot : {&lease_, &report_}) {
    if (*slot) {
      bytes += (*slot)->payload.size();
      frames.push_back(std::move(**slot));
      slot->reset();
    }
  }
  while (!raft_.empty() && (frames.empty() || bytes + raft_.front().size() <= kPacketBytes)) {
    bytes += raft_.front().size();
    raft_bytes_ -= raft_.front().size();
    frames.push_back({Channel::kRaft, Urgency::kNow, std::move(raft_.front())});
    raft_.pop_front();
  }
  wants_ = !raft_.empty();
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
