// The lock queue against the matrix and the rules of its header; deadlock detection.
#include <gtest/gtest.h>

#include "cachefusion/ges/deadlock.h"
#include "cachefusion/ges/lock_queue.h"

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

constexpr LockMode kModes[] = {LockMode::kNl, LockMode::kCr, LockMode::kCw,
                               LockMode::kPr, LockMode::kPw, LockMode::kEx};
using Granted = std::vector<LockQueue::Granted>;

LockOwner Owner(uint64_t number) {
  return MakeOwner(InstanceId(1), number);
}

LockWaiter Ask(uint64_t owner, LockMode mode) {
  return {Owner(owner), mode, WaitId(owner * 100 + static_cast<uint64_t>(mode))};
}

TEST(LockModes, MatrixIsSymmetricAndNlGoesWithAll) {
  for (LockMode a : kModes) {
    EXPECT_TRUE(Compatible(a, LockMode::kNl));
    for (LockMode b : kModes) {
      EXPECT_EQ(Compatible(a, b), Compatible(b, a));
    }
  }
  EXPECT_TRUE(Incomparable(LockMode::kCw, LockMode::kPr));
  EXPECT_FALSE(Incomparable(LockMode::kPw, LockMode::kPr));
  EXPECT_TRUE(IsDowngrade(LockMode::kEx, LockMode::kPw));
  EXPECT_FALSE(IsDowngrade(LockMode::kCr, LockMode::kPr));
}

TEST(LockQueue, EachPairAsTheMatrixSays) {
  for (LockMode held : kModes) {
    for (LockMode wanted : kModes) {
      LockQueue queue({1, 1});
      Granted granted;
      ASSERT_TRUE(queue.Request(Ask(1, held), false, granted));
      granted.clear();
      queue.Request(Ask(2, wanted), false, granted);
      EXPECT_EQ(granted.size(), Compatible(held, wanted) ? 1U : 0U);
    }
  }
}

TEST(LockQueue, NewLocksWaitInOrderBehindConversions) {
  LockQueue queue({1, 1});
  Granted granted;
  queue.Request(Ask(1, LockMode::kPr), false, granted);
  queue.Request(Ask(2, LockMode::kPr), false, granted);
  granted.clear();
  queue.Request(Ask(3, LockMode::kEx), false, granted);  // waits
  queue.Request(Ask(4, LockMode::kPr), false, granted);  // fits, but came after 3
  queue.Request(Ask(1, LockMode::kEx), false, granted);  // converts, before both
  EXPECT_TRUE(granted.empty());
  queue.Unlock(Owner(2), LockMode::kNl, true, granted);
  ASSERT_EQ(granted.size(), 1U);
  EXPECT_EQ(granted[0].owner, Owner(1));
  granted.clear();
  queue.Unlock(Owner(1), LockMode::kNl, true, granted);
  ASSERT_EQ(granted.size(), 1U);
  EXPECT_EQ(granted[0].owner, Owner(3));
  granted.clear();
  queue.Unlock(Owner(3), LockMode::kNl, true, granted);
  ASSERT_EQ(granted.size(), 1U);
  EXPECT_EQ(granted[0].owner, Owner(4));
}

TEST(LockQueue, ACancelledWaitLetsThoseBehindItGo) {
  LockQueue queue({1, 1});
  Granted granted;
  queue.Request(Ask(1, LockMode::kPr), false, granted);
  queue.Request(Ask(2, LockMode::kEx), false, granted);
  queue.Request(Ask(3, LockMode::kPr), false, granted);
  granted.clear();
  EXPECT_TRUE(queue.Cancel(Owner(2), Ask(2, LockMode::kEx).wait, granted));
  ASSERT_EQ(granted.size(), 1U);
  EXPECT_EQ(granted[0].owner, Owner(3));
  EXPECT_FALSE(queue.Cancel(Owner(2), Ask(2, LockMode::kEx).wait, granted));
}

TEST(LockQueue, NoWaitIsRefusedAndLeavesNothing) {
  LockQueue queue({1, 1});
  Granted granted;
  queue.Request(Ask(1, LockMode::kEx), false, granted);
  EXPECT_FALSE(queue.Request(Ask(2, LockMode::kEx), true, granted));
  EXPECT_FALSE(queue.waits());
}

TEST(Deadlock, FindsTheCycleAndTakesTheYoungest) {
  DeadlockDetector detector;
  detector.Reset(InstanceSet(3));
  std::vector<WaitEdge> here = {{Owner(1), WaitId(1), Owner(2), {1, 1}},
                                {Owner(4), WaitId(4), Owner(1), {1, 3}}};
  std::vector<WaitEdge> there = {{Owner(2), WaitId(2), Owner(1), {1, 2}}};
  for (int round = 1; round <= 2; ++round) {
    ASSERT_TRUE(detector.StartRound());
    EXPECT_FALSE(detector.StartRound());  // nobody has answered
    EXPECT_TRUE(detector.AddEdges(InstanceId(1), detector.round(), here, {}).empty());
    std::vector<DeadlockVictim> victims =
        detector.AddEdges(InstanceId(2), detector.round(), there, {});
    ASSERT_EQ(victims.size(), round == 2 ? 1U : 0U);
    if (round == 2) {
      EXPECT_EQ(victims[0].owner, Owner(2));
      EXPECT_EQ(victims[0].wait, WaitId(2));
    }
  }
}

TEST(Deadlock, AWaitOfAnotherNumberOrAnEndingHoldIsNoCycle) {
  DeadlockDetector detector;
  detector.Reset(InstanceSet(1));
  LockReport ending;
  ending.resource = {1, 1};
  ending.owner = Owner(2);
  for (uint64_t round = 1; round <= 4; ++round) {
    std::vector<WaitEdge> edges = {{Owner(1), WaitId(round), Owner(2), {1, 1}},
                                   {Owner(2), WaitId(2), Owner(1), {1, 2}}};
    ASSERT_TRUE(detector.StartRound());
    EXPECT_TRUE(detector.AddEdges(InstanceId(1), detector.round(), edges, {}).empty());
  }
  for (uint64_t round = 1; round <= 4; ++round) {
    std::vector<WaitEdge> edges = {{Owner(1), WaitId(1), Owner(2), {1, 1}},
                                   {Owner(2), WaitId(2), Owner(1), {1, 2}}};
    ASSERT_TRUE(detector.StartRound());
    EXPECT_TRUE(detector.AddEdges(InstanceId(1), detector.round(), edges, {ending}).empty());
  }
}

}  // namespace
}  // namespace pgquorum::fusion
