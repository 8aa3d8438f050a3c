// A fixed sample of simulated clusters: enough to notice a broken rule within seconds. `make sim
// SIM=failover` runs many more.
#include <gtest/gtest.h>

#include "base/sim/injected.h"
#include "bgworkers/failover/agent.h"
#include "bgworkers/failover/sim/coverage.h"
#include "bgworkers/failover/sim/world.h"

namespace pgquorum::failover::sim {
namespace {

TEST(FailoverSimulation, SampleHoldsEveryRule) {
  Coverage coverage;
  for (uint64_t seed = 1; seed <= 150; ++seed) {
    ASSERT_EQ(World(seed, WorldBugs(), coverage, false).Run(), "")
        << "failover_sim --seed " << seed << " --trace";
  }
  for (Point point : {Point::kCommitAcknowledged, Point::kResumed, Point::kAppointed,
                      Point::kRewind, Point::kRaftSnapshotInstalled, Point::kRevokeSwitchover}) {
    EXPECT_GT(coverage.Of(point), 0U) << Name(point);
  }
}

TEST(FailoverSimulation, SameSeedSameRun) {
  for (uint64_t seed : {3, 11, 20}) {
    EXPECT_TRUE((pgquorum::sim::Repeats<World, Coverage, WorldBugs>(seed))) << seed;
  }
}

TEST(FailoverSimulation, SeedsThatFoundAMistake) {
  Coverage coverage;
  for (uint64_t seed : {
           7730,   // a fetch that could not end kept a recruit from taking part
           7055,   // a witness's log was the longer one, and the order was given to a data node
           12315,  // the only survivor was half-repaired
           14915,  // a node that was switched off during a restart came back
       }) {
    ASSERT_EQ(World(seed, WorldBugs(), coverage, false).Run(), "")
        << "failover_sim --seed " << seed;
  }
}

// A long campaign fails on these.
TEST(FailoverSimulation, RowsThatWereNeverTakenAreMissing) {
  Coverage nothing;
  EXPECT_NE(nothing.Missing().find("starting: consistent standby -> waiting"), std::string::npos);
  Coverage all;
  all.HitRows(std::vector<uint32_t>(Agent::Transitions().size(), 1));
  EXPECT_EQ(all.Missing().find("starting: consistent standby -> waiting"), std::string::npos);
  EXPECT_NE(all.Missing().find("kill-node"), std::string::npos);
}

}  // namespace
}  // namespace pgquorum::failover::sim
