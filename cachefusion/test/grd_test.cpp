// Ring, affinity, bounded directory, session, replay.
#include <gtest/gtest.h>

#include <map>

#include "cachefusion/grd/affinity.h"
#include "cachefusion/grd/directory.h"
#include "cachefusion/grd/ring.h"
#include "cachefusion/reconfig/redo_merge.h"
#include "cachefusion/session/session.h"

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

TEST(Ring, BucketsAreSharedEvenlyAndFewMove) {
  BucketMap three;
  BucketMap two;
  three.Reset(InstanceSet(7));
  two.Reset(InstanceSet(3));
  std::map<InstanceId, int> share;
  int moved = 0;
  for (uint32_t bucket = 0; bucket < kBuckets; ++bucket) {
    Bucket b(static_cast<uint16_t>(bucket));
    InstanceId before = three.MasterOf(b);
    ++share[before];
    if (before != InstanceId(3)) {
      moved += two.MasterOf(b) != before ? 1 : 0;
    }
  }
  for (const auto& [id, count] : share) {
    EXPECT_GT(count, 65'536 / 3 * 8 / 10) << static_cast<int>(id.value());
  }
  EXPECT_EQ(moved, 0);  // only what the leaver had goes elsewhere
}

TEST(Ring, NeighboursShareABucketAndTheHigherVersionCounts) {
  EXPECT_EQ(BucketOf(PageId{1, 0}), BucketOf(PageId{1, 127}));
  BucketMap map;
  map.Reset(InstanceSet(7));
  Bucket bucket = BucketOf(PageId{1, 0});
  EXPECT_TRUE(map.Move(bucket, InstanceId(2), 2));
  EXPECT_FALSE(map.Move(bucket, InstanceId(3), 1));
  EXPECT_FALSE(map.Move(bucket, InstanceId(9), 3));  // no member
  EXPECT_EQ(map.MasterOf(bucket), InstanceId(2));
  map.Reset(InstanceSet(7));
  EXPECT_EQ(map.VersionOf(bucket), 0U);
}

TEST(Affinity, MovesAboveAHundredRemoteAccessesWithATwofoldLead) {
  Affinity affinity{AffinityOptions()};
  Bucket bucket(5);
  auto use = [&](uint8_t who, int times) {
    for (int i = 0; i < times; ++i) {
      affinity.Count(bucket, InstanceId(who));
    }
  };
  use(2, 100);
  EXPECT_TRUE(affinity.Interval(InstanceId(1)).empty());  // not more than a hundred
  EXPECT_DOUBLE_EQ(affinity.CountOf(bucket, InstanceId(2)), 95.0);
  use(2, 10);
  use(1, 60);
  EXPECT_TRUE(affinity.Interval(InstanceId(1)).empty());  // no twofold lead
  use(2, 30);
  std::vector<BucketMove> moves = affinity.Interval(InstanceId(1));
  ASSERT_EQ(moves.size(), 1U);
  EXPECT_EQ(moves[0].to, InstanceId(2));
  for (int i = 0; i < 200; ++i) {
    affinity.Interval(InstanceId(2));
  }
  EXPECT_EQ(affinity.buckets(), 0U);  // forgotten by decay
}

TEST(Directory, OldestIdleEntryByUse) {
  Directory directory(3);
  Entry& first = directory.Create({1, 1});
  directory.Create({1, 2});
  directory.Create({1, 3});
  EXPECT_TRUE(directory.full());
  EXPECT_EQ(directory.Oldest(10)->page, (PageId{1, 1}));
  first.Work().adopting = true;
  EXPECT_EQ(directory.Oldest(10)->page, (PageId{1, 2}));
  EXPECT_EQ(directory.Oldest(1), nullptr);
  first.Work().adopting = false;
  directory.Touch(first);
  EXPECT_EQ(directory.Oldest(10)->page, (PageId{1, 2}));
  directory.Erase({1, 2});
  EXPECT_EQ(directory.PagesOf(BucketOf(PageId{1, 1})), (std::vector<PageId>{{1, 1}, {1, 3}}));
}

TEST(Session, ExactlyOnceInOrder) {
  SessionOptions options;
  Session a(InstanceId(1), Incarnation(1), InstanceId(2), options);
  Session b(InstanceId(2), Incarnation(2), InstanceId(1), options);
  a.PeerIs(Incarnation(2));
  std::vector<Datagram> out;
  a.Send("one", out);
  a.Send("two", out);
  a.Send("three", out);
  std::vector<std::string> got;
  b.Receive(out[2], got);
  b.Receive(out[0], got);
  b.Receive(out[0], got);
  EXPECT_EQ(got, (std::vector<std::string>{"one"}));
  std::vector<Datagram> again;
  for (int i = 0; i < 3; ++i) {
    a.Tick(again);
  }
  ASSERT_EQ(again.size(), 3U);
  b.Receive(again[1], got);
  EXPECT_EQ(got, (std::vector<std::string>{"one", "two", "three"}));
  std::vector<Datagram> acknowledgement;
  b.Tick(acknowledgement);
  ASSERT_EQ(acknowledgement.size(), 1U);
  a.Receive(acknowledgement[0], got);
  EXPECT_EQ(a.unacknowledged(), 0U);
}

TEST(Session, ANewLifeOfThePeerEndsTheOld) {
  Session b(InstanceId(2), Incarnation(2), InstanceId(1), SessionOptions());
  std::vector<std::string> got;
  b.Receive({InstanceId(1), InstanceId(2), Incarnation(5), Incarnation(2), 1, 0, "new"}, got);
  b.Receive({InstanceId(1), InstanceId(2), Incarnation(1), Incarnation(2), 2, 0, "old"}, got);
  b.Receive({InstanceId(1), InstanceId(2), Incarnation(5), Incarnation(1), 2, 0, "not mine"}, got);
  EXPECT_EQ(got, (std::vector<std::string>{"new"}));
}

struct Step {
  Psn psn_before;
  Psn psn_after;
};

TEST(Replay, OneChainOverSeveralThreadsFromTheNewestBase) {
  int applied = 0;
  auto apply = [&applied](const Step&) { ++applied; };
  std::vector<Step> steps = {
      {Psn(3), Psn(4)}, {Psn(1), Psn(2)}, {Psn(4), Psn(5)}, {Psn(2), Psn(3)}};
  EXPECT_EQ(ReplayPage(Psn(1), steps, apply).value(), Psn(5));
  EXPECT_EQ(applied, 4);
  EXPECT_EQ(ReplayPage(Psn(4), steps, apply).value(), Psn(5));
  EXPECT_EQ(applied, 5);
  EXPECT_EQ(ReplayPage(Psn(9), steps, apply).value(), Psn(9));
  EXPECT_EQ(ReplayPage(Psn(0), steps, apply).status().sqlstate(), kErrRedoGap);
}

}  // namespace
}  // namespace pgquorum::fusion
