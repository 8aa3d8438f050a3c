// A fixed sample of simulated worlds over the shipped cores; `make sim SIM=multimaster` runs more.
#include <gtest/gtest.h>

#include "base/sim/injected.h"
#include "bgworkers/replication/core/sim/coverage.h"
#include "bgworkers/replication/core/sim/world.h"

namespace pgquorum::replication::sim {
namespace {

TEST(Simulation, FixedSeedsAreClean) {
  Coverage coverage;
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    World world(seed, WorldBugs(), coverage, false);
    std::string failure = world.Run();
    ASSERT_EQ(failure, "") << "multimaster_sim --seed " << seed << " --trace";
  }
}

TEST(Simulation, SameSeedSameRun) {
  for (uint64_t seed : {3, 14, 159}) {
    EXPECT_TRUE((pgquorum::sim::Repeats<World, Coverage, WorldBugs>(seed))) << seed;
  }
}

}  // namespace
}  // namespace pgquorum::replication::sim
