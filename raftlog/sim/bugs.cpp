#include "raftlog/sim/bugs.h"

#include "raftlog/sim/bug_switch.h"

#include "base/pure.h"

namespace pgquorum::raft::sim {
namespace {

struct NamedWorldBug {
  const char* name;
  void (*enable)(WorldBugs&);
};
constexpr NamedWorldBug kWorldBugs[] = {
    {"send-before-durable", [](WorldBugs& bugs) { bugs.send_before_durable = true; }},
    {"forget-vote", [](WorldBugs& bugs) { bugs.disk.forget_vote = true; }},
    {"forget-synced-tail", [](WorldBugs& bugs) { bugs.disk.forget_synced_tail = true; }},
    {"half-installed-snapshot", [](WorldBugs& bugs) { bugs.disk.half_installed_snapshot = true; }},
};

}  // namespace

std::vector<std::string> BugNames() {
  std::vector<std::string> names = CoreBugNames();
  for (const NamedWorldBug& bug : kWorldBugs) {
    names.emplace_back(bug.name);
  }
  return names;
}

bool EnableBug(std::string_view name, WorldBugs& world) {
  for (const NamedWorldBug& bug : kWorldBugs) {
    if (bug.name == name) {
      bug.enable(world);
      return true;
    }
  }
  return EnableCoreBug(name);
}

}  // namespace pgquorum::raft::sim
