// The lease of a primary: a bound on how long it may start commits without hearing from a majority.
//
// Granted by a majority of the Raft voters (both majorities while a membership change is under
// way). The holder counts from when it *sent* the request, by its own CLOCK_BOOTTIME. A voter
// refuses when its log, committed or not, holds a revoke above the epoch, or a newer Raft
// membership than the request names. So once a revoke is committed, no majority grants any more,
// and every lease has ended one lease_duration (plus drift) after the leader saw that.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "bgworkers/failover/ids.h"
#include "bgworkers/failover/settings.h"

namespace pgquorum::failover {

struct LeaseRequest {
  NodeId node;
  BootId boot;
  Epoch epoch;
  uint64_t membership_version = 0;  // Raft index of the membership in force at the sender
  uint64_t sequence = 0;
  bool operator==(const LeaseRequest&) const = default;
};
struct LeaseGrant {
  NodeId from;
  BootId boot;  // of the request
  Epoch epoch;
  uint64_t sequence = 0;
  bool granted = false;
  Epoch revoked;  // refused: the epoch that the voter's log has revoked to
  bool operator==(const LeaseGrant&) const = default;
};
std::string Encode(const LeaseRequest& request);
std::string Encode(const LeaseGrant& grant);
Result<LeaseRequest> DecodeLeaseRequest(std::string_view bytes);
Result<LeaseGrant> DecodeLeaseGrant(std::string_view bytes);

// The Raft voters as this node's Raft core has them in force.
struct Voters {
  uint64_t version = 0;
  std::vector<NodeId> current;
  std::vector<NodeId> outgoing;  // not empty during joint consensus: both majorities are needed
  bool operator==(const Voters&) const = default;
};

class LeaseHolder {
 public:
  explicit LeaseHolder(NodeId self) : self_(self) {}

  // Starts (or goes on) asking for this leadership; another epoch or boot forgets what was granted.
  void Want(Epoch epoch, BootId boot);
  void Drop();
  bool wanted() const { return static_cast<bool>(epoch_); }

  // A request to send to every voter (the own node included, through Grant below), when one is due:
  // every quarter of the lease, and at once after Want or a changed membership.
  std::optional<LeaseRequest> Poll(const Settings& settings, const Voters& voters, TimeNs now);
  void OnGrant(const LeaseGrant& grant, TimeNs now);
  // When commits must stop; 0 without a lease. Never later than a majority's *send* time plus the
  // lease. It never falls within one leadership: what a majority granted holds until then even when
  // the membership changes, since the majorities before and after a change overlap.
  TimeNs Deadline(const Settings& settings, const Voters& voters);
  TimeNs next_poll() const { return next_poll_; }

 private:
  NodeId self_;
  Epoch epoch_;
  BootId boot_;
  uint64_t version_ = 0;
  uint64_t sequence_ = 0;
  TimeNs next_poll_ = 0;
  TimeNs deadline_ = 0;
  std::map<uint64_t, TimeNs> sent_;     // sequence -> send time, the last few
  std::map<NodeId, TimeNs> confirmed_;  // voter -> send time of the newest request it granted
};

// The decision of one voter. `revoked` is the highest epoch that any entry of its Raft log,
// committed or not, or its snapshot revokes to (RevokedEpochOf); `voters` is the membership in
// force there.
LeaseGrant Grant(NodeId self, const LeaseRequest& request, Epoch revoked, const Voters& voters);

}  // namespace pgquorum::failover

#include "base/pure.h"
