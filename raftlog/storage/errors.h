// The SQLSTATEs that the log store, the snapshot store and the runtime return beside those of
// raftlog/errors.h.
#pragma once

#include <string_view>

namespace pgquorum::raft {

inline constexpr std::string_view kErrIo = "58030";           // read, write, sync or rename failed
inline constexpr std::string_view kErrDiskFull = "53100";     // no space, or over a quota
inline constexpr std::string_view kErrFileMissing = "58P01";  // a file that must exist does not
inline constexpr std::string_view kErrDamaged = "XX001";      // bytes that were durable are not
inline constexpr std::string_view kErrInUse = "55006";    // another process has the directory open
inline constexpr std::string_view kErrForeign = "RX020";  // directory of another cluster or node,
                                                          // or a copy of this node's
inline constexpr std::string_view kErrFormat = "RX021";   // written by a version we do not know

}  // namespace pgquorum::raft

#include "base/pure.h"
