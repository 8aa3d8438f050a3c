// The knobs of the failover policies. One value for the whole cluster: they are kept as cluster
// settings in Raft (ClusterState::settings) under the names given here.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "bgworkers/failover/ids.h"

namespace pgquorum::failover {

// One setting for people.
struct SettingText {
  std::string name;
  std::string value;
  std::string default_value;
  std::string unit;     // ms, B or empty
  std::string allowed;  // in words
};

struct Settings {
  // pgquorum.heartbeat_interval: a report goes to every peer at least this often.
  TimeNs heartbeat_interval = 100 * kMs;
  // pgquorum.failure_timeout: without a report for this long a primary counts as gone. At least the
  // restart time of a worker (0.14 to 1 s measured), so that a crashed backend is no failover.
  TimeNs failure_timeout = 1000 * kMs;
  // pgquorum.lease_duration: how long a primary may start commits after the last majority contact.
  // Two election timeouts: one leader change must not close the gate.
  TimeNs lease_duration = 2000 * kMs;
  // pgquorum.clock_drift_margin: added wherever somebody waits for another's lease to end.
  TimeNs clock_drift_margin = 100 * kMs;
  // pgquorum.demote_timeout: a primary that has had no lease for this long stops and becomes a
  // standby (its waiting commits are dropped unanswered).
  TimeNs demote_timeout = 10'000 * kMs;
  // pgquorum.dead_voter_timeout: a voter that does not stream for this long leaves S and V.
  TimeNs dead_voter_timeout = 5000 * kMs;
  // pgquorum.switchover_timeout: until the revoke; then everything is undone.
  TimeNs switchover_timeout = 5000 * kMs;
  // pgquorum.switchover_tail_timeout: how long the target waits for the old primary's last bytes
  // and how long the others wait for the target, after the revoke.
  TimeNs switchover_tail_timeout = 1000 * kMs;
  // pgquorum.appointment_timeout: an appointment that is not settled by then, and whose barrier
  // cannot be reached with the nodes that answer, is superseded by a new epoch.
  TimeNs appointment_timeout = 2000 * kMs;
  // pgquorum.async_gather_time: asynchronous mode only: how long more voters may answer.
  TimeNs async_gather_time = 200 * kMs;
  // pgquorum.max_switchover_lag, in bytes of WAL.
  uint64_t max_switchover_lag = 16ull << 20;
  // pgquorum.max_failover_lag, in bytes of WAL: asynchronous mode only.
  uint64_t max_failover_lag = 64ull << 20;
  // pgquorum.max_join_lag, in bytes of WAL: a standby closer than this may become a voter.
  uint64_t max_join_lag = 16ull << 20;
  // pgquorum.synchronous_acks: wanted n; 0 means half of the voters, rounded down.
  uint32_t wanted_acks = 0;
  // pgquorum.minimum_acks: -1 means 1, or 0 in a group of two data members.
  int32_t min_acks = -1;
  // pgquorum.replication_mode: quorum or async (n = 0 whatever the group's size).
  bool async = false;
  // pgquorum.rewind_attempts: then a re-clone.
  uint32_t rewind_attempts = 3;
  // pgquorum.automatic_failover: off pauses detection; verbs still work.
  bool automatic_failover = true;

  bool operator==(const Settings&) const = default;

  static bool IsKnown(std::string_view name);
  // All of them, by name.
  std::vector<SettingText> List() const;

  // From cluster settings. Times are in ms and sizes in bytes, or have a unit as in "2s", "16MB".
  // Unknown names are other capabilities' and are left alone.
  static Settings From(const std::map<std::string, std::string>& values);
  // Why `value` is not allowed for `name` (22023), or ok; also ok for names that are not ours.
  static Status Validate(std::string_view name, std::string_view value);
};

}  // namespace pgquorum::failover

#include "base/pure.h"
