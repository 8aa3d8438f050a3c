// Every deliberate defect is caught within 2,000 seeds, and the seed that catches it is clean
// without it: the checker sees the defect and nothing else.
#include <gtest/gtest.h>

#include "base/sim/injected.h"
#include "cachefusion/sim/bugs.h"
#include "cachefusion/sim/coverage.h"
#include "cachefusion/sim/world.h"

#include "base/pure.h"

namespace pgquorum::fusion::sim {
namespace {

class InjectedFusionBug : public testing::TestWithParam<std::string> {};

TEST_P(InjectedFusionBug, IsCaught) {
  pgquorum::sim::ExpectCaught<World, Coverage>(GetParam(), EnableBug, 2000);
}

INSTANTIATE_TEST_SUITE_P(All, InjectedFusionBug, testing::ValuesIn(BugNames()),
                         [](const auto& defect) { return pgquorum::sim::TestName(defect.param); });

TEST(InjectedFusionBugs, ThereAreEnough) {
  EXPECT_GE(BugNames().size(), 25U);
}

}  // namespace
}  // namespace pgquorum::fusion::sim
