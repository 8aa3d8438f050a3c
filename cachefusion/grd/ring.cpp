#include "cachefusion/grd/ring.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

// SplitMix64's finisher: the same on every platform, as all instances must agree.
uint64_t Mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

}  // namespace

Bucket BucketOf(PageId page) {
  uint64_t run = page.block / kBlocksPerBucketRun;
  return Bucket(static_cast<uint16_t>(Mix(Mix(page.segment + 1) + run) % kBuckets));
}

Bucket BucketOf(ResourceId resource) {
  return Bucket(static_cast<uint16_t>(Mix(Mix(~resource.space) + resource.key) % kBuckets));
}

void BucketMap::Reset(InstanceSet members) {
  moved_.clear();
  if (members == members_ && !ring_.empty()) {
    return;
  }
  members_ = members;
  ring_.clear();
  members.ForEach([this](InstanceId id) {
    for (uint64_t node = 0; node < kVirtualNodes; ++node) {
      ring_.emplace_back(Mix(Mix(id.value()) + node), id.value());
    }
  });
  std::sort(ring_.begin(), ring_.end());
}

InstanceId BucketMap::MasterOf(Bucket bucket) const {
  PGQUORUM_CHECK(!ring_.empty());
  auto moved = moved_.find(bucket);
  if (moved != moved_.end()) {
    return moved->second.master;
  }
  std::pair<uint64_t, uint8_t> place(Mix(~uint64_t{bucket.value()}), uint8_t{0});
  auto node = std::lower_bound(ring_.begin(), ring_.end(), place);
  return InstanceId(node == ring_.end() ? ring_.front().second : node->second);
}

uint64_t BucketMap::VersionOf(Bucket bucket) const {
  auto moved = moved_.find(bucket);
  return moved == moved_.end() ? 0 : moved->second.version;
}

bool BucketMap::Move(Bucket bucket, InstanceId master, uint64_t version) {
  if (version <= VersionOf(bucket) || !members_.Has(master)) {
    return false;
  }
  moved_[bucket] = {master, version};
  return true;
}

}  // namespace pgquorum::fusion
