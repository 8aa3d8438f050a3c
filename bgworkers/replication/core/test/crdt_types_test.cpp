// What each type means to its user.
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "bgworkers/replication/core/crdt/counter.h"
#include "bgworkers/replication/core/crdt/registers.h"
#include "bgworkers/replication/core/crdt/registry.h"
#include "bgworkers/replication/core/crdt/sets.h"
#include "bgworkers/replication/core/errors.h"

namespace pgquorum::crdt {
namespace {

using replication::Hlc;
using replication::Origin;
using replication::SiteId;

constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr int64_t kMin = std::numeric_limits<int64_t>::min();

const FoldTable kNoFolds;

Origin At(uint16_t site, uint16_t incarnation = 1) {
  return {SiteId(site), incarnation};
}

TEST(GCounter, OnlyGrows) {
  Counter counter(Type::kGCounter);
  EXPECT_TRUE(counter.Add(At(1), 5).ok());
  EXPECT_EQ(counter.Add(At(1), -1).sqlstate(), replication::kErrInvalidValue);
  EXPECT_EQ(counter.Reset().sqlstate(), replication::kErrInvalidValue);
  EXPECT_EQ(counter.Assign(At(1), 4).sqlstate(), replication::kErrInvalidValue);
  EXPECT_TRUE(counter.Assign(At(2), 7).ok());
  EXPECT_EQ(counter.Value().value(), 7);
}

TEST(PnCounter, AssigningIsADifferenceToWhatWasSeen) {
  Counter a(Type::kPnCounter);
  ASSERT_TRUE(a.Add(At(1), 10).ok());
  Counter b = a;
  ASSERT_TRUE(a.Assign(At(1), 42).ok());  // sees 10: +32
  ASSERT_TRUE(b.Add(At(2), -3).ok());
  ASSERT_TRUE(a.Join(b, kNoFolds).ok());
  EXPECT_EQ(a.Value().value(), 39);
}

TEST(PnCounter, AResetCancelsWhatItSawAndNothingElse) {
  Counter a(Type::kPnCounter);
  ASSERT_TRUE(a.Add(At(1), 10).ok());
  ASSERT_TRUE(a.Add(At(1), -2).ok());
  Counter b = a;
  Counter c = a;
  ASSERT_TRUE(a.Reset().ok());
  ASSERT_TRUE(b.Reset().ok());
  ASSERT_TRUE(c.Add(At(3), 5).ok());
  ASSERT_TRUE(a.Join(b, kNoFolds).ok());
  EXPECT_EQ(a.Value().value(), 0) << "two resets at once cancel once";
  ASSERT_TRUE(a.Join(c, kNoFolds).ok());
  EXPECT_EQ(a.Value().value(), 5) << "an increment that the resets had not seen is kept";
}

TEST(PnCounter, TheRangeIsBigint) {
  Counter counter(Type::kPnCounter);
  ASSERT_TRUE(counter.Add(At(1), kMin).ok());
  EXPECT_EQ(counter.Value().value(), kMin);
  EXPECT_EQ(counter.Add(At(1), -1).sqlstate(), replication::kErrOutOfRange);
  EXPECT_EQ(counter.Assign(At(1), kMax).sqlstate(), replication::kErrOutOfRange)
      << "the difference itself is out of range";
  ASSERT_TRUE(counter.Add(At(1), kMax).ok());
  EXPECT_EQ(counter.Value().value(), -1);

  Counter a(Type::kGCounter);
  Counter b(Type::kGCounter);
  ASSERT_TRUE(a.Add(At(1), kMax).ok());
  ASSERT_TRUE(b.Add(At(2), kMax).ok());
  ASSERT_TRUE(a.Join(b, kNoFolds).ok());
  EXPECT_EQ(a.Value().status().sqlstate(), replication::kErrOutOfRange)
      << "each site was in range, both together are not";
  EXPECT_EQ(FromJson(Type::kGCounter, ToJson(Encode(a)).value()).value(), Encode(a));
}

TEST(PnCounter, FoldingKeepsTheValueAndShrinks) {
  FoldTable folds;
  Counter counter(Type::kPnCounter);
  for (uint16_t site = 1; site <= 20; ++site) {
    ASSERT_TRUE(counter.Add(At(site), site).ok());
  }
  std::size_t before = counter.EncodedSize();
  for (uint16_t site = 1; site <= 18; ++site) {
    folds.Append(At(site));
  }
  Counter late = counter;  // an old image that is still under way
  counter.Fold(folds);
  EXPECT_EQ(counter.Value().value(), 210);
  EXPECT_EQ(counter.entries().size(), 3U);
  EXPECT_LT(counter.EncodedSize(), before / 3);
  ASSERT_TRUE(counter.Join(late, folds).ok());
  EXPECT_EQ(counter.Value().value(), 210) << "what left does not come back";
  EXPECT_EQ(late.Join(counter, kNoFolds).sqlstate(), replication::kErrUnknownFolding);
}

TEST(TwoPSet, RemovalIsFinal) {
  TwoPSet set;
  ASSERT_TRUE(set.Add("a").ok());
  set.Remove("never there");
  set.Remove("a");
  EXPECT_FALSE(set.Contains("a"));
  EXPECT_EQ(set.Add("a").sqlstate(), replication::kErrInvalidValue);
  EXPECT_TRUE(set.Live().empty());
  TwoPSet other;
  ASSERT_TRUE(other.Add("a").ok());
  other.Join(set);
  EXPECT_FALSE(other.Contains("a"));
}

TEST(OrSet, AddedAgainAfterRemoval) {
  OrSet a;
  ASSERT_TRUE(a.Add("x", {At(1), 1}).ok());
  OrSet b = a;
  b.Remove("x");
  ASSERT_TRUE(a.Add("x", {At(1), 2}).ok());
  ASSERT_TRUE(b.Join(a, kNoFolds).ok());
  EXPECT_TRUE(b.Contains("x")) << "the addition had not been seen by the removal";
  b.Remove("x");
  ASSERT_TRUE(a.Join(b, kNoFolds).ok());
  EXPECT_FALSE(a.Contains("x"));
}

TEST(OrSet, NoTombstones) {
  OrSet set;
  for (uint64_t i = 1; i <= 1000; ++i) {
    ASSERT_TRUE(set.Add("element", {At(1), i}).ok());
    set.Remove("element");
  }
  EXPECT_LT(set.EncodedSize(), 16U);
}

TEST(OrSet, AnIdentityIsTakenOnce) {
  OrSet set;
  ASSERT_TRUE(set.Add("x", {At(1), 5}).ok());
  EXPECT_EQ(set.Add("y", {At(1), 5}).sqlstate(), replication::kErrDotReused);
  EXPECT_EQ(set.Add("y", {At(1), 4}).sqlstate(), replication::kErrDotReused);
  EXPECT_TRUE(set.Add("y", {At(1, 2), 1}).ok()) << "after a restore: a new incarnation";
}

TEST(OrSet, FoldingForgetsTheOriginAndNotItsElements) {
  FoldTable folds;
  OrSet a;
  ASSERT_TRUE(a.Add("kept", {At(1), 1}).ok());
  ASSERT_TRUE(a.Add("gone", {At(1), 2}).ok());
  OrSet old = a;
  a.Remove("gone");
  folds.Append(At(1));
  a.Fold(folds);
  EXPECT_TRUE(a.seen().empty());
  ASSERT_TRUE(a.Join(old, folds).ok());
  EXPECT_TRUE(a.Contains("kept"));
  EXPECT_FALSE(a.Contains("gone"));
  EXPECT_TRUE(Validate(Type::kOrSet, Encode(a)).ok());
}

TEST(LwwRegister, TheHighestStampWinsAndTiesAreTheSites) {
  LwwRegister a({Hlc(5), At(1)}, "one");
  LwwRegister b({Hlc(5), At(2)}, "two");
  LwwRegister c = a;
  c.Join(b);
  b.Join(a);
  EXPECT_EQ(c, b);
  EXPECT_EQ(c.value(), "two");
}

TEST(LwwRegister, AssigningIsAlwaysSeen) {
  LwwRegister value({Hlc(50), At(2)}, "from a site whose clock is ahead");
  value.Assign({Hlc(10), At(1)}, std::nullopt);
  EXPECT_FALSE(value.value().has_value());
  LwwRegister other({Hlc(50), At(2)}, "from a site whose clock is ahead");
  other.Join(value);
  EXPECT_EQ(other, value);
}

TEST(MvRegister, KeepsWhatDidNotSeeEachOther) {
  MvRegister a;
  MvRegister b;
  ASSERT_TRUE(a.Assign({At(1), 1}, "left").ok());
  ASSERT_TRUE(b.Assign({At(2), 1}, std::nullopt).ok());
  ASSERT_TRUE(a.Join(b, kNoFolds).ok());
  ASSERT_TRUE(b.Join(a, kNoFolds).ok());
  ASSERT_EQ(a.versions().size(), 2U);
  ASSERT_TRUE(a.Assign({At(1), 2}, "resolved").ok());
  ASSERT_TRUE(b.Join(a, kNoFolds).ok());
  ASSERT_EQ(b.versions().size(), 1U);
  EXPECT_EQ(b.versions()[0].value, "resolved");
}

TEST(Caps, HoldForUsersAndNotForMerges) {
  std::string big(kDefaultMaxBytes - 100, 'x');
  std::string also(kDefaultMaxBytes - 100, 'y');
  GSet a;
  GSet b;
  a.Add(big);
  b.Add(also);
  EXPECT_TRUE(CheckSize(Type::kGSet, a.EncodedSize()).ok());
  a.Join(b);
  EXPECT_EQ(CheckSize(Type::kGSet, a.EncodedSize()).sqlstate(), replication::kErrLimitExceeded);
  EXPECT_TRUE(Validate(Type::kGSet, Encode(a)).ok());
}

TEST(Sizes, AreWhatTheDesignSays) {
  Counter counter(Type::kPnCounter);
  for (uint16_t site = 1; site <= 3; ++site) {
    ASSERT_TRUE(counter.Add(At(site), 1'000'000).ok());
    ASSERT_TRUE(counter.Add(At(site), -1'000'000).ok());
  }
  EXPECT_LE(counter.EncodedSize(), 8U + 3 * 24);
  LwwRegister value({Hlc(850'000'000'000'000), At(1)}, "0123456789");
  EXPECT_LE(value.EncodedSize(), 10U + 10 + 8);
}

}  // namespace
}  // namespace pgquorum::crdt
