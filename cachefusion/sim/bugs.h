// All deliberate defects by name: the core's (cachefusion/bug.h, only in fusion_sim_bugs) and the
// ones of the world around it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pgquorum::fusion::sim {

struct WorldBugs {
  bool zombie_writes = false;      // the storage accepts writes of who was evicted
  bool no_double_write = false;    // torn pages are not repaired
  bool replay_one_thread = false;  // replay looks at the newest dead thread alone
};

std::vector<std::string> BugNames();
// False when the name is unknown to this program. "none" turns the core's defects off.
bool EnableBug(std::string_view name, WorldBugs& world);

}  // namespace pgquorum::fusion::sim

#include "base/pure.h"
