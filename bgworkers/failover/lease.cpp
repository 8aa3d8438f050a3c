#include "bgworkers/failover/lease.h"

#include <algorithm>

#include "bgworkers/failover/bug.h"

#include "base/pure.h"

namespace pgquorum::failover {
namespace {

constexpr std::size_t kRemembered = 16;

// The newest time that a majority of `voters` confirmed; 0 without a majority.
TimeNs MajorityTime(const std::vector<NodeId>& voters, const std::map<NodeId, TimeNs>& confirmed) {
  std::vector<TimeNs> times;
  for (NodeId voter : voters) {
    auto it = confirmed.find(voter);
    times.push_back(it == confirmed.end() ? 0 : it->second);
  }
  if (times.empty()) {
    return 0;
  }
  std::sort(times.begin(), times.end(), std::greater<>());
  return times[times.size() / 2];
}

}  // namespace

void LeaseHolder::Want(Epoch epoch, BootId boot) {
  if (epoch == epoch_ && boot == boot_) {
    return;
  }
  Drop();
  epoch_ = epoch;
  boot_ = boot;
}

void LeaseHolder::Drop() {
  epoch_ = Epoch();
  boot_ = BootId();
  sent_.clear();
  confirmed_.clear();
  next_poll_ = 0;
  deadline_ = 0;
}

std::optional<LeaseRequest> LeaseHolder::Poll(const Settings& settings, const Voters& voters,
                                              TimeNs now) {
  if (!wanted()) {
    return std::nullopt;
  }
  if (now < next_poll_ && version_ == voters.version) {
    return std::nullopt;
  }
  version_ = voters.version;
  next_poll_ = now + settings.lease_duration / 4;
  ++sequence_;
  sent_[sequence_] = now;
  if (sent_.size() > kRemembered) {
    sent_.erase(sent_.begin());
  }
  return LeaseRequest{self_, boot_, epoch_, version_, sequence_};
}

void LeaseHolder::OnGrant(const LeaseGrant& grant, TimeNs now) {
  if (!wanted() || grant.epoch != epoch_ || grant.boot != boot_ || !grant.granted) {
    return;
  }
  auto sent = sent_.find(grant.sequence);
  if (sent == sent_.end()) {
    return;  // so old that it would not extend anything
  }
  TimeNs& newest = confirmed_[grant.from];
  newest = std::max(newest, PGQUORUM_FAILOVER_BUG(kLeaseFromReply) ? now : sent->second);
}

TimeNs LeaseHolder::Deadline(const Settings& settings, const Voters& voters) {
  if (!wanted()) {
    return 0;
  }
  TimeNs since = MajorityTime(voters.current, confirmed_);
  if (!voters.outgoing.empty()) {
    since = std::min(since, MajorityTime(voters.outgoing, confirmed_));
  }
  if (since != 0) {
    deadline_ = std::max(deadline_, since + settings.lease_duration);
  }
  return deadline_;
}

LeaseGrant Grant(NodeId self, const LeaseRequest& request, Epoch revoked, const Voters& voters) {
  LeaseGrant grant;
  grant.from = self;
  grant.boot = request.boot;
  grant.epoch = request.epoch;
  grant.sequence = request.sequence;
  grant.revoked = revoked;
  grant.granted = (revoked <= request.epoch || PGQUORUM_FAILOVER_BUG(kGrantAfterRevoke)) &&
                  voters.version <= request.membership_version;
  return grant;
}

}  // namespace pgquorum::failover
