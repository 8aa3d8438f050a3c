// The SQLSTATEs that the log store, the snapshot store and the runtime return beside those of
// raftlog/errors.h.
#pragma once

#include <string_view>

#include "base/storage/errors.h"  // IWYU pragma: export

namespace pgquorum::raft {

inline constexpr std::string_view kErrForeign = "RX020";  // directory of another cluster or node,
                                                          // or a copy of this node's
inline constexpr std::string_view kErrFormat = "RX021";   // written by a version we do not know

}  // namespace pgquorum::raft

#include "base/pure.h"
