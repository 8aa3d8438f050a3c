// The bits of Frame::state: pins, usage count, flags.
#pragma once

#include <cstdint>

namespace pgquorum::fusion::frame_state {

inline constexpr uint32_t kNoFrame = UINT32_MAX;
inline constexpr uint32_t kOnePin = 1;
inline constexpr uint32_t kPinMask = (1U << 18) - 1;
inline constexpr uint32_t kOneUsage = 1U << 18;
inline constexpr uint32_t kUsageMask = 7U << 18;
inline constexpr uint32_t kMaxUsage = 5;
inline constexpr uint32_t kLinked = 1U << 24;     // in the map under its page id
inline constexpr uint32_t kValid = 1U << 25;      // the page's bytes are there
inline constexpr uint32_t kDirty = 1U << 26;      // changed since it was last written
inline constexpr uint32_t kWriting = 1U << 27;    // a copy is on its way to the disk
inline constexpr uint32_t kRedirtied = 1U << 28;  // changed after that copy was taken

constexpr uint32_t PinsOf(uint32_t state) {
  return state & kPinMask;
}
constexpr uint32_t UsageOf(uint32_t state) {
  return (state & kUsageMask) / kOneUsage;
}
// May be given to another page at once.
constexpr bool Idle(uint32_t state) {
  return PinsOf(state) == 0 && UsageOf(state) == 0 && (state & (kDirty | kWriting)) == 0;
}

}  // namespace pgquorum::fusion::frame_state

#include "base/pure.h"
