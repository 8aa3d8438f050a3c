// For tests of a simulator's deliberate defects.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace pgquorum::sim {

// A sanitizer makes a run about ten times as long. There a part of a sample has to do, and what the
// whole of it covers is the ordinary build's claim.
#ifdef __SANITIZE_ADDRESS__
inline constexpr bool kWholeSample = false;
#else
inline constexpr bool kWholeSample = true;
#endif

// The first of the seeds 1 … `seeds` whose world breaks a promise; 0 when none does.
template <typename World, typename Coverage, typename WorldBugs>
uint64_t FirstFailure(const WorldBugs& bugs, uint64_t seeds) {
  Coverage coverage;
  for (uint64_t seed = 1; seed <= seeds; ++seed) {
    if (!World(seed, bugs, coverage, false).Run().empty()) {
      return seed;
    }
  }
  return 0;
}

// The defect breaks a promise within `seeds`, and the seed that shows it is clean without it: the
// checks see the defect and nothing else. `enable` is the simulator's EnableBug.
template <typename World, typename Coverage, typename WorldBugs>
void ExpectCaught(const std::string& defect, bool (*enable)(std::string_view, WorldBugs&),
                  uint64_t seeds) {
  WorldBugs bugs;
  ASSERT_TRUE(enable(defect, bugs));
  uint64_t caught = FirstFailure<World, Coverage>(bugs, seeds);
  WorldBugs none;
  ASSERT_TRUE(enable("none", none));
  ASSERT_NE(caught, 0U) << "not caught in " << seeds << " seeds";
  Coverage coverage;
  EXPECT_EQ(World(caught, none, coverage, false).Run(), "");
  testing::Test::RecordProperty("seed", std::to_string(caught));
}

// The same seed is the same run, to the last counter.
template <typename World, typename Coverage, typename WorldBugs>
bool Repeats(uint64_t seed) {
  Coverage first;
  Coverage second;
  World(seed, WorldBugs(), first, false).Run();
  World(seed, WorldBugs(), second, false).Run();
  return first.ToString() == second.ToString();
}

// A defect's name as a test's: "no-past-image" is no identifier.
inline std::string TestName(std::string defect) {
  for (char& c : defect) {
    c = c == '-' ? '_' : c;
  }
  return defect;
}

}  // namespace pgquorum::sim

#include "base/pure.h"
