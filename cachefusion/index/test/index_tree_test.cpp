#include "cachefusion/index/index_tree.h"

#include <gtest/gtest.h>

#include "base/storage/errors.h"
#include "cachefusion/index/test/index_world.h"

namespace pgquorum::fusion {
namespace {

StorageSizes MoreFrames() {
  StorageSizes sizes = SmallSizes();
  sizes.frames = 1024;
  sizes.redo_file_bytes = (1U << 20) + kRedoFileHeaderBytes;
  return sizes;
}

class Index : public testing::Test {
 protected:
  Index() {
    EXPECT_TRUE(MakeStorage(fs_).ok());
    life_ = std::make_unique<Life>(fs_, MoreFrames());
    EXPECT_TRUE(life_->status.ok());
    session_ = std::make_unique<IndexSession>(life_->storage, slots_, 0);
  }
  IndexSession& S() { return *session_; }
  void Create() { ASSERT_TRUE(S().tree.Create().ok()); }
  void Insert(const std::string& key, uint64_t row, const std::string& payload = {}) {
    Result<InsertOutcome> outcome = S().Insert(key, row, payload);
    ASSERT_TRUE(outcome.ok()) << outcome.status().ToString();
    ASSERT_TRUE(outcome.value().inserted);
    model_[{key, row}] = payload;
  }
  // Forwards and backwards, in whole and in parts.
  void ExpectModel() {
    ASSERT_EQ(Everything(S().tree).value(), model_);
    ASSERT_EQ(Backward(S().tree, KeyPosition::Lowest(), KeyPosition::Highest()).value(), model_);
    IndexReport report = ExpectSound(life_->storage);
    EXPECT_EQ(report.entries, model_.size());
  }
  void ExpectRange(const KeyPosition& from, const KeyPosition& to) {
    Model expected;
    for (const auto& [key, payload] : model_) {
      IndexEntry entry{key.first, Row(key.second), payload};
      if (ComparePosition(S().order, from, entry) <= 0 &&
          ComparePosition(S().order, to, entry) > 0) {
        expected[key] = payload;
      }
    }
    ASSERT_EQ(Forward(S().tree, from, to).value(), expected);
    ASSERT_EQ(Backward(S().tree, from, to).value(), expected);
  }

