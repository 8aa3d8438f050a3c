// Threads as processes: each has objects of its own over one shared memory.
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "base/random.h"
#include "cachefusion/index/test/index_world.h"

namespace pgquorum::fusion {
namespace {

StorageSizes Sizes() {
  StorageSizes sizes = SmallSizes();
  sizes.frames = 192;  // less than there are pages: they come and go
  sizes.redo_file_bytes = (1U << 20) + kRedoFileHeaderBytes;
  return sizes;
}

// The first error of all threads.
class Errors {
 public:
  bool Ok(const Status& status) {
    if (!status.ok()) {
      Add(status.ToString());
    }
    return status.ok() && !any_;
  }
  void Add(const std::string& what) {
    std::lock_guard lock(mutex_);
    first_ = any_.exchange(true) ? first_ : what;
  }
  bool any() const { return any_; }
  std::string first() {
    std::lock_guard lock(mutex_);
    return first_;
  }

 private:
  std::mutex mutex_;
  std::atomic<bool> any_{false};
  std::string first_;
};

class IndexThreads : public testing::Test {
 protected:
  static constexpr std::size_t kThreads = 4;

  IndexThreads() {
    EXPECT_TRUE(MakeStorage(fs_).ok());
    life_ = std::make_unique<Life>(fs_, Sizes());
    EXPECT_TRUE(life_->status.ok());
  }

  template <typename Work>
  void RunThreads(Work work) {
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        Storage mine(fs_, kDir, kInstance, Sizes(), life_->memory.get(), life_->memory.latches);
        IndexSession session(mine, slots_, t);
        work(t, session);
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
  }

  MemoryFileSystem fs_;
  std::unique_ptr<Life> life_;
  std::vector<TxSlot> slots_ = std::vector<TxSlot>(kThreads);
  Errors errors_;
};

// Every scan sees each row that stays exactly once, in order, whatever is inserted, removed,
// divided and deleted around it.
class ScansAndWriters : public IndexThreads {
 protected:
  static constexpr uint64_t kStay = 300;

  void Load() {
    for (uint64_t i = 0; i < kStay; ++i) {
      // Most of them close together, the rest far apart, so that pages between them become empty.
      stay_[{Key(Text(i < 295 ? i : 400 + (i - 295) * 500), "stay"), i}] = "";
      live_.insert(i);
    }
    ColumnOrder order;
    IndexBuilder builder(life_->storage, kIndex, order);
    ASSERT_TRUE(builder.Begin().ok());
    for (const auto& [key, payload] : stay_) {
      ASSERT_TRUE(builder.Add({key.first, Row(key.second), {}}).ok());
    }
    ASSERT_TRUE(builder.Finish().ok());
  }

  void Write(std::size_t t, IndexSession& session) {
    Random random(t + 1);
    for (uint64_t i = 0; i < 900 && !errors_.any(); ++i) {
      uint64_t row = 10000 * (t + 1) + i;
      std::string second = "w" + Text(row) + std::string(random.Below(1200), 'w');
      Result<InsertOutcome> outcome =
          session.Insert(Key(Text(random.Between(300, 3000)), second), row);
      if (!errors_.Ok(outcome.status())) {
        return;
      }
      {
        std::lock_guard lock(mutex_);
        (random.Chance(79, 80) ? dead_ : live_).insert(row);
      }
      if (t == 0 && i % 60 == 59) {
        Vacuum(session);
      }
    }
  }

  void Vacuum(IndexSession& session) {
    std::set<uint64_t> now;
    {
      std::lock_guard lock(mutex_);
      now.swap(dead_);
    }
    Result<IndexVacuum> vacuum = session.Remove(now);
    if (errors_.Ok(vacuum.status()) && errors_.Ok(session.MoveHorizon())) {
      deleted_pages_ += vacuum.value().deleted_pages;
    }
  }

  void Read(IndexSession& session) {
    for (int i = 0; i < 40 && !errors_.any(); ++i) {
      session.transactions.TakeSnapshot();
      Result<Model> found =
          i % 2 == 0 ? Everything(session.tree)
                     : Backward(session.tree, KeyPosition::Lowest(), KeyPosition::Highest());
      session.transactions.EndSnapshots();
      if (!errors_.Ok(found.status())) {
        return;
      }
      std::erase_if(found.value(), [](const auto& row) { return row.first.second >= kStay; });
      if (found.value() != stay_) {
        errors_.Add("a scan saw " + std::to_string(found.value().size()) + " rows that stay");
      }
      ++scans_;
    }
  }

