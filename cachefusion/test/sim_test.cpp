// A fixed sample of simulated worlds over the shipped core; `make sim SIM=fusion` runs many more.
#include <gtest/gtest.h>

#include "base/sim/injected.h"
#include "cachefusion/sim/coverage.h"
#include "cachefusion/sim/world.h"

#include "base/pure.h"

namespace pgquorum::fusion::sim {
namespace {

TEST(FusionSimulation, FixedSeedsAreCleanAndHaveSeenEverything) {
  Coverage coverage;
  const uint64_t seeds = pgquorum::sim::kWholeSample ? 2000 : 200;
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    ASSERT_EQ(World(seed, WorldBugs(), coverage, false).Run(), "")
        << "fusion_sim --seed " << seed << " --trace";
  }
  if (pgquorum::sim::kWholeSample) {
    EXPECT_EQ(coverage.Missing(), "");
  }
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
    EXPECT_TRUE((pgquorum::sim::Repeats<World, Coverage, WorldBugs>(seed))) << seed;
  }
}

}  // namespace
}  // namespace pgquorum::fusion::sim
