// CRC-32C (Castagnoli), the checksum of every disk record and unauthenticated wire message.
#pragma once

#include <cstdint>
#include <string_view>

namespace pgquorum {

// The CRC of `data` continued from `seed`: Crc32c(b, Crc32c(a)) == Crc32c(a + b). Logs seed it with
// the identity of their container, so that recycled bytes of another file never verify.
uint32_t Crc32c(std::string_view data, uint32_t seed = 0);

}  // namespace pgquorum

#include "base/pure.h"
