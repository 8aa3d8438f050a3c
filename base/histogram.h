// A fixed-size latency histogram: 64 power-of-two buckets with 8 linear steps each (at most 12.5 %
// relative error), so that recording never allocates and a snapshot can be copied to shared memory.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace pgquorum {

class Histogram {
 public:
  static constexpr std::size_t kSteps = 8;
  static constexpr std::size_t kBuckets = 62 * kSteps;

  // `value` in any unit; the caller names it.
  void Record(uint64_t value) {
    ++counts_[BucketOf(value)];
    ++count_;
    sum_ += value;
    if (value > max_) {
      max_ = value;
    }
  }
  uint64_t count() const { return count_; }
  uint64_t sum() const { return sum_; }
  uint64_t max() const { return max_; }

  // How many values were smaller than 2 to the power of `exponent`.
  uint64_t CountBelow(unsigned exponent) const {
    std::size_t end = exponent < 3 ? std::size_t{1} << exponent : (exponent - 2) * kSteps;
    uint64_t count = 0;
    for (std::size_t i = 0; i < end && i < kBuckets; ++i) {
      count += counts_[i];
    }
    return count;
  }

  // The upper bound of the bucket that holds the given quantile (0 to 1); 0 when empty.
  uint64_t Quantile(double quantile) const {
    if (count_ == 0) {
      return 0;
    }
    auto rank = static_cast<uint64_t>(quantile * static_cast<double>(count_));
    uint64_t seen = 0;
    for (std::size_t i = 0; i < kBuckets; ++i) {
      seen += counts_[i];
      if (seen > rank) {
        uint64_t bound = UpperBound(i);
        return bound < max_ ? bound : max_;
      }
    }
    return max_;
  }

 private:
  static std::size_t BucketOf(uint64_t value) {
    if (value < kSteps) {
      return static_cast<std::size_t>(value);
    }
    auto exponent = static_cast<std::size_t>(std::bit_width(value)) - 1;  // at least 3
    std::size_t step = static_cast<std::size_t>(value >> (exponent - 3)) & (kSteps - 1);
    return (exponent - 2) * kSteps + step;
  }
  static uint64_t UpperBound(std::size_t bucket) {
    if (bucket < kSteps) {
      return bucket;
    }
    std::size_t exponent = bucket / kSteps + 2;
    uint64_t step = bucket % kSteps;
    return ((kSteps + step + 1) << (exponent - 3)) - 1;
  }

  std::array<uint64_t, kBuckets> counts_{};
  uint64_t count_ = 0;
  uint64_t sum_ = 0;
  uint64_t max_ = 0;
};

}  // namespace pgquorum

#include "base/pure.h"
