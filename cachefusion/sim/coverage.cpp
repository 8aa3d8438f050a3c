#include "cachefusion/sim/coverage.h"

#include <iterator>

#include "base/pure.h"

namespace pgquorum::fusion::sim {
namespace {

constexpr const char* kNames[] = {
    "message-lost",
    "message-doubled",
    "crash",
    "crash-while-frozen",
    "crash-while-scanning",
    "crash-while-replaying",
    "crash-while-retiring",
    "crash-in-write",
    "torn-page",
    "torn-page-repaired",
    "zombie",
    "zombie-refused",
    "join",
    "all-dead",
    "grant-from-disk",
    "page-shipped",
    "upgrade",
    "conversion-restarted",
    "past-image-kept",
    "past-image-dropped",
    "ship-after-flush",
    "ship-already-durable",
    "evicted",
    "recalled",
    "waited-for-room",
    "withdrawn",
    "page-replayed",
    "redo-merged",
    "replay-on-past-image",
    "redo-retired",
    "shared-adopted",
    "past-image-adopted",
    "remastered",
    "passed-on",
    "checkpoint",
    "lock-granted",
    "lock-waited",
    "lock-timeout",
    "lock-cancelled",
    "lock-not-available",
    "deadlock",
    "conversion",
    "value-read",
    "value-invalid",
};
static_assert(std::size(kNames) == static_cast<std::size_t>(Point::kCount));

}  // namespace

const char* Name(Point point) {
  return kNames[static_cast<std::size_t>(point)];
}

}  // namespace pgquorum::fusion::sim
