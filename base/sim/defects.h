// Deliberate defects by name: a checker that has never caught anything proves nothing. A simulator
// has two lists, the defects of the world around the library, which are always there, and those of
// the library's own sources, which only a program has that was built with them.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pgquorum::sim {

template <typename WorldBugs>
struct WorldDefect {
  const char* name;
  void (*enable)(WorldBugs&);
};

// `Bug` is an enum class with kNone.
template <typename Bug>
struct CoreDefect {
  const char* name;
  Bug bug;
};

template <typename WorldBugs, typename Bug>
class Defects {
 public:
  constexpr Defects(std::span<const CoreDefect<Bug>> core,
                    std::span<const WorldDefect<WorldBugs>> world)
      : core_(core), world_(world) {}

  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const CoreDefect<Bug>& defect : core_) {
      names.emplace_back(defect.name);
    }
    for (const WorldDefect<WorldBugs>& defect : world_) {
      names.emplace_back(defect.name);
    }
    return names;
  }

  // False when this program has no such defect. "none" turns the core's off; at most one is on.
  bool Enable(std::string_view name, WorldBugs& world, Bug& core) const {
    for (const WorldDefect<WorldBugs>& defect : world_) {
      if (defect.name == name) {
        defect.enable(world);
        return true;
      }
    }
    for (const CoreDefect<Bug>& defect : core_) {
      if (defect.name == name) {
        core = defect.bug;
        return true;
      }
    }
    if (name == "none") {
      core = Bug::kNone;
      return true;
    }
    return false;
  }

 private:
  std::span<const CoreDefect<Bug>> core_;
  std::span<const WorldDefect<WorldBugs>> world_;
};

}  // namespace pgquorum::sim

#include "base/pure.h"
