// What users see and change: keys and JSON of what is shown, plain assignment.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "bgworkers/replication/core/crdt/assign.h"
#include "bgworkers/replication/core/crdt/counter.h"
#include "bgworkers/replication/core/crdt/registry.h"
#include "bgworkers/replication/core/crdt/sets.h"
#include "bgworkers/replication/core/crdt/shown.h"
#include "bgworkers/replication/core/errors.h"

namespace pgquorum::crdt {
namespace {

const replication::Origin kHere{replication::SiteId(1), 1};
const replication::Origin kThere{replication::SiteId(2), 1};

Author By(replication::Origin origin) {
  static uint64_t last = 0;
  return {origin, [](uint64_t above) { return last = std::max(last, above) + 1; }};
}

std::string Must(const Result<std::string>& result) {
  EXPECT_TRUE(result.ok()) << result.status().ToString();
  return result.ok() ? result.value() : std::string();
}

std::string CounterAt(int64_t value, replication::Origin origin = kHere) {
  Counter counter(Type::kPnCounter);
  EXPECT_TRUE(counter.Add(origin, value).ok());
  return Encode(counter);
}

std::string SetOf(Type type, const std::vector<std::string_view>& elements) {
  return Must(AddElements(Empty(type), elements, By(kHere)));
}

std::string Shown(const std::string& bytes) {
  return Must(ShownJson(bytes));
}

TEST(CrdtShown, CountersAreOrderedByNumber) {
  std::vector<int64_t> numbers = {INT64_MIN, -300, -1, 0, 1, 255, 256, INT64_MAX};
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    EXPECT_EQ(Must(ShownKey(CounterAt(numbers[i]))), NumberKey(numbers[i]));
    EXPECT_TRUE(i == 0 || NumberKey(numbers[i - 1]) < NumberKey(numbers[i])) << numbers[i];
  }
  // Beyond bigint: still in order, and null as JSON.
  std::string above = Must(Merge(CounterAt(INT64_MAX), CounterAt(1, kThere), FoldTable()));
  EXPECT_GT(Must(ShownKey(above)), NumberKey(INT64_MAX));
  EXPECT_EQ(Shown(above), "null");
  EXPECT_EQ(Shown(CounterAt(-300)), "-300");
}

TEST(CrdtShown, ListsAreOrderedElementByElement) {
  std::vector<std::vector<std::string_view>> lists = {
      {}, {""}, {std::string_view("\0", 1)}, {"a"}, {"a", "b"}, {"a", "c"}, {"ab"}, {"b"}};
  for (std::size_t i = 1; i < lists.size(); ++i) {
    EXPECT_LT(Must(ShownKey(SetOf(Type::kGSet, lists[i - 1]))),
              Must(ShownKey(SetOf(Type::kGSet, lists[i]))))
        << i;
    EXPECT_EQ(Must(ShownKey(SetOf(Type::kOrSet, lists[i]))),
              Must(ShownKey(SetOf(Type::kGSet, lists[i]))));
  }
  EXPECT_EQ(Shown(SetOf(Type::kOrSet, {"b", "a\""})), "[\"a\\\"\", \"b\"]");
}

TEST(CrdtShown, RegistersShowTheirValues) {
  std::string lww = Must(AssignText(Empty(Type::kLwwRegister), "x", By(kHere)));
  std::string null = Must(AssignText(lww, std::nullopt, By(kHere)));
  EXPECT_EQ(Shown(lww), "\"x\"");
  EXPECT_EQ(Shown(null), "null");
  EXPECT_LT(Must(ShownKey(lww)), Must(ShownKey(null)));
  std::string b = Must(AssignText(Empty(Type::kMvRegister), "b", By(kHere)));
  std::string a = Must(AssignText(Empty(Type::kMvRegister), "a", By(kThere)));
  std::string both = Must(Merge(b, a, FoldTable()));
  EXPECT_EQ(Shown(both), "[\"a\", \"b\"]");
  EXPECT_EQ(Shown(Must(AssignText(both, "c", By(kHere)))), "[\"c\"]");
}

TEST(CrdtShown, RemovedElementsAreNotShownButHeld) {
  std::string set = Must(RemoveElements(SetOf(Type::kTwoPSet, {"a", "b"}), {"a"}));
  EXPECT_EQ(Shown(set), "[\"b\"]");
  EXPECT_EQ(AllTexts(set).value().size(), 2U);
}

TEST(CrdtAssign, AStateThatCameFromTheOldOneIsTaken) {
  std::string old = SetOf(Type::kOrSet, {"a"});
  std::string later = Must(AddElements(old, {"b"}, By(kHere)));
  EXPECT_EQ(Must(AssignShown(old, later, By(kHere))), later);
}

TEST(CrdtAssign, ANumberBecomesADifference) {
  std::string old = Must(Merge(CounterAt(10), CounterAt(5, kThere), FoldTable()));
  std::string assigned = Must(AssignShown(old, CounterAt(3), By(kHere)));
  EXPECT_EQ(Shown(assigned), "3");
  // What the other site counted meanwhile is kept.
  std::string there = CounterAt(7, kThere);
  EXPECT_EQ(Shown(Must(Merge(assigned, there, FoldTable()))), "5");
}

TEST(CrdtAssign, AListBecomesAdditionsAndRemovals) {
  for (Type type : {Type::kOrSet, Type::kTwoPSet}) {
    std::string old = Must(AddElements(SetOf(type, {"a", "b"}), {"c"}, By(kHere)));
    std::string wanted = Must(AddElements(Empty(type), {"b", "d"}, By(kThere)));
    std::string assigned = Must(AssignShown(old, wanted, By(kHere)));
    EXPECT_EQ(Shown(assigned), "[\"b\", \"d\"]");
    EXPECT_EQ(Must(Merge(old, assigned, FoldTable())), assigned) << "later than the old value";
  }
  std::string grows = SetOf(Type::kGSet, {"a"});
  EXPECT_EQ(AssignShown(grows, SetOf(Type::kGSet, {"b"}), By(kHere)).status().sqlstate(),
            replication::kErrInvalidValue);
  EXPECT_EQ(Shown(Must(AssignShown(grows, SetOf(Type::kGSet, {"a", "b"}), By(kHere)))),
            "[\"a\", \"b\"]");
}

TEST(CrdtAssign, ATextWinsOverWhatTheColumnHad) {
  Author behind{kHere, [](uint64_t above) { return above + 1; }};
  std::string old = Must(AssignText(Empty(Type::kLwwRegister), "old", By(kThere)));
  std::string wanted = Must(AssignText(Empty(Type::kLwwRegister), "new", behind));
  std::string assigned = Must(AssignShown(old, wanted, behind));
  EXPECT_EQ(Shown(assigned), "\"new\"");
  EXPECT_EQ(Must(Merge(old, assigned, FoldTable())), assigned);
}

TEST(CrdtAssign, OperationsOfOneAuthorDiffer) {
  std::string set = SetOf(Type::kOrSet, {"a", "b", "c"});
  Result<OrSet> decoded = OrSet::Decode(set);
  ASSERT_TRUE(decoded.ok());
  const auto& elements = decoded.value().elements();
  EXPECT_NE(elements[0].dots[0], elements[1].dots[0]);
  EXPECT_NE(elements[1].dots[0], elements[2].dots[0]);
}

TEST(CrdtAssign, TheLastSequenceIsNoneToGoBeyond) {
  OrSet set;
  ASSERT_TRUE(set.Add("a", {kHere, UINT64_MAX}).ok());
  Author author{kHere, [](uint64_t above) { return above == UINT64_MAX ? above : above + 1; }};
  EXPECT_EQ(AddElements(Encode(set), {"b"}, author).status().sqlstate(),
            replication::kErrDotReused);
}

}  // namespace
}  // namespace pgquorum::crdt
