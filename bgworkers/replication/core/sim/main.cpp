// multimaster_sim: sites that write the same rows.
// Options: base/sim/program.h.
#include "bgworkers/replication/core/sim/bugs.h"
#include "bgworkers/replication/core/sim/coverage.h"
#include "bgworkers/replication/core/sim/world.h"

#include "base/sim/program.h"

#include "base/pure.h"

int main(int argc, char** argv) {
  using namespace pgquorum::replication::sim;  // NOLINT: a program of one function
  return pgquorum::sim::Program<World, Coverage, WorldBugs>("multimaster_sim", BugNames, EnableBug)
      .Main(argc, argv);
}
