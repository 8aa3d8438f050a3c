// Where the rules of extension/raft_settings.h are applied.
#pragma once

namespace pgquorum::hooks {

// At the postmaster's start: FATAL when the values in force do not fit together.
void CheckRaftSettings();

// ALTER SYSTEM SET or RESET (`value` null) of `name`: raises when the values of the configuration
// files, with this change, would keep the server from starting.
void CheckRaftSettingsWith(const char* name, const char* value);

}  // namespace pgquorum::hooks
