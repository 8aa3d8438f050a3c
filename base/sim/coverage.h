// What simulated worlds have been through. A situation that never arose has not been tested, so a
// long run fails on a counter that stayed at zero.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace pgquorum::sim {

// `Point` is an enum class that counts from 0 and ends with kCount; `const char* Name(Point)`
// stands beside it.
template <typename Point>
class Coverage {
 public:
  void Hit(Point point, uint64_t times = 1) { counts_[static_cast<std::size_t>(point)] += times; }
  uint64_t Of(Point point) const { return counts_[static_cast<std::size_t>(point)]; }
  // Names of the counters at zero, separated by blanks.
  std::string Missing() const {
    std::string text;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      if (counts_[i] == 0) {
        text += (text.empty() ? "" : " ") + std::string(Name(static_cast<Point>(i)));
      }
    }
    return text;
  }
  std::string ToString() const {
    std::string text;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      text += std::string(Name(static_cast<Point>(i))) + " " + std::to_string(counts_[i]) + "\n";
    }
    return text;
  }

 private:
  std::array<uint64_t, static_cast<std::size_t>(Point::kCount)> counts_{};
};

}  // namespace pgquorum::sim

#include "base/pure.h"
