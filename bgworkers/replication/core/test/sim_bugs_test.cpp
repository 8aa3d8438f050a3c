// Deliberate defects are caught, and the seed that catches one is clean without it: the checks see
// the defect and nothing else.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/sim/injected.h"
#include "bgworkers/replication/core/sim/bugs.h"
#include "bgworkers/replication/core/sim/coverage.h"
#include "bgworkers/replication/core/sim/world.h"

namespace pgquorum::replication::sim {
namespace {

constexpr uint64_t kSeeds = 2'000;

class InjectedBug : public testing::TestWithParam<std::string> {};

TEST_P(InjectedBug, IsCaught) {
  pgquorum::sim::ExpectCaught<World, Coverage>(GetParam(), EnableBug, kSeeds);
}

INSTANTIATE_TEST_SUITE_P(All, InjectedBug, testing::ValuesIn(BugNames()),
                         [](const auto& defect) { return pgquorum::sim::TestName(defect.param); });

TEST(InjectedBugs, ThereAreEnough) {
  EXPECT_GE(BugNames().size(), 23U);
}

}  // namespace
}  // namespace pgquorum::replication::sim
