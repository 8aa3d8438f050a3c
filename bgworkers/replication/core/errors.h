// The SQLSTATEs that the multi-master cores return. Callers compare with these names.
#pragma once

#include <string_view>

namespace pgquorum::replication {

inline constexpr std::string_view kErrOutOfRange = "22003";      // a counter leaves its range
inline constexpr std::string_view kErrInvalidValue = "22023";    // an argument that is not allowed
inline constexpr std::string_view kErrLimitExceeded = "54000";   // a value above its size cap
inline constexpr std::string_view kErrMalformedState = "RX200";  // bytes or text no version wrote
inline constexpr std::string_view kErrUnknownFolding = "RX201";  // folded by a later membership
inline constexpr std::string_view kErrDotReused = "RX202";       // an identity was given out twice
inline constexpr std::string_view kErrConflict = "RX207";        // strategy error: nobody decides
inline constexpr std::string_view kErrBadAcknowledgement =
    "RX203";                                                  // acknowledges what is not there
inline constexpr std::string_view kErrSequenceGap = "RX204";  // a transaction of a site is missing

}  // namespace pgquorum::replication

#include "base/pure.h"
