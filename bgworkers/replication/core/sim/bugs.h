// All deliberate defects by name: the cores' (bug.h, only in multimaster_sim_bugs) and those of the
// world around them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bgworkers/replication/core/sim/world.h"

namespace pgquorum::replication::sim {

std::vector<std::string> BugNames();
// False when the name is unknown to this program. "none" turns the cores' defects off.
bool EnableBug(std::string_view name, WorldBugs& world);

}  // namespace pgquorum::replication::sim

#include "base/pure.h"
