// Every deliberate defect is caught within 2,000 seeds, and the seed that catches it is clean
// without it: the checker sees the defect and nothing else.
#include <gtest/gtest.h>

#include "base/sim/injected.h"
#include "raftlog/sim/bugs.h"
#include "raftlog/sim/coverage.h"
#include "raftlog/sim/world.h"

namespace pgquorum::raft::sim {
namespace {

class InjectedBug : public testing::TestWithParam<std::string> {};

TEST_P(InjectedBug, IsCaught) {
  pgquorum::sim::ExpectCaught<World, Coverage>(GetParam(), EnableBug, 2000);
}

INSTANTIATE_TEST_SUITE_P(All, InjectedBug, testing::ValuesIn(BugNames()),
                         [](const auto& defect) { return pgquorum::sim::TestName(defect.param); });

TEST(InjectedBugs, ThereAreEnough) {
  EXPECT_GE(BugNames().size(), 15U);
}

}  // namespace
}  // namespace pgquorum::raft::sim
