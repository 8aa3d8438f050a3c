#include "cachefusion/table/table_store.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/random.h"
#include "base/storage/errors.h"
#include "cachefusion/table/test/table_world.h"

namespace pgquorum::fusion {
namespace {

class Table : public testing::Test {
 protected:
  Table() {
    EXPECT_TRUE(MakeStorage(fs_).ok());
    life_ = std::make_unique<Life>(fs_);
    EXPECT_TRUE(life_->status.ok());
    for (std::size_t i = 0; i < 3; ++i) {
      sessions_.push_back(std::make_unique<TableSession>(life_->storage, slots_, i));
    }
    EXPECT_TRUE(sessions_[0]->table.space().Create().ok());
  }
  TableSession& S(std::size_t i) { return *sessions_[i]; }
  // A committed row.
  RowAddress Row(const std::string& row) {
    S(0).Begin();
    Result<RowAddress> at = S(0).table.Insert(row, S(0).AsWriter());
    EXPECT_TRUE(at.ok()) << at.status().ToString();
    EXPECT_TRUE(S(0).Commit().ok());
    return at.value();
  }
  TouchResult LockIt(std::size_t who, RowAddress at, RowLock lock, bool asked = false) {
    return S(who).table.Lock(at, lock, S(who).AsWriter(asked), S(who).visibility).value().result;
  }
  TouchResult RemoveIt(std::size_t who, RowAddress at, bool asked = false) {
    return S(who).table.Remove(at, S(who).AsWriter(asked), S(who).visibility).value().result;
  }

