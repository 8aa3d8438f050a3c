// Finds out what this data directory is: standalone, a member, or a member that must stay closed.
// Plain C++ over the files of extension/identity; no PostgreSQL, so that it is tested without one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "extension/identity/identity.h"

namespace pgquorum::boot {

struct Membership {
  enum class Kind { kStandalone, kMember, kClosed };
  Kind kind = Kind::kStandalone;
  identity::Marker marker;          // kMember
  identity::NodeIdentity identity;  // kMember
  std::string reason;               // kClosed: one line for log, view and refused clients
};

// `state_setting` is pgquorum.state_directory (empty: the marker's path counts alone).
// `system_identifier` is the control file's.
Membership FindMembership(const std::string& data_directory, std::string_view state_setting,
                          uint64_t system_identifier);

// Takes the state directory's lock for the life of this process and of every process forked from it
// (an orphaned backend holds it too). False: another server has it. Closes on exec.
bool LockStateDirectory(const std::string& state_directory, std::string* error);

// Why a forced quorum went on without this node; nothing: none did. A file that cannot be read
// counts.
std::optional<std::string> WhyShutOut(const std::string& state_directory);

// Brings STATE/conf in line with this node's files in the data directory, so that a later rewind
// puts back what the administrator last had. Never call it while an intent is touched.
Status SaveNodeFiles(const std::string& data_directory, const std::string& state_directory);
// The other direction, after a rewind or re-clone.
Status RestoreNodeFiles(const std::string& data_directory, const std::string& state_directory);

// The state directory whose repair of this data directory has begun and not ended, or nothing. The
// marker need not be readable, nor this node's: pg_rewind may have replaced or emptied it.
std::optional<std::string> FindUnfinishedRepair(const std::string& data_directory,
                                                std::string_view state_setting);

// The pgquorum.conf of a start: follow nobody. The generation tells that the file is included and
// not overridden.
inline constexpr int kBootSyncGeneration = 1;
std::string BootConfiguration();

// Removes the empty .history files above the newest real one: leftovers of a promotion that did not
// happen would be followed, or end the start. Returns how many.
Result<int> RemoveHistoryPlaceholders(const std::string& data_directory);

}  // namespace pgquorum::boot

#include "base/pure.h"
