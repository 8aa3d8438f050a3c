// Every deliberate defect is caught within 2,000 seeds, and the seed that catches it is clean
// without it: the checker sees the defect and nothing else.
#include <gtest/gtest.h>

#include <algorithm>

#include "cachefusion/sim/bugs.h"
#include "cachefusion/sim/coverage.h"
#include "cachefusion/sim/world.h"

#include "base/pure.h"

namespace pgquorum::fusion::sim {
namespace {

class InjectedFusionBug : public testing::TestWithParam<std::string> {};

TEST_P(InjectedFusionBug, IsCaught) {
  Coverage coverage;
  WorldBugs bugs;
  ASSERT_TRUE(EnableBug(GetParam(), bugs));
  uint64_t caught = 0;
  for (uint64_t seed = 1; seed <= 2000 && caught == 0; ++seed) {
    if (!World(seed, bugs, coverage, false).Run().empty()) {
      caught = seed;
    }
  }
  WorldBugs none;
  ASSERT_TRUE(EnableBug("none", none));
  ASSERT_NE(caught, 0U) << "not caught in 2,000 seeds";
  EXPECT_EQ(World(caught, none, coverage, false).Run(), "");
  RecordProperty("seed", std::to_string(caught));
}

std::string TestName(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, InjectedFusionBug, testing::ValuesIn(BugNames()), TestName);

TEST(InjectedFusionBugs, ThereAreEnough) {
  EXPECT_GE(BugNames().size(), 25U);
}

}  // namespace
}  // namespace pgquorum::fusion::sim
