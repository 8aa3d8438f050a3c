// Turns one deliberate defect on, by name. Only in programs built from the sources with
// PGQUORUM_RAFT_BUGS; elsewhere EnableBug knows the defects of the model world alone.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "raftlog/bug.h"

namespace pgquorum::raft::sim {

// "commit-old-term-by-counting", … in the order of raftlog/bug.h.
std::vector<std::string> CoreBugNames();
// False when there is no such defect in this program. "none" turns all off.
bool EnableCoreBug(std::string_view name);

}  // namespace pgquorum::raft::sim

#include "base/pure.h"