  MemoryFileSystem fs_;
  std::vector<TxSlot> slots_ = std::vector<TxSlot>(3);
  std::unique_ptr<Life> life_;
  std::unique_ptr<IndexSession> session_;
  Model model_;
};

TEST_F(Index, AnEmptyOneHasNothing) {
  EXPECT_EQ(S().Insert(Key("a", "b"), 1).status().sqlstate(), kErrDamaged);
  Create();
  EXPECT_EQ(S().tree.Create().sqlstate(), kErrForeignStorage);
  ExpectModel();
  EXPECT_EQ(S().Remove({}).value().remaining, 0u);
}

TEST_F(Index, RandomChangesMatchAModel) {
  Create();
  Random random(5);
  uint64_t next = 1;
  uint32_t level = 0;
  for (int round = 0; round < 40; ++round) {
    // Few first columns and long second ones: many equal beginnings, low fan-out, several levels.
    for (int i = 0; i < 60; ++i) {
      std::string second(random.Below(random.Chance(1, 2) ? 2300 : 300), 'x');
      std::string key = Key(Text(random.Below(20)), Text(random.Below(8)) + second);
      Insert(key, next++, random.Chance(1, 3) ? std::string(random.Below(80), 'p') : "");
      if (HasFatalFailure()) {
        return;
      }
    }
    std::set<uint64_t> dead;
    uint64_t below = random.Chance(1, 8) ? 9 : random.Below(3);
    for (const auto& [key, payload] : model_) {
      if (random.Below(10) < below) {
        dead.insert(key.second);
      }
    }
    Result<IndexVacuum> vacuum = S().Remove(dead);
    ASSERT_TRUE(vacuum.ok()) << vacuum.status().ToString();
    EXPECT_EQ(vacuum.value().removed, dead.size());
    std::erase_if(model_, [&](const auto& entry) { return dead.contains(entry.first.second); });
    EXPECT_EQ(vacuum.value().remaining, model_.size());
    ASSERT_TRUE(S().MoveHorizon().ok());
    ExpectModel();
    std::string a = Prefix(Text(random.Below(20)));
    std::string b = Key(Text(random.Below(20)), Text(random.Below(8)));
    ExpectRange(KeyPosition::Before(a), KeyPosition::After(a));
    ExpectRange(KeyPosition::After(a), KeyPosition::Highest());
    ExpectRange(KeyPosition::Before(b), KeyPosition::After(a));
    ExpectRange(KeyPosition::Lowest(), KeyPosition::Before(b));
    level = std::max(level, S().tree.Shape().value().level);
    if (HasFatalFailure()) {
      return;
    }
  }
  EXPECT_GE(level, 3u);
}

// As a queue does it: appended at one end, removed at the other.
TEST_F(Index, PagesThatWereDeletedAreUsedAgain) {
  Create();
  uint64_t next = 0;
  uint32_t blocks = 0;
  uint32_t deleted = 0;
  for (int round = 0; round < 30; ++round) {
    std::set<uint64_t> dead;
    for (int i = 0; i < 600; ++i) {
      Insert(Key(Text(next), std::string(40, 'q')), next);
      ++next;
    }
    for (const auto& [key, payload] : model_) {
      if (key.second + 700 < next) {
        dead.insert(key.second);
      }
    }
    Result<IndexVacuum> vacuum = S().Remove(dead);
    ASSERT_TRUE(vacuum.ok());
    deleted += vacuum.value().deleted_pages;
    std::erase_if(model_, [&](const auto& entry) { return dead.contains(entry.first.second); });
    ASSERT_TRUE(S().MoveHorizon().ok());
    ExpectModel();
    if (round == 5) {
      blocks = S().tree.Shape().value().blocks;
    }
  }
  EXPECT_GT(deleted, 50u);
  EXPECT_LE(S().tree.Shape().value().blocks, blocks + 5);
}

TEST_F(Index, ADeletedPageStaysWhileASnapshotIsInUse) {
  Create();
  for (uint64_t i = 0; i < 2000; ++i) {
    Insert(Key(Text(i), "x"), i);
  }
  IndexSession other(life_->storage, slots_, 1);
  other.transactions.TakeSnapshot();
  IndexScan forward(other.tree);
  ASSERT_TRUE(forward.SeekForward(KeyPosition::Lowest()).ok());
  ASSERT_TRUE(forward.Next().value());
  IndexScan backward(other.tree);
  std::string last = Key(Text(1998), "x");
  ASSERT_TRUE(backward.SeekBackward(KeyPosition::After(last)).ok());
  ASSERT_TRUE(backward.Previous().value());

  std::set<uint64_t> dead;
  for (uint64_t i = 0; i < 1990; ++i) {
    dead.insert(i);
  }
  ASSERT_GT(S().Remove(dead).value().deleted_pages, 3u);
  uint32_t before = S().tree.Shape().value().blocks;
  ASSERT_TRUE(S().MoveHorizon().ok());
  // New pages come from the end of the segment, and the scans find their way over deleted ones.
  for (uint64_t i = 5000; i < 6000; ++i) {
    Insert(Key(Text(i), "y"), i);
  }
  EXPECT_GT(S().tree.Shape().value().blocks, before);
  uint64_t met = 0;
  while (forward.Next().value()) {
    met += NumberOf(forward.entry().at) < 5000 ? 1 : 0;
  }
  EXPECT_GE(met, 10u);
  while (backward.Previous().value()) {
    EXPECT_LT(NumberOf(backward.entry().at), 1998u);
  }
  other.transactions.EndSnapshots();
  ASSERT_TRUE(S().MoveHorizon().ok());
  before = S().tree.Shape().value().blocks;
  for (uint64_t i = 6000; i < 7000; ++i) {
    Insert(Key(Text(i), "y"), i);
  }
  EXPECT_EQ(S().tree.Shape().value().blocks, before);
  ExpectSound(life_->storage);
}

// The range of a deleted page goes to its right neighbour, which a scan that has left it comes to.
TEST_F(Index, AScanDoesNotMeetWhatIsInsertedBehindIt) {
  Create();
  for (uint64_t i = 0; i < 1000; ++i) {
    Insert(Key(Text(i), "x"), i);
  }
  IndexSession other(life_->storage, slots_, 1);
  other.transactions.TakeSnapshot();
  IndexScan scan(other.tree);
  ASSERT_TRUE(scan.SeekForward(KeyPosition::Lowest()).ok());
  std::set<uint64_t> dead;
  for (uint64_t i = 0; i < 100; ++i) {
    ASSERT_TRUE(scan.Next().value());
    dead.insert(i);
  }
  PageCopy first;
  ASSERT_TRUE(S().tree.CopyLeaf(KeyPosition::Lowest(), first.data()).ok());
  for (uint64_t i = 100; i < EntryCount(first.data()); ++i) {
    ASSERT_TRUE(scan.Next().value());
    dead.insert(i);
  }
  ASSERT_EQ(S().Remove(dead).value().deleted_pages, 1u);
  // So many that the neighbour is divided, and the scan meets two pages with them.
  for (uint64_t i = 0; i < 300; ++i) {
    Insert(Key(Text(5), Text(i)), 2000 + i);
  }
  for (uint64_t i = dead.size(); i < 1000; ++i) {
    ASSERT_TRUE(scan.Next().value());
    ASSERT_EQ(NumberOf(scan.entry().at), i);
  }
  EXPECT_FALSE(scan.Next().value());
  other.transactions.EndSnapshots();
  std::erase_if(model_, [&](const auto& entry) { return dead.contains(entry.first.second); });
  ExpectModel();
}

TEST_F(Index, AScanTurnsAndGoesBackToItsMark) {
  Create();
  for (uint64_t i = 0; i < 1500; ++i) {
    Insert(Key(Text(i), "x"), i);
  }
  IndexScan scan(S().tree);
  ASSERT_TRUE(scan.SeekForward(KeyPosition::Lowest()).ok());
  Random random(3);
  int64_t at = -1;
  int64_t marked = -1;
  for (int step = 0; step < 30000; ++step) {
    bool ahead = random.Chance(random.Chance(1, 2) ? 9 : 1, 10);
    for (uint64_t n = random.Below(40); n > 0; --n) {
      bool there = ahead ? scan.Next().value() : scan.Previous().value();
      at = std::clamp<int64_t>(at + (ahead ? 1 : -1), -1, 1500);
      ASSERT_EQ(there, at >= 0 && at < 1500);
      if (there) {
        ASSERT_EQ(NumberOf(scan.entry().at), static_cast<uint64_t>(at));
      }
    }
    if (at >= 0 && at < 1500 && random.Chance(1, 50)) {
      scan.Mark();
      marked = at;
    } else if (marked >= 0 && random.Chance(1, 50)) {
      scan.Restore();
      at = marked;
      ASSERT_EQ(NumberOf(scan.entry().at), static_cast<uint64_t>(at));
    }
  }
}

TEST_F(Index, TooLongEntriesAreRefusedAndTheLongestAreNot) {
  Create();
  std::string longest(kMaxIndexEntryBytes - 8 - 8 - 2 - 8, 'l');
  for (uint64_t i = 0; i < 60; ++i) {
    Insert(Key(longest, Text(i * 7 % 60).substr(2)), i);
  }
  ExpectModel();
  EXPECT_GE(S().tree.Shape().value().level, 3u);
  std::string longer = Key(longest + std::string(8, 'l'), Text(1));
  EXPECT_EQ(S().Insert(longer, 99).status().sqlstate(), "54000");
  EXPECT_EQ(S().Insert(Key("a", "b"), 99, longest + longest).status().sqlstate(), "54000");
  ExpectModel();
}

TEST_F(Index, TheSameRowTwiceIsDamage) {
  Create();
  Insert(Key("a", "b"), 1);
  EXPECT_EQ(S().Insert(Key("a", "b"), 1).status().sqlstate(), kErrDamaged);
  ExpectModel();
}

// Rows as a table would know them.
class Rows : public RowJudge {
 public:
  Result<RowVerdict> Judge(RowAddress at) override {
    ++asked;
    if (fail) {
      return Status::Error("58030", "row cannot be read");
    }
    return RowVerdict{states.contains(NumberOf(at)) ? states[NumberOf(at)] : RowState::kLive,
                      NumberOf(at) + 1000};
  }
  std::map<uint64_t, RowState> states;
  int asked = 0;
  bool fail = false;
};

TEST_F(Index, AUniqueKeyHasOneLiveRow) {
  Create();
  Rows rows;
  std::string key = Key("a", "b");
  auto insert = [&](uint64_t row, Uniqueness how) { return S().Insert(key, row, {}, how, &rows); };
  EXPECT_TRUE(insert(1, Uniqueness::kFull).value().inserted);
  InsertOutcome outcome = insert(2, Uniqueness::kFull).value();
  EXPECT_FALSE(outcome.inserted);
  EXPECT_EQ(outcome.conflict, RowState::kLive);
  EXPECT_EQ(outcome.with, Row(1));
  rows.states[1] = RowState::kUndecided;
  outcome = insert(2, Uniqueness::kFull).value();
  EXPECT_FALSE(outcome.inserted);
  EXPECT_EQ(outcome.conflict, RowState::kUndecided);
  EXPECT_EQ(outcome.holder, 1001u);
  outcome = insert(2, Uniqueness::kPartial).value();
  EXPECT_TRUE(outcome.inserted);
  EXPECT_EQ(outcome.conflict, RowState::kUndecided);
  // Checked again at the end of a transaction: the row's own entry is no conflict.
  rows.states[1] = RowState::kNoMatter;
  outcome = insert(2, Uniqueness::kOnly).value();
  EXPECT_FALSE(outcome.inserted);
  EXPECT_EQ(outcome.conflict, RowState::kNoMatter);
  rows.states[1] = RowState::kLive;
  EXPECT_EQ(insert(2, Uniqueness::kOnly).value().conflict, RowState::kLive);
  rows.fail = true;
  EXPECT_EQ(insert(3, Uniqueness::kFull).status().sqlstate(), "58030");
  EXPECT_EQ(Everything(S().tree).value().size(), 2u);
  ExpectSound(life_->storage);
}

TEST_F(Index, ConflictsAreFoundOnAllPagesOfAKey) {
  Create();
  Rows rows;
  std::string key = Key("m", std::string(300, 'm'));
  Insert(Key("a", "a"), 5000);
  Insert(Key("z", "z"), 5001);
  for (uint64_t i = 0; i < 300; ++i) {
    rows.states[i] = RowState::kNoMatter;
    ASSERT_TRUE(S().Insert(key, i, {}, Uniqueness::kFull, &rows).value().inserted) << i;
  }
  ASSERT_GE(S().tree.Shape().value().level, 1u);
  for (uint64_t i = 0; i < 300; i += 13) {
    rows.states[i] = RowState::kLive;
    EXPECT_EQ(S().Insert(key, 7000, {}, Uniqueness::kFull, &rows).value().with, Row(i));
    rows.states[i] = RowState::kNoMatter;
  }
  ExpectSound(life_->storage);
}

// Updated again and again without a vacuum: what nobody sees any more is not asked for again, and
// makes room.
TEST_F(Index, RowsThatAreGoneMakeRoomForTheNext) {
  Create();
  Rows rows;
  std::string key = Key("counter", "1");
  for (uint64_t i = 0; i < 3000; ++i) {
    ASSERT_TRUE(S().Insert(key, i, {}, Uniqueness::kFull, &rows).value().inserted);
    rows.states[i] = RowState::kGone;
  }
  EXPECT_LE(rows.asked, 3000);
  EXPECT_EQ(S().tree.Shape().value().blocks, 2u);
  EXPECT_EQ(Everything(S().tree).value().size(), 1u);
  EXPECT_EQ(S().Remove({2999}).value().remaining, 0u);
  ExpectSound(life_->storage);
}

TEST_F(Index, AScanTellsWhichRowsAreGone) {
  Create();
  for (uint64_t i = 0; i < 400; ++i) {
    Insert(Key(Text(i), "x"), i);
  }
  IndexScan scan(S().tree);
  for (bool ahead : {true, false}) {
    ASSERT_TRUE((ahead ? scan.SeekForward(KeyPosition::Lowest())
                       : scan.SeekBackward(KeyPosition::Highest()))
                    .ok());
    while ((ahead ? scan.Next() : scan.Previous()).value()) {
      uint64_t row = NumberOf(scan.entry().at);
      if (row % 3 == (ahead ? 0 : 1)) {
        scan.NoteGone();
        model_.erase({std::string(scan.entry().key), row});
      }
    }
    ExpectModel();
  }
  // The page was changed after the copy: perhaps the entry is another's by now.
  ASSERT_TRUE(scan.SeekForward(KeyPosition::Lowest()).ok());
  ASSERT_TRUE(scan.Next().value());
  scan.NoteGone();
  Insert(Key(Text(0), "y"), 1000);
  ASSERT_TRUE(scan.TellGone().ok());
  ExpectModel();
}

// Wherever a comparison fails, the error comes out, no page stays latched, and the tree is sound
// and holds the same.
TEST_F(Index, AFailedComparisonChangesNothing) {
  Create();
  Rows rows;
  Random random(9);
  for (uint64_t i = 0; i < 400; ++i) {
    Insert(Key(Text(random.Below(1000)), std::string(100, 'c')), i);
  }
  int failures = 0;
  for (uint64_t i = 400; i < 460; ++i) {
    std::string key = Key(Text(random.Below(1000)), std::string(100, 'c'));
    Uniqueness how = i % 2 == 0 ? Uniqueness::kNone : Uniqueness::kPartial;
    for (uint64_t at = 1;; ++at) {
      S().order.fail_at = S().order.comparisons + at;
      Result<InsertOutcome> outcome = S().Insert(key, i, {}, how, &rows);
      S().order.fail_at = 0;
      if (outcome.ok()) {
        model_[{key, i}] = "";
        break;
      }
      ASSERT_EQ(outcome.status().sqlstate(), "22000");
      ASSERT_FALSE(S().order.failed());
      ++failures;
    }
    if (i % 10 == 0) {
      ExpectModel();
    }
  }
  EXPECT_GT(failures, 500);
  S().order.fail_at = 1;
  IndexScan scan(S().tree);
  std::string key = Key("5", "5");
  EXPECT_EQ(scan.SeekForward(KeyPosition::Before(key)).sqlstate(), "22000");
  S().order.fail_at = 0;
  ExpectModel();
}

TEST_F(Index, ALoadedOneIsAsGoodAsAGrownOne) {
  for (uint64_t count : {0, 1, 2, 40, 5000}) {
    ASSERT_TRUE(life_->storage.RemoveSegment(kIndex).ok());
    model_.clear();
    Random random(count);
    for (uint64_t i = 0; i < count; ++i) {
      std::string second = Text(random.Below(50)) + std::string(random.Below(200), 's');
      model_[{Key(Text(random.Below(300)), second), i}] = std::string(random.Below(50), 'p');
    }
    IndexBuilder builder(life_->storage, kIndex, S().order);
    ASSERT_TRUE(builder.Begin().ok());
    EXPECT_EQ(S().tree.Shape().status().sqlstate(), "55000");
    const std::string* before = nullptr;
    for (const auto& [key, payload] : model_) {
      Result<bool> equal = builder.Add({key.first, Row(key.second), payload});
      ASSERT_TRUE(equal.ok()) << equal.status().ToString();
      EXPECT_EQ(equal.value(), before != nullptr && *before == key.first);
      before = &key.first;
    }
    ASSERT_TRUE(builder.Finish().ok());
    IndexSession fresh(life_->storage, slots_, 1);
    ASSERT_EQ(Everything(fresh.tree).value(), model_);
    ExpectSound(life_->storage);
    for (uint64_t i = 0; i < 500; ++i) {
      std::string key = Key(Text(random.Below(300)), "added");
      ASSERT_TRUE(fresh.Insert(key, 90000 + i).ok());
      model_[{key, 90000 + i}] = "";
    }
    ASSERT_EQ(Everything(fresh.tree).value(), model_);
    ExpectSound(life_->storage);
  }
}

TEST_F(Index, ABuilderRefusesWhatIsNotInOrder) {
  IndexBuilder builder(life_->storage, kIndex, S().order);
  ASSERT_TRUE(builder.Begin().ok());
  ASSERT_TRUE(builder.Add({Key("b", "b"), Row(5), {}}).ok());
  EXPECT_EQ(builder.Add({Key("a", "b"), Row(6), {}}).status().sqlstate(), "XX000");
  EXPECT_EQ(builder.Add({Key("b", "b"), Row(5), {}}).status().sqlstate(), "XX000");
  EXPECT_EQ(builder.Add({Key("b", "b"), Row(4), {}}).status().sqlstate(), "XX000");
  EXPECT_EQ(IndexBuilder(life_->storage, kIndex, S().order).Begin().sqlstate(), kErrForeignStorage);
}

// The longest entries leave no room for the high key of a loaded page.
TEST_F(Index, LongEntriesCanBeLoaded) {
  IndexBuilder builder(life_->storage, kIndex, S().order);
  ASSERT_TRUE(builder.Begin().ok());
  Random random(4);
  for (uint64_t i = 0; i < 400; ++i) {
    std::string key = Key(Text(5), Text(i) + std::string(random.Below(2600), 'l'));
    ASSERT_TRUE(builder.Add({key, Row(i), {}}).ok());
    model_[{key, i}] = "";
  }
  ASSERT_TRUE(builder.Finish().ok());
  ExpectModel();
}

}  // namespace
}  // namespace pgquorum::fusion
