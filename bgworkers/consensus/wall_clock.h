// The time that people read: in entries, for the history. No decision rests on it.
#pragma once

#include <chrono>
#include <cstdint>

namespace pgquorum::consensus {

// Microseconds since 1970.
inline int64_t UnixMicroseconds() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace pgquorum::consensus