  Model stay_;
  std::mutex mutex_;
  std::set<uint64_t> dead_;
  std::set<uint64_t> live_;
  std::atomic<uint32_t> deleted_pages_{0};
  std::atomic<int> scans_{0};
};

TEST_F(ScansAndWriters, ScansSeeWhatStaysOnce) {
  Load();
  RunThreads(
      [&](std::size_t t, IndexSession& session) { t < 2 ? Write(t, session) : Read(session); });
  ASSERT_FALSE(errors_.any()) << errors_.first();
  EXPECT_EQ(scans_.load(), 80);
  EXPECT_GT(deleted_pages_.load(), 3u);

  IndexSession session(life_->storage, slots_, 0);
  Vacuum(session);
  std::set<uint64_t> found;
  const Model left = Everything(session.tree).value();
  for (const auto& [key, payload] : left) {
    found.insert(key.second);
  }
  EXPECT_EQ(found, live_);
  ExpectSound(life_->storage);

  // All of it is in the redo.
  Random random(1);
  ASSERT_TRUE(life_->storage.FlushRedo(life_->storage.redo().end()).ok());
  fs_.PowerCycle(random, MemoryLoss::kAll);
  Life next(fs_, Sizes());
  ASSERT_TRUE(next.status.ok()) << next.status.ToString();
  EXPECT_EQ(ExpectSound(next.storage).entries, live_.size());
}

// What the transactions of the rows of a unique index have come to.
class Outcomes {
 public:
  // False: another row with the key is live, which must not be.
  bool Decide(uint64_t key, uint64_t row, bool commit) {
    std::lock_guard lock(mutex_);
    decided_[row] = commit;
    return !commit || live_.insert(key).second;
  }
  bool Remove(uint64_t key, uint64_t row) {
    std::lock_guard lock(mutex_);
    decided_[row] = false;
    return live_.erase(key) == 1;
  }
  RowState StateOf(uint64_t row) {
    std::lock_guard lock(mutex_);
    auto found = decided_.find(row);
    return found == decided_.end() ? RowState::kUndecided
           : found->second         ? RowState::kLive
           // Some stay in the index, so that a key goes on over several pages.
           : row % 4 == 0 ? RowState::kGone
                          : RowState::kNoMatter;
  }
  std::set<uint64_t> live() { return live_; }

 private:
  std::mutex mutex_;
  std::map<uint64_t, bool> decided_;
  std::set<uint64_t> live_;
};

class OutcomeJudge : public RowJudge {
 public:
  explicit OutcomeJudge(Outcomes& outcomes) : outcomes_(outcomes) {}
  Result<RowVerdict> Judge(RowAddress at) override {
    return RowVerdict{outcomes_.StateOf(NumberOf(at)), NumberOf(at)};
  }

 private:
  Outcomes& outcomes_;
};

TEST_F(IndexThreads, AKeyNeverHasTwoLiveRows) {
  constexpr uint64_t kKeys = 20;
  Outcomes outcomes;
  std::atomic<int> won{0};
  std::atomic<int> waited{0};
  {
    IndexSession session(life_->storage, slots_, 0);
    ASSERT_TRUE(session.tree.Create().ok());
  }
  RunThreads([&](std::size_t t, IndexSession& session) {
    OutcomeJudge judge(outcomes);
    Random random(t + 50);
    std::map<uint64_t, uint64_t> mine;  // live keys and rows
    for (uint64_t i = 0; i < 700 && !errors_.any(); ++i) {
      uint64_t key = random.Below(kKeys);
      uint64_t row = 2000 * (t + 1) + i;
      if (auto found = mine.find(key); found != mine.end()) {
        if (!outcomes.Remove(key, found->second)) {
          errors_.Add("a live row was not there");
        }
        mine.erase(found);
        continue;
      }
      std::string bytes = Key(Text(key), std::string(700, 'u'));
      Result<InsertOutcome> outcome = session.Insert(bytes, row, {}, Uniqueness::kFull, &judge);
      if (!errors_.Ok(outcome.status())) {
        return;
      }
      if (!outcome.value().inserted) {
        waited += outcome.value().conflict == RowState::kUndecided ? 1 : 0;
        continue;
      }
      ++won;
      bool commit = random.Chance(2, 3);
      if (!outcomes.Decide(key, row, commit)) {
        errors_.Add("key " + std::to_string(key) + " has two live rows");
      }
      if (commit) {
        mine[key] = row;
      }
    }
  });
  ASSERT_FALSE(errors_.any()) << errors_.first();
  EXPECT_GT(won.load(), 500);
  std::set<uint64_t> live;
  IndexSession session(life_->storage, slots_, 0);
  const Model left = Everything(session.tree).value();
  for (const auto& [key, payload] : left) {
    if (outcomes.StateOf(key.second) == RowState::kLive) {
      EXPECT_TRUE(live.insert(std::stoull(key.first)).second);
    }
  }
  EXPECT_EQ(live, outcomes.live());
  ExpectSound(life_->storage);
}

}  // namespace
}  // namespace pgquorum::fusion
