// Every deliberate defect is caught within 2,000 seeds, and the seed that catches it is clean
// without it: the checker sees the defect and nothing else.
#include <gtest/gtest.h>

#include "raftlog/sim/bug_switch.h"
#include "raftlog/sim/bugs.h"
#include "raftlog/sim/coverage.h"
#include "raftlog/sim/world.h"

namespace pgquorum::raft::sim {
namespace {

class InjectedBug : public testing::TestWithParam<std::string> {};

TEST_P(InjectedBug, IsCaught) {
  Coverage coverage;
  WorldBugs bugs;
  ASSERT_TRUE(EnableBug(GetParam(), bugs));
  uint64_t caught = 0;
  for (uint64_t seed = 1; seed <= 2000 && caught == 0; ++seed) {
    if (!World(seed, bugs, coverage, false).Run().empty()) {
      caught = seed;
    }
  }
  ASSERT_TRUE(EnableCoreBug("none"));
  ASSERT_NE(caught, 0U) << "not caught in 2,000 seeds";
  EXPECT_EQ(World(caught, WorldBugs(), coverage, false).Run(), "");
  RecordProperty("seed", std::to_string(caught));
}

std::string TestName(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, InjectedBug, testing::ValuesIn(BugNames()), TestName);

TEST(InjectedBugs, ThereAreEnough) {
  EXPECT_GE(BugNames().size(), 15U);
}

}  // namespace
}  // namespace pgquorum::raft::sim
