// One server at a time uses a storage, and no process of an earlier life of any server still does.
//
// The file `lock` of the storage, with locks that belong to the open file and so end with its
// process:
//   byte 0  the worker of the server that has the storage open, exclusively, for its life
//   byte 1  every other process that touches the storage, shared, for its life
// A worker that got byte 0 demands byte 1 exclusively for a moment before it opens the storage:
// then nobody is left of those who came before. A process takes byte 1 first and looks afterwards
// whether its own postmaster still lives: an orphan that is late finds that it does not.
#pragma once

#include <string>

#include "base/status.h"

namespace pgquorum::fusion::server {

// 55006 when another server, or a process of an earlier one, uses the storage. `again`: this server
// has it open already and only its worker is new.
Status LockAsServer(const std::string& directory, bool again);
Status LockAsUser(const std::string& directory);
// The worker gives the storage up without ending.
void UnlockAsServer();

}  // namespace pgquorum::fusion::server
