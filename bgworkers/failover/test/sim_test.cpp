// A fixed sample of the simulator: enough to notice a broken rule within seconds. Campaigns are run
// with failover_sim.
#include <gtest/gtest.h>

#include "bgworkers/failover/sim/world.h"

namespace pgquorum::failover::sim {
namespace {

TEST(FailoverSimulation, SampleHoldsEveryRule) {
  Coverage coverage;
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    Options options;
    options.seed = seed;
    ASSERT_EQ(World(options, coverage).Run(), "") << "seed " << seed;
  }
  for (const char* what : {"commit acknowledged", "resumed", "appointed", "rewind",
                           "raft snapshot installed", "revoke: switchover"}) {
    EXPECT_GT(coverage.counters[what], 0u) << what;
  }
}

TEST(FailoverSimulation, TheSameSeedIsTheSameRun) {
  Coverage first;
  Coverage second;
  Options options;
  options.seed = 11;
  World(options, first).Run();
  World(options, second).Run();
  EXPECT_EQ(first.counters, second.counters);
  EXPECT_EQ(first.transitions, second.transitions);
}

// What failover_sim's exit status 3 rests on.
TEST(FailoverSimulation, UntriedFaultsAndRowsAreNamed) {
  Coverage nothing;
  std::size_t everything = Untried(nothing).size();
  EXPECT_GT(everything, World::FaultNames().size());
  nothing.Count(World::FaultNames().front());
  EXPECT_EQ(Untried(nothing).size(), everything - 1);
}

}  // namespace
}  // namespace pgquorum::failover::sim
