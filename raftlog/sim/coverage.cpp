#include "raftlog/sim/coverage.h"

#include <iterator>

#include "base/pure.h"

namespace pgquorum::raft::sim {
namespace {

constexpr const char* kNames[] = {
    "crash-before-write",
    "crash-after-queue",
    "crash-in-write",
    "crash-after-sync",
    "crash-after-release",
    "crash-after-apply",
    "crash-in-snapshot-receive",
    "crash-at-snapshot-install",
    "crash-after-snapshot-taken",
    "election",
    "leader-change",
    "message-lost",
    "message-doubled",
    "message-cut",
    "one-way-cut",
    "bridge-cut",
    "pause",
    "disk-stuck",
    "peer-dead",
    "truncation",
    "config-joint",
    "config-rolled-back",
    "config-simple",
    "snapshot-installed",
    "read-quorum",
    "read-lease",
    "read-follower",
    "forwarded",
    "overloaded",
    "transfer",
    "session-repeated",
    "witness",
    "stepped-down",
    "lasting-cut",
    "disk-write-error",
    "disk-full",
    "disk-short-write",
    "disk-sync-error",
    "disk-later-error",
    "snapshot-no-space",
    "bit-flip",
    "lost-write",
    "snapshot-spoiled",
    "read-found-damage",
    "torn-tail",
    "log-damaged",
    "refilled",
    "refill-asked-for",
    "segment-recycled",
    "lawfully-stuck",
    "switched-off",
    "operations-searched",
};
static_assert(std::size(kNames) == static_cast<std::size_t>(Point::kCount));

}  // namespace

const char* Name(Point point) {
  return kNames[static_cast<std::size_t>(point)];
}

}  // namespace pgquorum::raft::sim
