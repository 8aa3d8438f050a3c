// Every deliberate defect is caught by what it breaks within 2,000 seeds, and the seed that catches
// it is clean without it.
#include <gtest/gtest.h>

#include "base/sim/injected.h"
#include "bgworkers/failover/sim/bugs.h"
#include "bgworkers/failover/sim/coverage.h"
#include "bgworkers/failover/sim/world.h"

namespace pgquorum::failover::sim {
namespace {

class InjectedFailoverBug : public testing::TestWithParam<std::string> {};

TEST_P(InjectedFailoverBug, IsCaught) {
  pgquorum::sim::ExpectCaught<World, Coverage>(GetParam(), EnableBug, 2000);
}

INSTANTIATE_TEST_SUITE_P(All, InjectedFailoverBug, testing::ValuesIn(BugNames()),
                         [](const auto& defect) { return pgquorum::sim::TestName(defect.param); });

TEST(InjectedFailoverBugs, UnknownNamesAreRefused) {
  WorldBugs bugs;
  EXPECT_FALSE(EnableBug("no-such-defect", bugs));
}

}  // namespace
}  // namespace pgquorum::failover::sim
