// A fixed sample of simulated worlds over the shipped core; `make sim` runs many more.
#include <gtest/gtest.h>

#include "raftlog/sim/coverage.h"
#include "raftlog/sim/world.h"

namespace pgquorum::raft::sim {
namespace {

TEST(Simulation, FixedSeedsAreCleanAndHaveSeenEverything) {
  Coverage coverage;
  for (uint64_t seed = 1; seed <= 2000; ++seed) {
    World world(seed, WorldBugs(), coverage, false);
    std::string failure = world.Run();
    ASSERT_EQ(failure, "") << "raft_sim --seed " << seed << " --trace";
  }
  EXPECT_EQ(coverage.Missing(), "");
}

TEST(Simulation, SameSeedSameRun) {
  for (uint64_t seed : {3, 14, 159}) {
    Coverage first;
    Coverage second;
    World(seed, WorldBugs(), first, false).Run();
    World(seed, WorldBugs(), second, false).Run();
    EXPECT_EQ(first.ToString(), second.ToString());
  }
}

}  // namespace
}  // namespace pgquorum::raft::sim
