// fusion_sim: instances that share pages and locks, and die.
// Options: base/sim/program.h.
#include "cachefusion/sim/bugs.h"
#include "cachefusion/sim/coverage.h"
#include "cachefusion/sim/world.h"

#include "base/sim/program.h"

#include "base/pure.h"

int main(int argc, char** argv) {
  using namespace pgquorum::fusion::sim;  // NOLINT: a program of one function
  return pgquorum::sim::Program<World, Coverage, WorldBugs>("fusion_sim", BugNames, EnableBug)
      .Main(argc, argv);
}
