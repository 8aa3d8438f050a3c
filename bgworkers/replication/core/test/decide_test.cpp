// What Decide says about a change, and what is refused.
#include <gtest/gtest.h>

#include <string>

#include "bgworkers/replication/core/conflict/constraints.h"
#include "bgworkers/replication/core/conflict/decide.h"
#include "bgworkers/replication/core/errors.h"

namespace pgquorum::replication {
namespace {

class Deciding : public testing::Test {
 protected:
  Deciding() { policy_.columns = 2; }

  static Origin At(uint16_t site) { return {SiteId(site), 1}; }
  Surroundings Around() const { return {policy_, truncated_, folds_, stable_}; }

  // A write at a site that knows `known`.
  Change Wrote(Operation operation, const RowState& known, uint16_t site, uint64_t time,
               std::string a, std::string b) {
    return Write(operation, "1", known, {Value::Of(std::move(a)), Value::Of(std::move(b))}, {},
                 {At(site), time}, {Hlc(time), At(site)}, Around());
  }
  Decision Take(RowState& state, const Change& change) {
    Decision decision = Decide(state, change, Around()).value();
    state = decision.after;
    return decision;
  }

  TablePolicy policy_;
  Stamp truncated_;
  crdt::FoldTable folds_;
  StableLine stable_;
};

TEST_F(Deciding, OrdinaryChangesAreNoConflicts) {
  RowState here;
  Change insert = Wrote(Operation::kInsert, here, 1, 10, "x", "y");
  Decision first = Take(here, insert);
  EXPECT_EQ(first.conflict, ConflictKind::kNone);
  EXPECT_EQ(first.outcome, Outcome::kApplied);
  EXPECT_EQ(first.action, TableAction::kInsert);
  Change update = Wrote(Operation::kUpdate, here, 2, 20, "z", "y");
  Decision second = Take(here, update);
  EXPECT_EQ(second.conflict, ConflictKind::kNone) << "the update has seen the insert";
  EXPECT_EQ(second.action, TableAction::kUpdate);
  Change removal = Wrote(Operation::kDelete, here, 1, 30, "", "");
  Decision third = Take(here, removal);
  EXPECT_EQ(third.conflict, ConflictKind::kNone);
  EXPECT_EQ(third.action, TableAction::kDelete);
}

TEST_F(Deciding, ConflictsHaveTheirKind) {
  RowState base;
  Take(base, Wrote(Operation::kInsert, base, 1, 10, "x", "y"));
  RowState here = base;
  Take(here, Wrote(Operation::kUpdate, here, 1, 30, "mine", "y"));
  Change update = Wrote(Operation::kUpdate, base, 2, 20, "theirs", "y");
  Decision lost = Decide(here, update, Around()).value();
  EXPECT_EQ(lost.conflict, ConflictKind::kUpdateUpdate);
  EXPECT_EQ(lost.outcome, Outcome::kSkipped);
  EXPECT_EQ(lost.action, TableAction::kNone);

  Change removal = Wrote(Operation::kDelete, base, 2, 40, "", "");
  EXPECT_EQ(Decide(here, removal, Around()).value().conflict, ConflictKind::kDeleteUpdated);

  RowState gone = base;
  Take(gone, Wrote(Operation::kDelete, gone, 1, 30, "", ""));
  Decision late = Decide(gone, update, Around()).value();
  EXPECT_EQ(late.conflict, ConflictKind::kUpdateDeleted);
  EXPECT_EQ(late.action, TableAction::kNone);
  Change newer = Wrote(Operation::kUpdate, base, 2, 50, "theirs", "y");
  EXPECT_EQ(Decide(gone, newer, Around()).value().action, TableAction::kInsert);

  Change insert = Wrote(Operation::kInsert, RowState(), 2, 50, "theirs", "y");
  EXPECT_EQ(Decide(here, insert, Around()).value().conflict, ConflictKind::kInsertInsert);

  truncated_ = {Hlc(25), At(1)};
  EXPECT_EQ(Decide(RowState(), update, Around()).value().conflict, ConflictKind::kTruncated);
}

TEST_F(Deciding, WithoutTheBaseOnlyCertainConflictsAreReported) {
  RowState base;
  Take(base, Wrote(Operation::kInsert, base, 1, 10, "x", "y"));
  Change newer = Wrote(Operation::kUpdate, base, 2, 20, "z", "y");
  newer.base.reset();
  EXPECT_EQ(Decide(base, newer, Around()).value().conflict, ConflictKind::kNone);
  Take(base, Wrote(Operation::kUpdate, base, 1, 30, "mine", "y"));
  EXPECT_EQ(Decide(base, newer, Around()).value().conflict, ConflictKind::kUpdateUpdate);
}

TEST_F(Deciding, ErrorAndSkipLeaveTheRow) {
  RowState base;
  Take(base, Wrote(Operation::kInsert, base, 1, 10, "x", "y"));
  RowState here = base;
  Take(here, Wrote(Operation::kUpdate, here, 1, 20, "mine", "y"));
  Change theirs = Wrote(Operation::kUpdate, base, 2, 30, "theirs", "y");
  policy_.overrides[static_cast<std::size_t>(ConflictKind::kUpdateUpdate)] = Strategy::kError;
  Decision error = Decide(here, theirs, Around()).value();
  EXPECT_EQ(error.outcome, Outcome::kDeadLetter);
  EXPECT_EQ(error.after, here);
  policy_.overrides[static_cast<std::size_t>(ConflictKind::kUpdateUpdate)] = Strategy::kSkip;
  EXPECT_EQ(Decide(here, theirs, Around()).value().outcome, Outcome::kSkipped);
  Change ordinary = Wrote(Operation::kUpdate, here, 2, 40, "theirs", "y");
  EXPECT_EQ(Decide(here, ordinary, Around()).value().outcome, Outcome::kApplied);
}

TEST_F(Deciding, AnUntouchedValueIsFilledInOnlyWhereItIsCertain) {
  RowState base;
  Take(base, Wrote(Operation::kInsert, base, 1, 10, "x", "BIG"));
  Change update = Wrote(Operation::kUpdate, base, 2, 20, "z", "BIG");
  update.version.image[1] = Value::Unchanged();
  Decision known = Decide(base, update, Around()).value();
  EXPECT_EQ(known.outcome, Outcome::kApplied);
  EXPECT_EQ(known.row.image[1], Value::Of("BIG"));

  RowState changed = base;
  Take(changed, Wrote(Operation::kUpdate, changed, 1, 15, "x", "BIGGER"));
  EXPECT_EQ(Decide(changed, update, Around()).value().outcome, Outcome::kNeedsImage);
  EXPECT_EQ(Decide(RowState(), update, Around()).value().outcome, Outcome::kNeedsImage);
}

TEST_F(Deciding, MultiValueKeepsTheOthersUntilSomebodyHasSeenThem) {
  policy_.strategy = Strategy::kMultiValue;
  RowState base;
  Take(base, Wrote(Operation::kInsert, base, 1, 10, "x", "y"));
  RowState here = base;
  Take(here, Wrote(Operation::kUpdate, here, 1, 30, "mine", "y"));
  Decision both = Take(here, Wrote(Operation::kUpdate, base, 2, 20, "theirs", "y"));
  EXPECT_EQ(both.outcome, Outcome::kKeptBoth);
  EXPECT_EQ(here.versions.size(), 2U);
  Presented row = Present(here, policy_, truncated_);
  ASSERT_EQ(row.others.size(), 1U);
  EXPECT_EQ(row.image[0], Value::Of("mine"));
  EXPECT_EQ(row.others[0]->image[0], Value::Of("theirs"));
  Take(here, Wrote(Operation::kUpdate, here, 3, 40, "resolved", "y"));
  EXPECT_EQ(here.versions.size(), 1U);
}

TEST_F(Deciding, KeyUpdatesAreForbiddenUnlessDeclared) {
  RowState base;
  Take(base, Wrote(Operation::kInsert, base, 1, 10, "x", "y"));
  auto rekey = [&] {
    return WriteKeyUpdate("1", base, "2", RowState(), {Value::Of("x"), Value::Of("y")}, {},
                          {At(1), 20}, {Hlc(20), At(1)}, Around());
  };
  EXPECT_EQ(rekey().status().sqlstate(), kErrInvalidValue);
  policy_.key_update_rule = KeyUpdateRule::kSplit;
  auto both = rekey();
  ASSERT_TRUE(both.ok());
  EXPECT_TRUE(both.value().first.version.deleted);
  EXPECT_EQ(both.value().first.version.stamp, both.value().second.version.stamp);
}

TEST_F(Deciding, CleaningUpForgetsOnlyWhatIsStable) {
  RowState row;
  Take(row, Wrote(Operation::kInsert, row, 1, 10, "x", "y"));
  Take(row, Wrote(Operation::kDelete, row, 1, 20, "", ""));
  RowState kept = row;
  EXPECT_FALSE(Compact(kept, policy_.shape(), truncated_, Hlc(19)));
  EXPECT_TRUE(kept.deleted.has_value());
  EXPECT_TRUE(Compact(kept, policy_.shape(), truncated_, Hlc(20)));
}

TEST(Policy, WhatDoesNotFitTogetherIsRefused) {
  TablePolicy policy;
  EXPECT_TRUE(policy.Validate().ok());
  policy.strategy = Strategy::kPrimary;
  EXPECT_EQ(policy.Validate().sqlstate(), kErrInvalidValue);
  policy.primary = SiteId(1);
  EXPECT_TRUE(policy.Validate().ok());
  policy.strategy = Strategy::kCustom;
  EXPECT_FALSE(policy.Validate().ok());
  policy.strategy = Strategy::kMultiValue;
  policy.column_level = true;
  EXPECT_FALSE(policy.Validate().ok());
  policy.column_level = false;
  policy.overrides[1] = Strategy::kPrimary;
  EXPECT_FALSE(policy.Validate().ok());
  for (std::string_view name : kStrategyNames) {
    EXPECT_EQ(NameOf(StrategyNamed(name).value()), name);
  }
  EXPECT_FALSE(StrategyNamed("last").has_value());
  EXPECT_EQ(EffectiveStrategy(Strategy::kSkip, std::nullopt), Strategy::kSkip);
  EXPECT_EQ(EffectiveStrategy(Strategy::kSkip, Strategy::kError), Strategy::kError);
}

TEST(Constraints, ADisplacedRowClaimsNothing) {
  auto row = [](std::string key, uint64_t time, std::vector<std::optional<std::string>> values) {
    return UniqueClaims{std::move(key), {Hlc(time), {SiteId(1), 1}}, std::move(values)};
  };
  std::vector<UniqueClaims> rows = {row("1", 10, {"x", "p"}), row("2", 20, {"x", "q"}),
                                    row("3", 30, {"y", "q"}), row("4", 5, {std::nullopt, "r"})};
  std::vector<UniqueLoss> losses = DecideUnique(rows, UniqueRule::kDisplace);
  ASSERT_EQ(losses.size(), 1U) << "2 loses q to 3 and so leaves x to 1";
  EXPECT_EQ(losses[0].loser, 1U);
  EXPECT_EQ(losses[0].winner, 2U);
  EXPECT_EQ(losses[0].constraint, 1U);
}

TEST(Constraints, OrphansByRule) {
  RowState parent;
  EXPECT_EQ(DecideOrphan(true, &parent, OrphanRule::kCascade), OrphanAction::kNone);
  EXPECT_EQ(DecideOrphan(false, &parent, OrphanRule::kCascade), OrphanAction::kHide);
  EXPECT_EQ(DecideOrphan(false, &parent, OrphanRule::kReviveParent), OrphanAction::kSetNull)
      << "nothing is known of the parent";
  Version deletion;
  deletion.deleted = true;
  deletion.image = {Value::Of("x")};
  parent.deleted = deletion;
  EXPECT_EQ(DecideOrphan(false, &parent, OrphanRule::kReviveParent), OrphanAction::kShowParent);
}

}  // namespace
}  // namespace pgquorum::replication
