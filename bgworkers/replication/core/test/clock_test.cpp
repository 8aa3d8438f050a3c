#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "bgworkers/replication/core/clock/applied_window.h"
#include "bgworkers/replication/core/clock/hlc.h"
#include "bgworkers/replication/core/clock/origin.h"
#include "bgworkers/replication/core/clock/version_vector.h"

namespace pgquorum::replication {
namespace {

Origin At(uint16_t site, uint16_t incarnation = 1) {
  return {SiteId(site), incarnation};
}

Hlc NextOf(HybridClock& clock, Hlc wall) {
  std::optional<Hlc> next = clock.Next(wall);
  if (!next) {
    clock.BoundPersisted(clock.WantedBound(wall));
    next = clock.Next(wall);
  }
  EXPECT_TRUE(next.has_value());
  return next.value_or(Hlc());
}

TEST(HybridClock, FollowsTheWallAndNeverStandsStill) {
  HybridClock clock(ClockOptions{}, Hlc());
  EXPECT_EQ(NextOf(clock, Hlc(1000)), Hlc(1000));
  EXPECT_EQ(NextOf(clock, Hlc(1000)), Hlc(1001));
  EXPECT_EQ(NextOf(clock, Hlc(500)), Hlc(1002)) << "the wall was set back";
  EXPECT_EQ(NextOf(clock, Hlc(2000)), Hlc(2000));
}

TEST(HybridClock, NothingIsHandedOutAboveTheDurableBound) {
  HybridClock clock(ClockOptions{}, Hlc());
  EXPECT_FALSE(clock.Next(Hlc(10)).has_value());
  EXPECT_TRUE(clock.ShouldPersist(Hlc(10)));
  clock.BoundPersisted(Hlc(12));
  EXPECT_EQ(clock.Next(Hlc(10)), Hlc(10));
  EXPECT_EQ(clock.Next(Hlc(10)), Hlc(11));
  EXPECT_EQ(clock.Next(Hlc(10)), Hlc(12));
  EXPECT_FALSE(clock.Next(Hlc(10)).has_value());
}

TEST(HybridClock, ARestartWithAClockSetBackGoesOnAbove) {
  HybridClock before(ClockOptions{}, Hlc());
  Hlc last = NextOf(before, Hlc(5'000'000));
  HybridClock after(ClockOptions{}, before.bound());
  EXPECT_GT(NextOf(after, Hlc(1)), last);
}

TEST(HybridClock, WhatWasObservedIsRememberedOverARestart) {
  HybridClock clock(ClockOptions{}, Hlc());
  Hlc remote(4'000'000);
  EXPECT_EQ(clock.Observe(remote, Hlc(10)), Observed::kNeedsBound);
  clock.BoundPersisted(clock.WantedBound(Hlc(10), remote));
  EXPECT_EQ(clock.Observe(remote, Hlc(10)), Observed::kAccepted);
  HybridClock after(ClockOptions{}, clock.bound());
  EXPECT_GT(NextOf(after, Hlc(11)), remote);
}

TEST(HybridClock, SkewHasALimitAndAnAction) {
  ClockOptions options{.max_skew_us = 100, .action = SkewAction::kPark, .reserve_us = 1000};
  HybridClock parking(options, Hlc(500));
  EXPECT_EQ(parking.Observe(Hlc(300), Hlc(200)), Observed::kAccepted);
  EXPECT_EQ(parking.Observe(Hlc(301), Hlc(200)), Observed::kParked);
  EXPECT_EQ(parking.ParkedUntil(Hlc(301)), Hlc(201));
  EXPECT_EQ(parking.Observe(Hlc(301), parking.ParkedUntil(Hlc(301))), Observed::kAccepted);

  options.action = SkewAction::kRefuse;
  HybridClock refusing(options, Hlc(500));
  EXPECT_EQ(refusing.Observe(Hlc(301), Hlc(200)), Observed::kRefused);

  options.action = SkewAction::kAccept;
  HybridClock accepting(options, Hlc(100'000));
  EXPECT_EQ(accepting.Observe(Hlc(90'000), Hlc(200)), Observed::kAccepted);
  EXPECT_EQ(accepting.Observe(kHlcMax + 1, Hlc(200)), Observed::kRefused);
}

TEST(HybridClock, ARestartLoopDoesNotRunAwayFromTheWall) {
  ClockOptions options;
  Hlc wall(1'000'000'000);
  Hlc bound;
  for (int i = 0; i < 200; ++i) {
    HybridClock clock(options, bound);
    NextOf(clock, wall);
    bound = clock.bound();
    wall = wall + options.reserve_us / 10;
  }
  EXPECT_LE(bound - wall, 2 * options.reserve_us);
}

TEST(HybridClock, SaysHowLongACommitWaitsForAPlainWallClock) {
  HybridClock clock(ClockOptions{}, Hlc(100));
  EXPECT_EQ(clock.WaitForWall(Hlc(90)), 11U);
  EXPECT_EQ(clock.WaitForWall(Hlc(101)), 0U);
}

TEST(Stamp, TiesGoToTheHigherSiteThenIncarnation) {
  EXPECT_LT((Stamp{Hlc(5), At(9)}), (Stamp{Hlc(6), At(1)}));
  EXPECT_LT((Stamp{Hlc(5), At(1)}), (Stamp{Hlc(5), At(2)}));
  EXPECT_LT((Stamp{Hlc(5), At(2, 1)}), (Stamp{Hlc(5), At(2, 2)}));
}

TEST(Stamp, EncodingKeepsTheOrder) {
  Random random(7);
  for (int i = 0; i < 2000; ++i) {
    auto draw = [&] {
      return Stamp{Hlc(random.Next() >> random.Below(60)),
                   Origin::Unpack(static_cast<uint32_t>(random.Next()))};
    };
    Stamp a = draw();
    Stamp b = draw();
    char left[kStampSize];
    char right[kStampSize];
    EncodeStamp(a, left);
    EncodeStamp(b, right);
    EXPECT_EQ(DecodeStamp({left, kStampSize}), a);
    EXPECT_EQ(std::string_view(left, kStampSize) < std::string_view(right, kStampSize), a < b);
  }
}

TEST(VersionVector, ComparesByWhatWasSeen) {
  VersionVector a;
  VersionVector b;
  EXPECT_EQ(a.Compare(b), Causality::kEqual);
  a.Raise(At(1), 3);
  EXPECT_EQ(a.Compare(b), Causality::kAfter);
  EXPECT_EQ(b.Compare(a), Causality::kBefore);
  b.Raise(At(2), 1);
  EXPECT_EQ(a.Compare(b), Causality::kConcurrent);
  a.Merge(b);
  EXPECT_EQ(a.Compare(b), Causality::kAfter);
  EXPECT_TRUE(a.Covers({At(1), 3}));
  EXPECT_FALSE(a.Covers({At(1), 4}));
  EXPECT_FALSE(a.Covers({At(1, 2), 1})) << "another incarnation is another origin";
  a.Raise(At(1), 2);
  EXPECT_EQ(a.Of(At(1)), 3U) << "never lowered";
}

TEST(VersionVector, BytesComeBackAndEveryTruncationIsDetected) {
  VersionVector vector;
  vector.Raise(At(2), 7);
  vector.Raise(At(1), 9);
  ByteWriter out;
  vector.Encode(out);
  ByteReader in(out.data());
  EXPECT_EQ(VersionVector::Decode(in), vector);
  EXPECT_TRUE(in.Finished());
  for (std::size_t cut = 0; cut < out.size(); ++cut) {
    ByteReader partial(std::string_view(out.data()).substr(0, cut));
    VersionVector::Decode(partial);
    EXPECT_FALSE(partial.Finished());
  }
  std::string swapped = out.data().substr(0, 4) + out.data().substr(16) + out.data().substr(4, 12);
  ByteReader unsorted(swapped);
  VersionVector::Decode(unsorted);
  EXPECT_FALSE(unsorted.ok());
}

TEST(AppliedWindow, RemembersExactlyWhatWasRecorded) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    Random random(seed);
    AppliedWindow window(8);
    std::set<uint64_t> recorded;
    for (int step = 0; step < 300; ++step) {
      uint64_t sequence = 1 + random.Below(60);
      auto admission = window.Admit(sequence);
      ASSERT_EQ(admission == AppliedWindow::Admission::kDuplicate, recorded.contains(sequence));
      if (admission == AppliedWindow::Admission::kNew) {
        window.Record(sequence);
        recorded.insert(sequence);
      } else if (admission == AppliedWindow::Admission::kFull) {
        // The way out of a full window is always open.
        ASSERT_EQ(window.Admit(window.watermark() + 1), AppliedWindow::Admission::kNew);
      }
      ASSERT_LE(window.ahead().size(), 8U);
      ByteWriter out;
      window.Encode(out);
      ByteReader in(out.data());
      ASSERT_EQ(AppliedWindow::Decode(in, 8), window);
      ASSERT_TRUE(in.Finished());
    }
  }
}

TEST(AppliedWindow, ACopyOfTheDataMovesTheWatermark) {
  AppliedWindow window;
  window.Record(3);
  window.Record(9);
  window.StartAt(8);
  EXPECT_EQ(window.watermark(), 9U);
  EXPECT_TRUE(window.ahead().empty());
  window.StartAt(2);
  EXPECT_EQ(window.watermark(), 9U);
}

TEST(AppliedWindow, RefusesBytesThatItNeverWrites) {
  ByteWriter out;
  out.U64(4);
  out.U32(1);
  out.U64(5);  // would have moved the watermark
  ByteReader in(out.data());
  AppliedWindow::Decode(in);
  EXPECT_FALSE(in.ok());
}

}  // namespace
}  // namespace pgquorum::replication
