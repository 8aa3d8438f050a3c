// All deliberate defects by name: the core's (raftlog/bug.h, only in raft_sim_bugs) and the ones of
// the world around it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "raftlog/sim/world.h"

namespace pgquorum::raft::sim {

std::vector<std::string> BugNames();
// False when the name is unknown to this program. "none" turns the core's defects off.
bool EnableBug(std::string_view name, WorldBugs& world);

}  // namespace pgquorum::raft::sim

#include "base/pure.h"
