// A small deterministic generator (SplitMix64, Steele et al. 2014) for simulators and jitter: the
// same seed gives the same run on every platform, unlike <random>'s distributions.
#pragma once

#include <cstdint>

#include "base/check.h"

namespace pgquorum {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    state_ += 0x9E3779B97F4A7C15ULL;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }
  // Uniform in [0, bound); bound > 0. The modulo bias is below 2^-32 for bounds below 2^32.
  uint64_t Below(uint64_t bound) {
    PGQUORUM_CHECK(bound > 0);
    return Next() % bound;
  }
  // Uniform in [low, high].
  uint64_t Between(uint64_t low, uint64_t high) { return low + Below(high - low + 1); }
  // True with probability numerator / denominator.
  bool Chance(uint64_t numerator, uint64_t denominator) { return Below(denominator) < numerator; }
  // An independent generator, so that one consumer's draws do not shift another's.
  Random Fork() { return Random(Next()); }

 private:
  uint64_t state_;
};

}  // namespace pgquorum

#include "base/pure.h"
