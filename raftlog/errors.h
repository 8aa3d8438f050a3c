// The SQLSTATEs that raftlog returns. Callers compare with these names, never with literals.
#pragma once

#include <string_view>

namespace pgquorum::raft {

inline constexpr std::string_view kErrNotLeader = "RX001";       // ask the leader; retry there
inline constexpr std::string_view kErrOverloaded = "RX003";      // uncommitted limit; retry later
inline constexpr std::string_view kErrTransferring = "RX014";    // leadership is moving; retry
inline constexpr std::string_view kErrBadChange = "RX002";       // configuration change refused
inline constexpr std::string_view kErrChangePending = "RX005";   // an earlier change is under way
inline constexpr std::string_view kErrMalformed = "RX006";       // bytes that no encoder produced
inline constexpr std::string_view kErrNoLeader = "RX007";        // nobody leads; nothing was done
inline constexpr std::string_view kErrNotReady = "RX008";        // no commit in own term yet
inline constexpr std::string_view kErrCompacted = "RX009";       // the log no longer holds it
inline constexpr std::string_view kErrTooLarge = "RX010";        // entry above the size limit
inline constexpr std::string_view kErrUnknownSession = "RX011";  // expired or never opened
inline constexpr std::string_view kErrBadOption = "RX012";       // Options::Validate
inline constexpr std::string_view kErrBroken = "RX013";          // Core::fatal: must leave the game
// The standard's "transaction resolution unknown": a proposal was sent on its way and may have been
// executed, or may still be (timeout, restart, leader lost). Repeat it only in a session.
inline constexpr std::string_view kErrOutcomeUnknown = "08007";

}  // namespace pgquorum::raft

#include "base/pure.h"
