// A fixed sample of simulated worlds over the shipped core; `make sim` runs many more.
#include <gtest/gtest.h>

#include "base/sim/injected.h"
#include "raftlog/sim/coverage.h"
#include "raftlog/sim/world.h"

namespace pgquorum::raft::sim {
namespace {

TEST(Simulation, FixedSeedsAreCleanAndHaveSeenEverything) {
  Coverage coverage;
  uint64_t undecided = 0;
  const uint64_t seeds = pgquorum::sim::kWholeSample ? 2000 : 200;
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    World world(seed, WorldBugs(), coverage, false);
    std::string failure = world.Run();
    ASSERT_EQ(failure, "") << "raft_sim --seed " << seed << " --trace";
    undecided += world.undecided() ? 1 : 0;
  }
  EXPECT_LE(undecided, 2U) << "histories that the search was too short for";
  if (pgquorum::sim::kWholeSample) {
    EXPECT_EQ(coverage.Missing(), "");
  }
}

TEST(Simulation, SameSeedSameRun) {
  for (uint64_t seed : {3, 14, 159}) {
    EXPECT_TRUE((pgquorum::sim::Repeats<World, Coverage, WorldBugs>(seed))) << seed;
  }
}

}  // namespace
}  // namespace pgquorum::raft::sim