  MemoryFileSystem fs_;
  std::unique_ptr<Life> life_;
  std::vector<TxSlot> slots_ = std::vector<TxSlot>(3);
  std::vector<std::unique_ptr<TableSession>> sessions_;
};

TEST_F(Table, HoldsTheLargestRowAndRefusesALargerOne) {
  std::string largest(kMaxVersionBytes - kVersionHeaderBytes, 'x');
  RowAddress at = Row(largest);
  EXPECT_EQ(S(0).table.ReadVersion(at).value().substr(kVersionHeaderBytes), largest);
  S(0).Begin();
  Result<RowAddress> more = S(0).table.Insert(largest + "x", S(0).AsWriter());
  EXPECT_EQ(more.status().sqlstate(), "54000");
  Result<Replaced> replaced =
      S(0).table.Replace(at, largest + "x", RowLock::kUpdate, S(0).AsWriter(), S(0).visibility);
  EXPECT_EQ(replaced.status().sqlstate(), "54000");
  ASSERT_TRUE(S(0).Abort().ok());
}

TEST_F(Table, AnExistingSegmentIsNotMadeAgain) {
  EXPECT_EQ(S(0).table.space().Create().sqlstate(), kErrForeignStorage);
}

TEST_F(Table, ChangesMatchAModelAndSpaceIsUsedAgain) {
  Random random(4);
  std::map<uint64_t, std::string> model;
  uint64_t next = 1;
  uint32_t blocks_after_warmup = 0;
  for (int round = 0; round < 120; ++round) {
    S(0).Begin();
    std::map<uint64_t, std::string> changed = model;
    std::vector<FoundRow> rows = S(0).Visible().value();
    std::map<uint64_t, std::string> found;
    for (const FoundRow& row : rows) {
      uint64_t id;
      std::memcpy(&id, row.row.data(), sizeof(id));
      ASSERT_TRUE(found.emplace(id, row.row).second);
    }
    ASSERT_EQ(found, model);
    auto make = [&](uint64_t id) {
      std::string row(reinterpret_cast<const char*>(&id), sizeof(id));
      row.append(random.Below(random.Chance(1, 30) ? 7000 : 400), 'r');
      return row;
    };
    for (const FoundRow& row : rows) {
      uint64_t id;
      std::memcpy(&id, row.row.data(), sizeof(id));
      uint64_t choice = random.Below(10);
      if (choice < 4) {
        changed[id] = make(id);
        Result<Replaced> replaced = S(0).table.Replace(row.at, changed[id], RowLock::kNoKeyUpdate,
                                                       S(0).AsWriter(), S(0).visibility);
        ASSERT_TRUE(replaced.ok() && replaced.value().touch.result == TouchResult::kOk);
        // The old version leads to the new one.
        std::string old_version = S(0).table.ReadVersion(row.at).value();
        ASSERT_EQ(HeaderOfVersion(old_version).next, replaced.value().at);
        std::string new_version = S(0).table.ReadVersion(replaced.value().at).value();
        ASSERT_TRUE(
            S(0).visibility.Follows(HeaderOfVersion(old_version), HeaderOfVersion(new_version))
                .value());
      } else if (choice < 6) {
        changed.erase(id);
        ASSERT_EQ(RemoveIt(0, row.at), TouchResult::kOk);
      }
    }
    while (changed.size() < 60) {
      changed[next] = make(next);
      ASSERT_TRUE(S(0).table.Insert(changed[next], S(0).AsWriter()).ok());
      ++next;
    }
    if (random.Chance(1, 4)) {
      ASSERT_TRUE(S(0).Abort().ok());
    } else {
      ASSERT_TRUE(S(0).Commit().ok());
      model = changed;
    }
    ASSERT_TRUE(S(0).Vacuum().ok());
    if (round == 40) {
      blocks_after_warmup = S(0).table.space().Blocks().value();
    }
  }
  // Eighty more rounds of the same fit into the space that was there.
  EXPECT_LE(S(0).table.space().Blocks().value(), blocks_after_warmup + blocks_after_warmup / 2);
}

// The map may promise room that is not there, on the row's own page and on another: a change looks
// further and comes to an end.
TEST_F(Table, AWrongMapIsCorrectedNotBelieved) {
  std::string large(5000, 'l');
  RowAddress first = Row(large);
  RowAddress second = Row(large);
  ASSERT_NE(first.block(), second.block());
  for (int turn = 0; turn < 4; ++turn) {
    ASSERT_TRUE(S(1).table.space().Note(first.block(), 8000).ok());
    ASSERT_TRUE(S(1).table.space().Note(second.block(), 8000).ok());
    S(0).Begin();
    Result<Replaced> replaced =
        S(0).table.Replace(turn % 2 == 0 ? first : second, large, RowLock::kNoKeyUpdate,
                           S(0).AsWriter(), S(0).visibility);
    ASSERT_TRUE(replaced.ok() && replaced.value().touch.result == TouchResult::kOk);
    ASSERT_NE(replaced.value().at.block(), first.block());
    ASSERT_NE(replaced.value().at.block(), second.block());
    ASSERT_TRUE(S(0).Abort().ok());
  }
}

TEST_F(Table, MapsContinueBehindTheFirst) {
  // Blocks are added without being filled: only the counting is looked at.
  SegmentSpace& space = S(0).table.space();
  std::set<uint32_t> firsts;
  uint32_t last = 0;
  while (last < 2 * kMapEntries + 100) {
    Result<uint32_t> first = space.Extend();
    ASSERT_TRUE(first.ok()) << first.status().ToString();
    ASSERT_TRUE(SegmentSpace::HoldsRows(first.value()));
    ASSERT_GT(first.value(), last);
    last = first.value();
    if (last % 97 == 0) {
      ASSERT_TRUE(life_->storage.Checkpoint(1).ok());
    }
  }
  EXPECT_FALSE(SegmentSpace::HoldsRows(kMapEntries + 2));
  EXPECT_EQ(SegmentSpace::MapOf(kMapEntries + 3), kMapEntries + 2);
  ASSERT_TRUE(space.Note(kMapEntries + 100, 500).ok());
  uint32_t rotating = 0;
  EXPECT_GT(space.Find(480, kMapEntries + 90, rotating).value().value_or(0), kMapEntries + 2);
}

TEST_F(Table, ALockIsNeverLostToASecondOne) {
  RowAddress at = Row("row");
  for (std::size_t i = 0; i < 3; ++i) {
    S(i).Begin();
  }
  EXPECT_EQ(LockIt(0, at, RowLock::kKeyShare), TouchResult::kOk);
  // The second must be held elsewhere, and says so on the page.
  EXPECT_EQ(LockIt(1, at, RowLock::kShare), TouchResult::kAsk);
  EXPECT_EQ(LockIt(1, at, RowLock::kShare, true), TouchResult::kOk);
  // A change waits for the first, and has to ask for the second when the first has ended.
  EXPECT_EQ(RemoveIt(2, at), TouchResult::kWait);
  EXPECT_EQ(RemoveIt(2, at, true), TouchResult::kWait);
  ASSERT_TRUE(S(0).Commit().ok());
  EXPECT_EQ(RemoveIt(2, at), TouchResult::kAsk);
  EXPECT_EQ(RemoveIt(2, at, true), TouchResult::kOk);
  ASSERT_TRUE(S(2).Abort().ok());
  // The mark outlives the change, and a vacuum that clears the rest.
  ASSERT_TRUE(S(0).Vacuum().ok());
  S(2).Begin();
  EXPECT_EQ(RemoveIt(2, at), TouchResult::kAsk);
  ASSERT_TRUE(S(2).Abort().ok());
  ASSERT_TRUE(S(1).Abort().ok());
}

TEST_F(Table, ARowTakenBackIsGoneForItsOwnCommandAndEverybody) {
  S(0).Begin();
  Result<RowAddress> at = S(0).table.Insert("speculative", S(0).AsWriter());
  ASSERT_TRUE(at.ok());
  EXPECT_EQ(RemoveIt(0, at.value()), TouchResult::kInvisible);  // Remove is for later commands
  ASSERT_TRUE(S(0).table.TakeBack(at.value(), S(0).AsWriter()).ok());
  EXPECT_TRUE(S(0).Visible().value().empty());
  VersionHeader header = HeaderOfVersion(S(0).table.ReadVersion(at.value()).value());
  EXPECT_EQ(header.remover, header.creator);
  EXPECT_FALSE(OnlyLocked(header));
  ASSERT_TRUE(S(0).Commit().ok());
  S(1).Begin();
  EXPECT_TRUE(S(1).Visible().value().empty());
  ASSERT_TRUE(S(1).Abort().ok());
}

TEST_F(Table, ALockOfTheParentOutlivesAChangeOfTheChild) {
  RowAddress at = Row("row");
  S(1).Begin();
  EXPECT_EQ(LockIt(1, at, RowLock::kUpdate), TouchResult::kOk);
  S(1).Child();
  // The change would take the place of the lock, and go away with the child.
  EXPECT_EQ(RemoveIt(1, at), TouchResult::kAsk);
  EXPECT_EQ(RemoveIt(1, at, true), TouchResult::kOk);
  ASSERT_TRUE(S(1).AbortChild().ok());
  S(2).Begin();
  EXPECT_EQ(RemoveIt(2, at), TouchResult::kAsk) << "the parent's lock is lost";
  ASSERT_TRUE(S(2).Abort().ok());
  ASSERT_TRUE(S(1).Commit().ok());
}

TEST_F(Table, WhoChangesSeesWhatOthersDid) {
  RowAddress at = Row("row");
  S(1).Begin();
  S(2).Begin();
  EXPECT_EQ(RemoveIt(1, at), TouchResult::kOk);
  EXPECT_EQ(RemoveIt(1, at), TouchResult::kOwnCommand);
  EXPECT_EQ(RemoveIt(2, at), TouchResult::kWait);
  EXPECT_EQ(LockIt(2, at, RowLock::kKeyShare), TouchResult::kWait);
  ASSERT_TRUE(S(1).Commit().ok());
  EXPECT_EQ(RemoveIt(2, at), TouchResult::kRemoved);
  ASSERT_TRUE(S(2).Abort().ok());
  RowAddress second = Row("second");
  S(1).Begin();
  S(2).Begin();
  ASSERT_TRUE(
      S(1).table.Replace(second, "changed", RowLock::kNoKeyUpdate, S(1).AsWriter(), S(1).visibility)
          .ok());
  ASSERT_TRUE(S(1).Commit().ok());
  EXPECT_EQ(RemoveIt(2, second), TouchResult::kReplaced);
  EXPECT_EQ(RemoveIt(2, RowAddress::Of(second.block(), 200)), TouchResult::kInvisible);
  ASSERT_TRUE(S(2).Abort().ok());
}

}  // namespace
}  // namespace pgquorum::fusion
