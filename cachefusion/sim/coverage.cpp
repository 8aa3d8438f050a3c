#include "cachefusion/sim/coverage.h"

#include "base/pure.h"

namespace pgquorum::fusion::sim {
namespace {

constexpr std::array<const char*, static_cast<std::size_t>(Point::kCount)> kNames = {
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

}  // namespace

std::string Coverage::Missing() const {
  std::string text;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    if (counts_[i] == 0) {
      text += (text.empty() ? "" : " ") + std::string(kNames[i]);
    }
  }
  return text;
}

std::string Coverage::ToString() const {
  std::string text;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    text += std::string(kNames[i]) + " " + std::to_string(counts_[i]) + "\n";
  }
  return text;
}

}  // namespace pgquorum::fusion::sim
