// How long the main loop stood still: a node that was stopped or starved must not take its own
// silence for that of the others (failover, counter-evidence).
#pragma once

#include <cstdint>

#include "bgworkers/failover/ids.h"

namespace pgquorum::consensus {

class StallMeter {
 public:
  // At the begin of a turn that was due at `due`; 0: the first one.
  void Begin(failover::TimeNs now, failover::TimeNs due) {
    failover::TimeNs late = due != 0 && now > due ? now - due : 0;
    if (late >= longest_ || now - ended_at_ > kWindow) {
      longest_ = late;
      ended_at_ = now;
    }
  }
  // The longest stall that ended within the last second.
  uint32_t LongestMs(failover::TimeNs now) const {
    return now - ended_at_ > kWindow ? 0 : static_cast<uint32_t>(longest_ / failover::kMs);
  }

 private:
  static constexpr failover::TimeNs kWindow = 1000 * failover::kMs;

  failover::TimeNs longest_ = 0;
  failover::TimeNs ended_at_ = 0;
};

}  // namespace pgquorum::consensus

#include "base/pure.h"
