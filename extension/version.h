// The version of the library and the range of wire protocols that it speaks.
#pragma once

#include <cstdint>

namespace pgquorum {

inline constexpr char kVersion[] = "0.1.0";

// Frames carry this number; a node talks to nodes of the version before and after its own.
inline constexpr uint16_t kProtocolVersion = 1;

}  // namespace pgquorum
