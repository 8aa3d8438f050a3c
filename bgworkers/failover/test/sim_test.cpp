// A fixed sample of the simulator: enough to notice a broken rule within seconds. Campaigns are run
// with failover_sim.
#include <gtest/gtest.h>

#include "bgworkers/failover/sim/world.h"

namespace pgquorum::failover::sim {
namespace {

TEST(FailoverSimulation, SampleHoldsEveryRule) {
  Coverage coverage;
  for (uint64_t seed = 1; seed <= 300; ++seed) {
    Options options;
    options.seed = seed;
    ASSERT_EQ(World(options, coverage).Run(), "") << "seed " << seed;
  }
  for (const char* what : {"commit acknowledged", "resumed", "appointed", "rewind",
                           "revoke: switchover", "revoke: postmaster gone"}) {
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

// The checks notice what they are there for: these faults show within a few seeds.
TEST(FailoverSimulation, InjectedFaultsAreCaught) {
  for (const char* name : {"obey_stale_appointment", "resume_without_boot", "serve_before_settled",
                           "empty_list_on_fence", "rule_without_confirmation", "local_timelines",
                           "grant_after_revoke", "connect_before_compare"}) {
    Options options;
    ASSERT_TRUE(SetBug(options.bugs, name));
    Coverage coverage;
    std::string violation;
    for (options.seed = 1; violation.empty() && options.seed <= 150; ++options.seed) {
      violation = World(options, coverage).Run();
    }
    EXPECT_NE(violation, "") << name;
  }
  Options options;
  EXPECT_FALSE(SetBug(options.bugs, "no such fault"));
}

}  // namespace
}  // namespace pgquorum::failover::sim
