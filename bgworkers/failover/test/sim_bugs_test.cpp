// Every deliberate defect is caught by the simulator's checks, and the seed that catches it is
// clean without it.
#include <gtest/gtest.h>

#include <string>

#include "bgworkers/failover/sim/world.h"

namespace pgquorum::failover::sim {
namespace {

constexpr uint64_t kSeeds = 2000;

class FailoverDefect : public testing::TestWithParam<std::string> {};

TEST_P(FailoverDefect, IsCaught) {
  Options options;
  options.figures = false;  // caught by what it breaks, not by what it slows down
  ASSERT_TRUE(SetBug(options.bugs, GetParam()));
  Coverage coverage;
  std::string violation;
  while (violation.empty() && options.seed <= kSeeds) {
    violation = World(options, coverage).Run();
    ++options.seed;
  }
  ASSERT_NE(violation, "") << "not caught within " << kSeeds << " seeds";
  options.seed -= 1;
  RecordProperty("seed", static_cast<int>(options.seed));
  options.bugs = Bugs();
  EXPECT_EQ(World(options, coverage).Run(), "") << "seed " << options.seed;
}

INSTANTIATE_TEST_SUITE_P(All, FailoverDefect, testing::ValuesIn(BugNames()),
                         [](const auto& param) { return param.param; });

TEST(FailoverDefects, UnknownNamesAreRefused) {
  Options options;
  EXPECT_FALSE(SetBug(options.bugs, "no such fault"));
}

}  // namespace
}  // namespace pgquorum::failover::sim
