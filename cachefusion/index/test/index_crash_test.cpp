// Power is lost after each record of the redo, at each operation on the file system, and at each
// operation of the recovery. What comes back is a sound tree with the rows after some number of
// steps; it goes on working, and what was half-way is finished.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"
#include "base/storage/errors.h"
#include "cachefusion/index/test/index_world.h"

namespace pgquorum::fusion {
namespace {

using RowSet = std::set<std::pair<std::string, uint64_t>>;

RowSet RowsOf(const Model& model) {
  RowSet rows;
  for (const auto& [key, payload] : model) {
    rows.insert(key);
  }
  return rows;
}

// Inserts long keys and removes rows, so that pages are divided and deleted on several levels.
class Workload {
 public:
  Workload(Storage& storage, uint64_t seed)
      : storage_(storage), session_(storage, slots_, 0), random_(seed) {
    history.emplace_back();
    ends.push_back(storage.redo().end().value());
  }

  Status Run(int steps) {
    Status status = session_.tree.Create();
    Remember();
    for (int i = 0; i < steps && status.ok(); ++i) {
      status = Step(i);
    }
    return status;
  }

  std::vector<RowSet> history;  // after each step
  std::vector<uint64_t> ends;   // of the redo, after each step
  std::size_t durable = 0;      // steps

 private:
  void Remember() {
    history.push_back(now_);
    ends.push_back(storage_.redo().end().value());
  }

  Status Step(int number) {
    Status status = Status::Ok();
    uint64_t choice = random_.Below(100);
    if (choice < 4 && number > 25) {
      std::set<uint64_t> dead;
      uint64_t until = random_.Below(next_ + 1);
      bool all = random_.Chance(1, 2);
      for (const auto& [key, row] : now_) {
        if (row < until && (all || random_.Chance(2, 3))) {
          dead.insert(row);
        }
      }
      std::erase_if(now_, [&](const auto& row) { return dead.contains(row.second); });
      // What is under way when the power goes may be there.
      history.push_back(now_);
      ends.push_back(UINT64_MAX);
      status = session_.Remove(dead).status();
      history.pop_back();
      ends.pop_back();
      if (status.ok()) {
        status = session_.MoveHorizon();
      }
    } else {
      std::string key = random_.Chance(1, 2) ? Key(Text(next_), std::string(900, 'a'))
                                             : Key(Text(random_.Below(100)), std::string(500, 'b'));
      now_.insert({key, next_});
      history.push_back(now_);
      ends.push_back(UINT64_MAX);
      status = session_.Insert(key, next_++).status();
      history.pop_back();
      ends.pop_back();
    }
    if (status.ok()) {
      Remember();
    } else {
      history.push_back(now_);
      return status;
    }
    if (number % 5 == 4) {
      status = storage_.FlushRedo(storage_.redo().end());
      durable = status.ok() ? history.size() - 1 : durable;
    }
    return status.ok() && number % 30 == 29 ? storage_.Checkpoint(1) : status;
  }

