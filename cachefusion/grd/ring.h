// Which instance masters which page and which lock.
//
// 65,536 buckets. A ring of 256 virtual nodes an instance gives each bucket a master, so that a
// change of the membership moves few of them; remastering overrides it bucket by bucket. The map of
// an epoch starts without overrides and is the same everywhere; overrides spread lazily and carry a
// version, the higher one counts.
#pragma once

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "cachefusion/message.h"
#include "cachefusion/types.h"

namespace pgquorum::fusion {

inline constexpr uint32_t kBuckets = 65'536;
inline constexpr uint32_t kVirtualNodes = 256;
// Neighbours share a bucket, so that a scan asks one master.
inline constexpr uint32_t kBlocksPerBucketRun = 128;

using Bucket = StrongId<struct BucketTag, uint16_t>;

Bucket BucketOf(PageId page);
Bucket BucketOf(ResourceId resource);

class BucketMap {
 public:
  // Everything else is forgotten.
  void Reset(InstanceSet members);
  InstanceId MasterOf(Bucket bucket) const;
  InstanceId MasterOf(PageId page) const { return MasterOf(BucketOf(page)); }
  // 0: as the ring says.
  uint64_t VersionOf(Bucket bucket) const;
  // False when that is known already, or something newer.
  bool Move(Bucket bucket, InstanceId master, uint64_t version);
  std::size_t overrides() const { return moved_.size(); }

 private:
  struct Moved {
    InstanceId master;
    uint64_t version = 0;
  };
  InstanceSet members_;
  std::vector<std::pair<uint64_t, uint8_t>> ring_;  // place, instance; sorted
  std::map<Bucket, Moved> moved_;
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
