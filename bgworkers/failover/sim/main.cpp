// failover_sim: clusters whose nodes, networks and administrators fail.
// Options: base/sim/program.h.
#include "bgworkers/failover/sim/bugs.h"
#include "bgworkers/failover/sim/coverage.h"
#include "bgworkers/failover/sim/world.h"

#include "base/sim/program.h"

#include "base/pure.h"

int main(int argc, char** argv) {
  using namespace pgquorum::failover::sim;  // NOLINT: a program of one function
  return pgquorum::sim::Program<World, Coverage, WorldBugs>("failover_sim", BugNames, EnableBug)
      .Main(argc, argv);
}