  Storage& storage_;
  std::vector<TxSlot> slots_ = std::vector<TxSlot>(1);
  IndexSession session_;
  Random random_;
  RowSet now_;
  uint64_t next_ = 0;
};

// Some step from `first` to `last` had been done, and the one after it in part.
bool Fits(const RowSet& found, const std::vector<RowSet>& history, std::size_t first,
          std::size_t last) {
  for (std::size_t i = first; i <= last; ++i) {
    const RowSet& before = history[i];
    const RowSet& after = history[std::min(i + 1, history.size() - 1)];
    bool fits = std::all_of(found.begin(), found.end(), [&](const auto& row) {
      return before.contains(row) || after.contains(row);
    });
    std::size_t kept = static_cast<std::size_t>(std::count_if(
        before.begin(), before.end(), [&](const auto& row) { return after.contains(row); }));
    std::size_t there =
        static_cast<std::size_t>(std::count_if(found.begin(), found.end(), [&](const auto& row) {
          return before.contains(row) && after.contains(row);
        }));
    if (fits && kept == there) {
      return true;
    }
  }
  return false;
}

// The tree is as `history` says, and goes on working. Returns how many splits were half done.
uint32_t ExpectState(Life& life, const std::vector<RowSet>& history, std::size_t first,
                     std::size_t last, const std::string& where) {
  std::vector<TxSlot> slots(1);
  IndexSession session(life.storage, slots, 0);
  if (session.tree.Shape().status().sqlstate() == kErrDamaged) {
    EXPECT_EQ(first, 0u) << "the index is gone" << where;
    return 0;
  }
  uint32_t splitting = ExpectSound(life.storage, where).splitting;
  Result<Model> found = Everything(session.tree);
  Result<Model> backward = Backward(session.tree, KeyPosition::Lowest(), KeyPosition::Highest());
  EXPECT_TRUE(found.ok() && backward.ok()) << where;
  if (!found.ok() || !backward.ok()) {
    return 0;
  }
  RowSet rows = RowsOf(found.value());
  EXPECT_EQ(RowsOf(backward.value()), rows) << where;
  EXPECT_TRUE(Fits(rows, history, first, last)) << rows.size() << " rows" << where;
  for (uint64_t i = 0; i < 12; ++i) {
    std::string key = Key(Text(i * 9), std::string(1500, 'c'));
    Result<InsertOutcome> outcome = session.Insert(key, 50000 + i);
    EXPECT_TRUE(outcome.ok()) << outcome.status().ToString() << where;
    rows.insert({key, 50000 + i});
  }
  std::set<uint64_t> dead;
  for (const auto& [key, row] : rows) {
    if (row % 2 == 0) {
      dead.insert(row);
    }
  }
  Result<IndexVacuum> vacuum = session.Remove(dead);
  EXPECT_TRUE(vacuum.ok()) << vacuum.status().ToString() << where;
  std::erase_if(rows, [&](const auto& row) { return dead.contains(row.second); });
  EXPECT_EQ(RowsOf(Everything(session.tree).value()), rows) << where;
  ExpectSound(life.storage, where);
  return splitting;
}

StorageSizes OneRedoFile() {
  StorageSizes sizes = SmallSizes();
  sizes.frames = 256;
  sizes.redo_file_bytes = (512U << 10) + kRedoFileHeaderBytes;
  return sizes;
}

TEST(IndexCrash, AfterEachRecordOfTheRedo) {
  std::string redo;
  std::vector<uint64_t> cuts;
  std::vector<RowSet> history;
  std::vector<uint64_t> ends;
  std::string name;
  {
    MemoryFileSystem fs;
    ASSERT_TRUE(MakeStorage(fs).ok());
    Life life(fs, OneRedoFile());
    Workload workload(life.storage, 21);
    ASSERT_TRUE(workload.Run(110).ok());
    ASSERT_TRUE(life.storage.FlushRedo(life.storage.redo().end()).ok());
    history = workload.history;
    ends = workload.ends;
    name = JoinPath(kDir, RedoFileName(life.storage.redo().incarnation(), 0));
    redo = fs.Content(name);
    RedoReader reader(fs, kDir, life.storage.shared().storage_id.load(),
                      life.storage.redo().incarnation(), RedoAddress(kFirstRedoAddress),
                      OneRedoFile().redo_file_bytes);
    for (;;) {
      Result<std::optional<RedoRecord>> record = reader.Next();
      ASSERT_TRUE(record.ok());
      if (!record.value()) {
        break;
      }
      cuts.push_back(reader.position().value());
    }
    ASSERT_EQ(cuts.back(), ends.back());
  }
  uint32_t splitting = 0;
  for (uint64_t cut : cuts) {
    // The same start as above, and then the redo up to the cut.
    MemoryFileSystem fs;
    ASSERT_TRUE(MakeStorage(fs).ok());
    { Life life(fs, OneRedoFile()); }
    fs.Overwrite(name, kRedoFileHeaderBytes,
                 std::string_view(redo).substr(kRedoFileHeaderBytes, cut));
    Life life(fs, OneRedoFile());
    ASSERT_TRUE(life.status.ok()) << life.status.ToString();
    auto after =
        static_cast<std::size_t>(std::upper_bound(ends.begin(), ends.end(), cut) - ends.begin());
    splitting +=
        ExpectState(life, history, after - 1, after - 1, "; cut at " + std::to_string(cut));
    if (testing::Test::HasFailure()) {
      return;
    }
  }
  EXPECT_GT(splitting, 10u);
}

TEST(IndexCrash, AtEachOperationOnTheFileSystem) {
  uint64_t operations = UINT64_MAX;
  for (uint64_t at = 1; at <= operations; ++at) {
    MemoryFileSystem fs;
    ASSERT_TRUE(MakeStorage(fs).ok());
    std::vector<RowSet> history;
    std::size_t durable = 0;
    {
      Life life(fs);
      uint64_t before = fs.operations();
      fs.FailAt(before + at, MemoryFault::kCrash);
      Workload workload(life.storage, 33);
      if (workload.Run(85).ok()) {
        operations = fs.operations() - before;
      }
      history = workload.history;
      durable = workload.durable;
    }
    Random random(at);
    fs.PowerCycle(random, MemoryLoss::kRandom);
    Life life(fs);
    ASSERT_TRUE(life.status.ok()) << life.status.ToString() << "; operation " << at;
    ExpectState(life, history, durable, history.size() - 1, "; operation " + std::to_string(at));
    if (testing::Test::HasFailure()) {
      return;
    }
  }
  EXPECT_GT(operations, 80u);
}

TEST(IndexCrash, AtEachOperationOfARecovery) {
  for (uint64_t at = 1;; ++at) {
    MemoryFileSystem fs;
    ASSERT_TRUE(MakeStorage(fs).ok());
    Random random(at);
    std::vector<RowSet> history;
    {
      Life life(fs);
      Workload workload(life.storage, 34);
      ASSERT_TRUE(workload.Run(78).ok());
      ASSERT_TRUE(life.storage.FlushRedo(life.storage.redo().end()).ok());
      history = workload.history;
    }
    fs.PowerCycle(random, MemoryLoss::kRandom);
    fs.FailAt(fs.operations() + at, MemoryFault::kCrash);
    bool finished = Life(fs).status.ok();
    fs.PowerCycle(random, MemoryLoss::kRandom);
    Life life(fs);
    ASSERT_TRUE(life.status.ok()) << life.status.ToString() << "; operation " << at;
    ExpectState(life, history, history.size() - 1, history.size() - 1,
                "; operation " + std::to_string(at) + " of the recovery");
    if (testing::Test::HasFailure()) {
      return;
    }
    if (finished) {
      EXPECT_GT(at, 20u);
      return;
    }
  }
}

// A flipped bit anywhere in the files of the index is an error, never a wrong answer.
TEST(IndexCrash, FlippedBitsAreNoticed) {
  Random random(7);
  int noticed = 0;
  for (int round = 0; round < 40; ++round) {
    MemoryFileSystem fs;
    ASSERT_TRUE(MakeStorage(fs).ok());
    RowSet expected;
    {
      Life life(fs, OneRedoFile());
      Workload workload(life.storage, 35);
      ASSERT_TRUE(workload.Run(60).ok());
      ASSERT_TRUE(life.storage.Close(1).ok());
      expected = workload.history.back();
    }
    std::string path = JoinPath(kDir, SegmentFileName(kIndex, 0));
    fs.FlipBit(path, random.Below(fs.Content(path).size() * 8));
    Life life(fs, OneRedoFile());
    ASSERT_TRUE(life.status.ok());
    std::vector<TxSlot> slots(1);
    IndexSession session(life.storage, slots, 0);
    Result<Model> found = Everything(session.tree);
    ColumnOrder order;
    Result<IndexReport> report = CheckIndex(life.storage, kIndex, order, {});
    ASSERT_TRUE(report.ok());
    EXPECT_EQ(report.value().faults.empty(), false);
    if (found.ok()) {
      EXPECT_EQ(RowsOf(found.value()), expected);  // the page is none of the leaves
    } else {
      EXPECT_EQ(found.status().sqlstate(), kErrDamaged);
      ++noticed;
    }
  }
  EXPECT_GT(noticed, 10);
}

}  // namespace
}  // namespace pgquorum::fusion
