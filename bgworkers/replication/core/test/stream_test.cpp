#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "bgworkers/replication/core/errors.h"
#include "bgworkers/replication/core/stream/apply_scheduler.h"
#include "bgworkers/replication/core/stream/spool_index.h"

namespace pgquorum::replication {
namespace {

constexpr SiteId kOwn{1};
constexpr SiteId kPeer{2};
constexpr SiteId kSlow{3};
const Origin kOrigin{kOwn, 1};

SpoolIndex Spool(uint64_t max_bytes = 10'000, uint64_t peer_max_bytes = 5'000) {
  SpoolIndex spool(kOwn, {100, max_bytes, peer_max_bytes});
  spool.AddPeer(kPeer);
  spool.AddPeer(kSlow);
  return spool;
}

void Fill(SpoolIndex& spool, uint64_t from, uint64_t to) {
  for (uint64_t i = from; i <= to; ++i) {
    ASSERT_EQ(spool.Append(kOrigin, i, 50), SpoolIndex::Appended::kYes);
  }
  ASSERT_TRUE(spool.MarkDurable(kOrigin, to).ok());
  ASSERT_TRUE(spool.MarkApplied(kOrigin, to).ok());
}

TEST(SpoolIndex, TakesEachTransactionOnceAndInOrder) {
  SpoolIndex spool = Spool();
  EXPECT_EQ(spool.Append(kOrigin, 2, 50), SpoolIndex::Appended::kGap);
  EXPECT_EQ(spool.Append(kOrigin, 1, 50), SpoolIndex::Appended::kYes);
  EXPECT_EQ(spool.Append(kOrigin, 1, 50), SpoolIndex::Appended::kDuplicate);
  EXPECT_EQ(spool.bytes(), 50U);
}

TEST(SpoolIndex, NothingIsAppliedThatIsNotDurable) {
  SpoolIndex spool = Spool();
  spool.Append(kOrigin, 1, 50);
  EXPECT_EQ(spool.MarkApplied(kOrigin, 1).sqlstate(), kErrBadAcknowledgement);
  EXPECT_EQ(spool.MarkDurable(kOrigin, 2).sqlstate(), kErrBadAcknowledgement);
  EXPECT_TRUE(spool.MarkDurable(kOrigin, 1).ok());
  EXPECT_TRUE(spool.MarkApplied(kOrigin, 1).ok());
}

TEST(SpoolIndex, WhatAnybodyNeedsStays) {
  SpoolIndex spool = Spool();
  Fill(spool, 1, 10);  // two a segment
  EXPECT_TRUE(spool.Trimmable(kOrigin).empty());
  EXPECT_TRUE(spool.Acknowledge(kPeer, kOrigin, {10, 10, 3}).ok());
  EXPECT_TRUE(spool.Acknowledge(kSlow, kOrigin, {9, 5, 5}).ok());
  std::vector<Segment> trimmable = spool.Trimmable(kOrigin);
  ASSERT_EQ(trimmable.size(), 2U);
  EXPECT_EQ(trimmable.back().last, 4U) << "5 shares a segment with 6, which is not durable there";
  spool.Trimmed(kOrigin, 4);
  EXPECT_FALSE(spool.CanServe(kOrigin, 4));
  EXPECT_TRUE(spool.CanServe(kOrigin, 5));
  EXPECT_TRUE(spool.CanServe(kOrigin, 11));
  spool.RemovePeer(kSlow);
  EXPECT_EQ(spool.Trimmable(kOrigin).back().last, 10U);
}

TEST(SpoolIndex, ASiteHasItsOwn) {
  SpoolIndex spool(kOwn, {100, 10'000, 5'000});
  spool.AddPeer(kPeer);
  Origin theirs{kPeer, 1};
  spool.Append(theirs, 1, 200);
  EXPECT_TRUE(spool.MarkDurable(theirs, 1).ok());
  EXPECT_TRUE(spool.MarkApplied(theirs, 1).ok());
  EXPECT_EQ(spool.Trimmable(theirs).size(), 1U);
}

TEST(SpoolIndex, AcknowledgementsOfWhatNeverWasAreRefused) {
  SpoolIndex spool = Spool();
  Fill(spool, 1, 2);
  EXPECT_EQ(spool.Acknowledge(kPeer, kOrigin, {3, 3, 3}).sqlstate(), kErrBadAcknowledgement);
  EXPECT_EQ(spool.Acknowledge(kPeer, kOrigin, {1, 2, 2}).sqlstate(), kErrBadAcknowledgement);
  EXPECT_EQ(spool.Acknowledge(SiteId(9), kOrigin, {1, 1, 1}).sqlstate(), kErrBadAcknowledgement);
  EXPECT_TRUE(spool.Acknowledge(kPeer, kOrigin, {2, 2, 2}).ok());
  EXPECT_TRUE(spool.Acknowledge(kPeer, kOrigin, {1, 1, 1}).ok()) << "late, and without effect";
  EXPECT_EQ(spool.PeerAt(kPeer, kOrigin), (Watermarks{2, 2, 2}));
}

TEST(SpoolIndex, WhatAPeerHadInMemoryIsSentAgainAfterItsRestart) {
  SpoolIndex spool = Spool();
  Fill(spool, 1, 9);
  EXPECT_TRUE(spool.Acknowledge(kPeer, kOrigin, {9, 5, 3}).ok());
  spool.Reconnected(kPeer);
  EXPECT_EQ(spool.PeerAt(kPeer, kOrigin), (Watermarks{5, 5, 3}));
}

TEST(SpoolIndex, APeerOverItsBudgetIsParkedAndHoldsNothing) {
  SpoolIndex spool = Spool(100'000, 400);
  Fill(spool, 1, 8);
  EXPECT_TRUE(spool.Acknowledge(kPeer, kOrigin, {8, 8, 8}).ok());
  EXPECT_EQ(spool.HeldBackBy(kSlow), 400U);
  EXPECT_FALSE(spool.PeerToPark().has_value());
  Fill(spool, 9, 10);
  EXPECT_TRUE(spool.Acknowledge(kPeer, kOrigin, {10, 10, 10}).ok());
  ASSERT_EQ(spool.PeerToPark(), kSlow);
  spool.Park(kSlow);
  EXPECT_TRUE(spool.Parked(kSlow));
  EXPECT_EQ(spool.Trimmable(kOrigin).back().last, 10U);
  spool.AddPeer(kSlow);  // it has a new copy
  EXPECT_FALSE(spool.Parked(kSlow));
}

TEST(SpoolIndex, AFullSpoolSlowsWritersThenRefuses) {
  SpoolIndex spool = Spool(1'000, 10'000);
  Fill(spool, 1, 15);
  EXPECT_EQ(spool.Pressure(), 0U);
  Fill(spool, 16, 18);
  EXPECT_EQ(spool.Pressure(), 600U);
  Fill(spool, 19, 20);
  EXPECT_EQ(spool.Pressure(), 1000U);
  EXPECT_EQ(spool.Append(kOrigin, 21, 50), SpoolIndex::Appended::kFull);
  EXPECT_TRUE(spool.Acknowledge(kPeer, kOrigin, {20, 20, 20}).ok());
  EXPECT_EQ(spool.PeerToPark(), kSlow);
}

TEST(SpoolIndex, ComesBackAfterARestart) {
  SpoolIndex spool = Spool();
  EXPECT_TRUE(spool.Recover(kOrigin, {{5, 6, 100}, {7, 9, 120}}, 6).ok());
  EXPECT_EQ(spool.Of(kOrigin), (Watermarks{9, 9, 6}));
  EXPECT_EQ(spool.bytes(), 220U);
  EXPECT_EQ(spool.Recover(kOrigin, {{5, 6, 100}, {8, 9, 120}}, 6).sqlstate(), kErrSequenceGap);
  EXPECT_EQ(spool.bytes(), 220U);
}

TEST(LevelUp, TheMostAdvancedServes) {
  LevelUp plan = PlanLevelUp({{SiteId(1), 5}, {SiteId(2), 9}, {SiteId(3), 9}});
  EXPECT_EQ(plan.source, SiteId(2));
  EXPECT_EQ(plan.target, 9U);
  EXPECT_EQ(plan.behind, std::vector<SiteId>{SiteId(1)});
}

TEST(ApplyScheduler, OtherKeysRunSideBySideAndCommitInOrder) {
  ApplyScheduler scheduler({}, 0);
  EXPECT_TRUE(scheduler.Submit(1, {10}));
  EXPECT_TRUE(scheduler.Submit(2, {20}));
  EXPECT_TRUE(scheduler.Submit(3, {10, 30}));
  EXPECT_EQ(scheduler.Next(), 1U);
  EXPECT_EQ(scheduler.Next(), 2U);
  EXPECT_EQ(scheduler.Next(), std::nullopt) << "3 writes a key of 1";
  scheduler.Executed(2);
  EXPECT_EQ(scheduler.NextToCommit(), std::nullopt);
  scheduler.Executed(1);
  EXPECT_EQ(scheduler.NextToCommit(), 1U);
  scheduler.Committed(1);
  EXPECT_EQ(scheduler.Next(), 3U);
  EXPECT_EQ(scheduler.NextToCommit(), 2U);
}

TEST(ApplyScheduler, ABarrierRunsAlone) {
  ApplyScheduler scheduler({.max_transactions = 10, .max_keys = 3}, 5);
  EXPECT_TRUE(scheduler.Submit(6, {1}));
  EXPECT_TRUE(scheduler.Submit(7, {2, 3, 4, 5})) << "too many keys: alone";
  EXPECT_TRUE(scheduler.Submit(8, {9}));
  EXPECT_EQ(scheduler.Next(), 6U);
  EXPECT_EQ(scheduler.Next(), std::nullopt);
  scheduler.Executed(6);
  scheduler.Committed(6);
  EXPECT_EQ(scheduler.Next(), 7U);
  EXPECT_EQ(scheduler.Next(), std::nullopt);
  scheduler.Executed(7);
  scheduler.Committed(7);
  EXPECT_EQ(scheduler.Next(), 8U);
}

TEST(ApplyScheduler, YoungerOnesGiveWayAndRunAgain) {
  ApplyScheduler scheduler({}, 0);
  for (uint64_t i = 1; i <= 3; ++i) {
    EXPECT_TRUE(scheduler.Submit(i, {i}));
    EXPECT_EQ(scheduler.Next(), i);
  }
  scheduler.Executed(3);
  EXPECT_EQ(scheduler.Yield(), (std::vector<uint64_t>{2, 3}));
  scheduler.Failed(2);
  scheduler.Failed(3);
  EXPECT_EQ(scheduler.Next(), std::nullopt) << "again only as the oldest";
  scheduler.Executed(1);
  scheduler.Committed(1);
  EXPECT_EQ(scheduler.Next(), 2U);
}

TEST(ApplyScheduler, NeverRunsTwoWritersOfAKeyNorOverflows) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    Random random(seed);
    ApplyScheduler scheduler({.max_transactions = 12, .max_keys = 20}, 0);
    std::map<uint64_t, std::vector<uint64_t>> keys;
    std::set<uint64_t> begun;  // running or executed
    std::set<uint64_t> running;
    uint64_t submitted = 0;
    uint64_t committed = 0;
    for (int step = 0; step < 2000 && committed < 200; ++step) {
      if (submitted < 200) {
        std::vector<uint64_t> mine;
        for (uint64_t i = random.Below(4); i > 0; --i) {
          mine.push_back(random.Below(10));
        }
        if (scheduler.Submit(submitted + 1, mine, random.Chance(1, 20))) {
          keys[++submitted] = mine;
        }
      }
      ASSERT_LE(scheduler.size(), 12U);
      if (std::optional<uint64_t> next = scheduler.Next()) {
        for (uint64_t other : begun) {
          for (uint64_t key : keys[other]) {
            ASSERT_EQ(std::count(keys[*next].begin(), keys[*next].end(), key), 0);
          }
        }
        begun.insert(*next);
        running.insert(*next);
      }
      if (!running.empty() && random.Chance(1, 2)) {
        uint64_t one =
            *std::next(running.begin(), static_cast<std::ptrdiff_t>(random.Below(running.size())));
        running.erase(one);
        if (random.Chance(1, 10)) {
          scheduler.Failed(one);
          begun.erase(one);
        } else {
          scheduler.Executed(one);
        }
      }
      if (std::optional<uint64_t> ready = scheduler.NextToCommit()) {
        ASSERT_EQ(*ready, committed + 1);
        scheduler.Committed(*ready);
        begun.erase(*ready);
        committed = *ready;
      }
    }
    ASSERT_EQ(committed, 200U) << "seed " << seed;
  }
}

}  // namespace
}  // namespace pgquorum::replication
