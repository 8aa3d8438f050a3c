// Deliberate defects are caught, and the seed that catches one is clean without it: the checks see
// the defect and nothing else.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "base/sim/injected.h"
#include "bgworkers/replication/core/sim/bugs.h"
#include "bgworkers/replication/core/sim/coverage.h"
#include "bgworkers/replication/core/sim/world.h"

namespace pgquorum::replication::sim {
namespace {

constexpr uint64_t kSeeds = 400;
// Still open: no world of the first 250 shows them. The worlds, or the checks, need sharpening.
const std::set<std::string> kNotCaught = {"no-tombstone", "update-before-insert-skipped",
                                          "old-key-kept", "forgotten-at-the-line",
                                          "stable-without-members"};

std::vector<std::string> Caught() {
  std::vector<std::string> names = BugNames();
  std::erase_if(names, [](const std::string& name) { return kNotCaught.contains(name); });
  return names;
}

class InjectedBug : public testing::TestWithParam<std::string> {};

TEST_P(InjectedBug, IsCaught) {
  pgquorum::sim::ExpectCaught<World, Coverage>(GetParam(), EnableBug, kSeeds);
}

INSTANTIATE_TEST_SUITE_P(All, InjectedBug, testing::ValuesIn(Caught()),
                         [](const auto& defect) { return pgquorum::sim::TestName(defect.param); });

TEST(InjectedBugs, ThereAreEnough) {
  EXPECT_EQ(Caught().size() + kNotCaught.size(), BugNames().size());
  EXPECT_GE(Caught().size(), 18U);
}

}  // namespace
}  // namespace pgquorum::replication::sim
