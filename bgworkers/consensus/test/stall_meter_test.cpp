#include "bgworkers/consensus/stall_meter.h"

#include <gtest/gtest.h>

#include "base/pure.h"

namespace pgquorum::consensus {
namespace {

using failover::kMs;
using failover::TimeNs;

constexpr TimeNs kNow = 5'000'000 * kMs;

TEST(StallMeter, ATurnInTimeIsNoStall) {
  StallMeter meter;
  meter.Begin(kNow, 0);
  meter.Begin(kNow + 20 * kMs, kNow + 100 * kMs);  // woken before it was due
  EXPECT_EQ(meter.LongestMs(kNow + 20 * kMs), 0u);
}

TEST(StallMeter, ShowsTheLongestOfTheLastSecond) {
  StallMeter meter;
  meter.Begin(kNow, kNow - 900 * kMs);
  meter.Begin(kNow + 100 * kMs, kNow + 90 * kMs);
  EXPECT_EQ(meter.LongestMs(kNow + 100 * kMs), 900u);
  EXPECT_EQ(meter.LongestMs(kNow + 1000 * kMs), 900u);
  EXPECT_EQ(meter.LongestMs(kNow + 1001 * kMs), 0u);
  meter.Begin(kNow + 1100 * kMs, kNow + 1080 * kMs);
  EXPECT_EQ(meter.LongestMs(kNow + 1100 * kMs), 20u);
}

}  // namespace
}  // namespace pgquorum::consensus
