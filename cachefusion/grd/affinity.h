// Counts who uses which bucket and says when it should move to its main user.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "cachefusion/grd/ring.h"
#include "cachefusion/types.h"

namespace pgquorum::fusion {

struct AffinityOptions {
  double decay = 0.95;             // by which counters shrink each interval
  double remote_accesses = 100.0;  // a bucket moves above as many accesses of one other instance
  double lead = 2.0;               // and when they are as many times those of its master
};

struct BucketMove {
  Bucket bucket;
  InstanceId to;
};

// Only of buckets that this instance masters.
class Affinity {
 public:
  explicit Affinity(const AffinityOptions& options) : options_(options) {}

  void Count(Bucket bucket, InstanceId user);
  // To be called once an interval: decays, and returns what should move, the most used first.
  std::vector<BucketMove> Interval(InstanceId self);
  // The bucket has gone, or the membership has changed.
  void Forget(Bucket bucket) { counts_.erase(bucket); }
  void Reset() { counts_.clear(); }
  double CountOf(Bucket bucket, InstanceId user) const;
  std::size_t buckets() const { return counts_.size(); }

 private:
  AffinityOptions options_;
  std::map<Bucket, std::map<InstanceId, double>> counts_;
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
