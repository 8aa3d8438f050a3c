#include "raftlog/sim/coverage.h"

#include "base/pure.h"

namespace pgquorum::raft::sim {
namespace {

constexpr std::array<const char*, static_cast<std::size_t>(Point::kCount)> kNames = {
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
    "operations-searched",
};

}  // namespace

const char* Name(Point point) {
  return kNames[static_cast<std::size_t>(point)];
}

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

}  // namespace pgquorum::raft::sim
