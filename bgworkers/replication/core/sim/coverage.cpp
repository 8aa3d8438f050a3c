#include "bgworkers/replication/core/sim/coverage.h"

#include <iterator>

#include "base/pure.h"

namespace pgquorum::replication::sim {
namespace {

constexpr const char* kNames[] = {
    "local_write",
    "remote_apply",
    "conflict",
    "merged",
    "kept_both",
    "message_lost",
    "message_doubled",
    "message_cut",
    "partition",
    "crash_before_commit",
    "crash_after_commit",
    "crash_before_sync",
    "crash_after_sync",
    "crash_while_executing",
    "crash_after_apply",
    "restart",
    "clock_jump",
    "parked_for_skew",
    "bound_persisted",
    "duplicate_received",
    "gap_received",
    "side_by_side",
    "yielded",
    "trimmed",
    "spool_full",
    "states_forgotten",
    "evicted",
    "levelled_up",
    "closed",
    "joined",
    "rejoined",
    "truncated",
    "key_updated",
};
static_assert(std::size(kNames) == static_cast<std::size_t>(Point::kCount));

}  // namespace

const char* Name(Point point) {
  return kNames[static_cast<std::size_t>(point)];
}

}  // namespace pgquorum::replication::sim
