#include "cachefusion/session/session.h"

#include "cachefusion/bug.h"

#include "base/pure.h"

namespace pgquorum::fusion {

void Session::PeerIs(Incarnation life) {
  if (life <= peer_life_) {
    return;
  }
  peer_life_ = life;
  next_sequence_ = 1;
  sent_.clear();
  received_ = 0;
  early_.clear();
  owes_acknowledgement_ = false;
}

Datagram Session::Make(uint64_t sequence, const std::string& payload) {
  owes_acknowledgement_ = false;
  return {self_, peer_, life_, peer_life_, sequence, received_, payload};
}

void Session::Send(std::string payload, std::vector<Datagram>& out) {
  out.push_back(Make(next_sequence_, payload));
  sent_.push_back({next_sequence_, now_, now_, std::move(payload)});
  ++next_sequence_;
}

void Session::Receive(const Datagram& datagram, std::vector<std::string>& delivered) {
  bool mine = datagram.to == self_ && datagram.from == peer_ && datagram.to_life == life_;
  if (!mine || datagram.from_life < peer_life_) {
    return;
  }
  PeerIs(datagram.from_life);
  while (!sent_.empty() && sent_.front().sequence <= datagram.acknowledged) {
    sent_.pop_front();
  }
  if (datagram.sequence == 0) {
    return;
  }
  owes_acknowledgement_ = true;
  if (datagram.sequence <= received_) {
    if (PGQUORUM_FUSION_BUG(kDuplicateDelivered)) {
      delivered.push_back(datagram.payload);
    }
    return;
  }
  if (datagram.sequence > received_ + options_.window) {
    return;
  }
  early_.try_emplace(datagram.sequence, datagram.payload);
  for (auto next = early_.find(received_ + 1); next != early_.end();
       next = early_.find(received_ + 1)) {
    delivered.push_back(std::move(next->second));
    early_.erase(next);
    ++received_;
  }
}

void Session::Tick(std::vector<Datagram>& out) {
  ++now_;
  std::size_t burst = 0;
  for (Sent& sent : sent_) {
    if (burst == options_.resend_burst) {
      break;
    }
    if (now_ - sent.last_sent >= options_.resend_ticks) {
      sent.last_sent = now_;
      out.push_back(Make(sent.sequence, sent.payload));
      ++burst;
    }
  }
  if (owes_acknowledgement_) {
    out.push_back(Make(0, {}));
  }
}

}  // namespace pgquorum::fusion
