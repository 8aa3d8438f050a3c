// The SQLSTATEs of files, for every room that stores something.
#pragma once

#include <string_view>

namespace pgquorum {

inline constexpr std::string_view kErrIo = "58030";           // read, write, sync or rename failed
inline constexpr std::string_view kErrDiskFull = "53100";     // no space, or over a quota
inline constexpr std::string_view kErrFileMissing = "58P01";  // a file that must exist does not
inline constexpr std::string_view kErrDamaged = "XX001";      // bytes that were durable are not
inline constexpr std::string_view kErrInUse = "55006";        // another process holds the lock

}  // namespace pgquorum

#include "base/pure.h"
