// All deliberate defects by name: the policies' (bgworkers/failover/bug.h, only in
// failover_sim_bugs) and those of the world around them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bgworkers/failover/sim/world.h"

namespace pgquorum::failover::sim {

std::vector<std::string> BugNames();
// False when the name is unknown to this program. "none" turns the policies' defects off.
bool EnableBug(std::string_view name, WorldBugs& world);

}  // namespace pgquorum::failover::sim

#include "base/pure.h"
