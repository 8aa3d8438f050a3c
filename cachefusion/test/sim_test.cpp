// A fixed sample of simulated worlds over the shipped core; `make sim SIM=fusion` runs many more.
#include <gtest/gtest.h>

#include "cachefusion/sim/coverage.h"
#include "cachefusion/sim/world.h"

#include "base/pure.h"

namespace pgquorum::fusion::sim {
namespace {

TEST(FusionSimulation, FixedSeedsAreCleanAndHaveSeenEverything) {
  Coverage coverage;
  for (uint64_t seed = 1; seed <= 2000; ++seed) {
    ASSERT_EQ(World(seed, WorldBugs(), coverage, false).Run(), "")
        << "fusion_sim --seed " << seed << " --trace";
  }
  EXPECT_EQ(coverage.Missing(), "");
}

// A cancellation that overtakes its request, which two former masters pass on.
TEST(FusionSimulation, SeedsThatOnceFailed) {
  Coverage coverage;
  for (uint64_t seed : {48'242}) {
    EXPECT_EQ(World(seed, WorldBugs(), coverage, false).Run(), "");
  }
}

TEST(FusionSimulation, SameSeedSameRun) {
  for (uint64_t seed : {3, 14, 159}) {
    Coverage first;
    Coverage second;
    World(seed, WorldBugs(), first, false).Run();
    World(seed, WorldBugs(), second, false).Run();
    EXPECT_EQ(first.ToString(), second.ToString());
  }
}

}  // namespace
}  // namespace pgquorum::fusion::sim
