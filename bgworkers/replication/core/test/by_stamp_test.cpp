#include "bgworkers/replication/core/conflict/by_stamp.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "base/random.h"

#include "base/pure.h"

namespace pgquorum::replication {
namespace {

Stamp At(uint64_t time, uint16_t site) {
  return {Hlc(time), {SiteId(site), 1}};
}

StampVerdict Decided(const StampedRow& local, const StampedChange& change) {
  Result<StampVerdict> verdict = DecideByStamp(local, change);
  EXPECT_TRUE(verdict.ok());
  return verdict.value();
}

StampedRow Live(Stamp written) {
  return {true, written, Stamp()};
}

TEST(ByStamp, AnOrdinaryChangeIsNoConflict) {
  // The writer overwrote its own version, the one that is here.
  StampVerdict v = Decided(Live(At(10, 2)), {Operation::kUpdate, At(20, 2), std::nullopt});
  EXPECT_EQ(v.action, TableAction::kUpdate);
  EXPECT_EQ(v.conflict, ConflictKind::kNone);
  // It overwrote this site's version, and says so.
  v = Decided(Live(At(10, 1)), {Operation::kUpdate, At(20, 2), At(10, 1)});
  EXPECT_EQ(v.action, TableAction::kUpdate);
  EXPECT_EQ(v.conflict, ConflictKind::kNone);
  // A row from before replication.
  v = Decided(Live(Stamp()), {Operation::kDelete, At(20, 2), std::nullopt});
  EXPECT_EQ(v.action, TableAction::kDelete);
  EXPECT_TRUE(v.keep_tombstone);
  EXPECT_EQ(v.conflict, ConflictKind::kNone);
  // The version that the writer overwrote has not come here yet: not this site's conflict.
  v = Decided(Live(At(10, 1)), {Operation::kUpdate, At(20, 2), At(15, 3)});
  EXPECT_EQ(v.action, TableAction::kUpdate);
  EXPECT_EQ(v.conflict, ConflictKind::kNone);
}

TEST(ByStamp, TheNewerWriteWinsAndBothSidesCallItAConflict) {
  StampVerdict older = Decided(Live(At(20, 1)), {Operation::kUpdate, At(10, 2), std::nullopt});
  EXPECT_EQ(older.action, TableAction::kNone);
  EXPECT_EQ(older.outcome, Outcome::kSkipped);
  EXPECT_EQ(older.conflict, ConflictKind::kUpdateUpdate);
  StampVerdict newer = Decided(Live(At(10, 2)), {Operation::kUpdate, At(20, 1), std::nullopt});
  EXPECT_EQ(newer.action, TableAction::kUpdate);
  EXPECT_EQ(newer.outcome, Outcome::kApplied);
  EXPECT_EQ(newer.conflict, ConflictKind::kUpdateUpdate);
}

TEST(ByStamp, ADeletionIsAWrite) {
  StampedRow gone{false, Stamp(), At(20, 1)};
  StampVerdict late = Decided(gone, {Operation::kUpdate, At(10, 2), std::nullopt});
  EXPECT_EQ(late.action, TableAction::kNone);
  EXPECT_EQ(late.conflict, ConflictKind::kUpdateDeleted);
  // A newer update brings the row back from its full image.
  StampVerdict newer = Decided(gone, {Operation::kUpdate, At(30, 2), std::nullopt});
  EXPECT_EQ(newer.action, TableAction::kInsert);
  EXPECT_EQ(newer.conflict, ConflictKind::kUpdateDeleted);
  // A deletion of what is not here yet is remembered, and the late insert does not come back.
  StampVerdict early = Decided({}, {Operation::kDelete, At(20, 2), At(10, 3)});
  EXPECT_EQ(early.action, TableAction::kNone);
  EXPECT_TRUE(early.keep_tombstone);
}

TEST(ByStamp, ARowMayBeAsOldAsItsTombstone) {
  StampedRow replaced{true, At(20, 2), At(20, 2)};
  StampVerdict newer = Decided(replaced, {Operation::kUpdate, At(30, 1), std::nullopt});
  EXPECT_EQ(newer.action, TableAction::kUpdate);
  EXPECT_EQ(newer.conflict, ConflictKind::kUpdateUpdate);
  StampVerdict older = Decided(replaced, {Operation::kDelete, At(10, 1), std::nullopt});
  EXPECT_EQ(older.action, TableAction::kNone);
  EXPECT_FALSE(older.keep_tombstone);
}

TEST(ByStamp, WhatComesTwiceChangesNothing) {
  StampVerdict again = Decided(Live(At(20, 2)), {Operation::kUpdate, At(20, 2), std::nullopt});
  EXPECT_EQ(again.action, TableAction::kNone);
  EXPECT_EQ(again.conflict, ConflictKind::kNone);
}

TEST(ByStamp, ErrorAndSkipLeaveTheRowAndSayWhich) {
  StampedChange newer{Operation::kUpdate, At(20, 1), std::nullopt};
  StampVerdict skipped = DecideByStamp(Live(At(10, 2)), newer, Strategy::kSkip).value();
  EXPECT_EQ(skipped.action, TableAction::kNone);
  EXPECT_EQ(skipped.outcome, Outcome::kSkipped);
  EXPECT_EQ(skipped.conflict, ConflictKind::kUpdateUpdate);
  StampVerdict kept = DecideByStamp(Live(At(10, 2)), newer, Strategy::kError).value();
  EXPECT_EQ(kept.action, TableAction::kNone);
  EXPECT_EQ(kept.outcome, Outcome::kDeadLetter);
  // What the writer had seen is no conflict.
  newer.base = At(10, 2);
  EXPECT_EQ(DecideByStamp(Live(At(10, 2)), newer, Strategy::kError).value().action,
            TableAction::kUpdate);
}

// The only state that is kept is a row and a tombstone. Whatever the order of arrival, the newest
// write is what remains.
TEST(ByStamp, AnyOrderEndsAlike) {
  Random random(17);
  for (int round = 0; round < 2000; ++round) {
    std::vector<StampedChange> changes;
    for (uint16_t i = 0; i < 6; ++i) {
      auto operation = static_cast<Operation>(random.Below(3));
      changes.push_back({operation, At(random.Below(4) + 1, static_cast<uint16_t>(i + 1)), {}});
    }
    std::vector<Stamp> ends;
    for (int order = 0; order < 4; ++order) {
      for (std::size_t i = changes.size() - 1; i > 0; --i) {
        std::swap(changes[i], changes[random.Below(i + 1)]);
      }
      StampedRow row;
      for (const StampedChange& change : changes) {
        StampVerdict v = Decided(row, change);
        if (v.keep_tombstone) {
          row.deleted = change.stamp;
        }
        if (v.action == TableAction::kDelete) {
          row.live = false;
        } else if (v.action != TableAction::kNone) {
          row.live = true;
          row.written = change.stamp;
        }
      }
      ends.push_back(row.live ? row.written : Stamp());
    }
    auto newest = std::max_element(changes.begin(), changes.end(),
                                   [](auto& a, auto& b) { return a.stamp < b.stamp; });
    Stamp expected = newest->operation == Operation::kDelete ? Stamp() : newest->stamp;
    EXPECT_EQ(ends, std::vector<Stamp>(4, expected));
  }
}

}  // namespace
}  // namespace pgquorum::replication
