// raft_sim: nodes of one group, over disks and networks that fail.
// Options: base/sim/program.h.
#include "raftlog/sim/bugs.h"
#include "raftlog/sim/coverage.h"
#include "raftlog/sim/world.h"

#include "base/sim/program.h"

#include "base/pure.h"

int main(int argc, char** argv) {
  using namespace pgquorum::raft::sim;  // NOLINT: a program of one function
  return pgquorum::sim::Program<World, Coverage, WorldBugs>("raft_sim", BugNames, EnableBug)
      .Main(argc, argv);
}
