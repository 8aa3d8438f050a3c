// The six lock modes and which of them go together (VMS; the matrix of every lock manager since).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "cachefusion/bug.h"
#include "cachefusion/message.h"

namespace pgquorum::fusion {

inline constexpr std::size_t kLockModes = 6;

// kCompatible[held][wanted]
inline constexpr std::array<std::array<bool, kLockModes>, kLockModes> kCompatible = {{
    //  NL    CR     CW     PR     PW     EX
    {{true, true, true, true, true, true}},       // NL: interest, no access
    {{true, true, true, true, true, false}},      // CR: reads, others may write
    {{true, true, true, false, false, false}},    // CW: writes, others may write
    {{true, true, false, true, false, false}},    // PR: reads, nobody may write
    {{true, true, false, false, false, false}},   // PW: writes, others may only read along
    {{true, false, false, false, false, false}},  // EX: nobody else
}};

inline bool Compatible(LockMode held, LockMode wanted) {
  if (PGQUORUM_FUSION_BUG(kLockAnyMode) && held == LockMode::kPr && wanted == LockMode::kCw) {
    return true;
  }
  return kCompatible[static_cast<std::size_t>(held)][static_cast<std::size_t>(wanted)];
}

// Whatever goes together with `from` goes together with `to`: giving up rights never waits.
constexpr bool IsDowngrade(LockMode from, LockMode to) {
  for (std::size_t other = 0; other < kLockModes; ++other) {
    if (kCompatible[static_cast<std::size_t>(from)][other] &&
        !kCompatible[static_cast<std::size_t>(to)][other]) {
      return false;
    }
  }
  return true;
}

// CW and PR are the two modes of which neither is the weaker one.
constexpr bool Incomparable(LockMode a, LockMode b) {
  return !IsDowngrade(a, b) && !IsDowngrade(b, a);
}

// Holders of these may change the value block.
constexpr bool WritesValue(LockMode mode) {
  return mode == LockMode::kPw || mode == LockMode::kEx;
}
// While such a lock is held nobody else can hold one that writes the value.
constexpr bool ExcludesWriters(LockMode mode) {
  return !kCompatible[static_cast<std::size_t>(mode)][static_cast<std::size_t>(LockMode::kPw)] &&
         !kCompatible[static_cast<std::size_t>(mode)][static_cast<std::size_t>(LockMode::kEx)];
}

}  // namespace pgquorum::fusion

#include "base/pure.h"
