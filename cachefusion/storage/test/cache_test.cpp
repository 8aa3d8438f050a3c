#include "cachefusion/storage/cache.h"

#include <gtest/gtest.h>

#include <mutex>
#include <string>
#include <thread>

#include "base/storage/errors.h"
#include "cachefusion/storage/test/world.h"

namespace pgquorum::fusion {
namespace {

constexpr uint64_t kSegment = 0x500004001;

char FillOf(Storage& storage, PageId id) {
  Result<PageGuard> guard = storage.pages().Fetch(id, LatchMode::kShared);
  EXPECT_TRUE(guard.ok()) << guard.status().ToString();
  return guard.ok() ? guard.value().page()[1000] : '?';
}

TEST(Cache, HoldsMorePagesThanFrames) {
  MemoryFileSystem fs;
  ASSERT_TRUE(MakeStorage(fs).ok());
  Life life(fs);
  ASSERT_TRUE(life.status.ok()) << life.status.ToString();
  for (uint32_t block = 0; block < 500; ++block) {
    ASSERT_TRUE(Fill(life.storage, {kSegment, block}, static_cast<char>('a' + block % 26)).ok());
  }
  for (uint32_t block = 0; block < 500; ++block) {
    EXPECT_EQ(FillOf(life.storage, {kSegment, block}), static_cast<char>('a' + block % 26));
  }
  EXPECT_GT(life.storage.pages().shared().evictions.load(), 800u);
  // Every page in the cache came by a grant, every one that left was returned.
  GateCounters gate = life.storage.pages().shared().gate.Counters();
  EXPECT_EQ(gate.resident(), life.storage.pages().Count().used);
  EXPECT_EQ(life.storage.pages().Count().pinned, 0u);
}

TEST(Cache, AHotPageStays) {
  MemoryFileSystem fs;
  ASSERT_TRUE(MakeStorage(fs).ok());
  Life life(fs);
  ASSERT_TRUE(life.status.ok());
  for (uint32_t block = 0; block < 1000; ++block) {
    ASSERT_TRUE(Fill(life.storage, {kSegment, block}, 'x').ok());
    FillOf(life.storage, {kSegment, 0});
  }
  uint64_t misses = life.storage.pages().shared().misses.load();
  FillOf(life.storage, {kSegment, 0});
  EXPECT_EQ(life.storage.pages().shared().misses.load(), misses);
}

TEST(Cache, StoppedGateGrantsNothing) {
  MemoryFileSystem fs;
  ASSERT_TRUE(MakeStorage(fs).ok());
  Life life(fs);
  ASSERT_TRUE(life.status.ok());
  ASSERT_TRUE(Fill(life.storage, {kSegment, 1}, 'x').ok());
  ASSERT_TRUE(life.storage.Close(1).ok());
  Result<PageGuard> guard = life.storage.pages().Fetch({kSegment, 2}, LatchMode::kShared);
  EXPECT_EQ(guard.status().sqlstate(), kErrStorageClosed);
  EXPECT_EQ(life.storage.pages().Count().pinned, 0u);
}

TEST(Cache, AllFramesInUseIsAnErrorNotAHang) {
  MemoryFileSystem fs;
  ASSERT_TRUE(MakeStorage(fs).ok());
  Life life(fs);
  ASSERT_TRUE(life.status.ok());
  std::vector<PageGuard> guards;
  for (uint32_t block = 0; block < kPartitions; ++block) {
    Result<PageGuard> guard = life.storage.pages().Fetch({kSegment, block}, LatchMode::kShared);
    ASSERT_TRUE(guard.ok());
    guards.push_back(std::move(guard).value());
  }
  EXPECT_EQ(life.storage.pages().Fetch({kSegment, 999}, LatchMode::kShared).status().sqlstate(),
            "53200");
  guards.pop_back();
  EXPECT_TRUE(life.storage.pages().Fetch({kSegment, 999}, LatchMode::kShared).ok());
}

TEST(Cache, DamageIsReportedNotServed) {
  MemoryFileSystem fs;
  ASSERT_TRUE(MakeStorage(fs).ok());
  {
    Life life(fs);
    ASSERT_TRUE(Fill(life.storage, {kSegment, 3}, 'x').ok());
    ASSERT_TRUE(life.storage.Close(1).ok());
  }
  fs.FlipBit(std::string(kDir) + "/" + SegmentFileName(kSegment, 0), (3 * kPageBytes + 5000) * 8);
  Life life(fs);
  ASSERT_TRUE(life.status.ok());
  EXPECT_EQ(life.storage.pages().Fetch({kSegment, 3}, LatchMode::kShared).status().sqlstate(),
            kErrDamaged);
  EXPECT_TRUE(life.storage.pages().Fetch({kSegment, 2}, LatchMode::kShared).ok());
}

TEST(Cache, RemovedSegmentsAreEmptyAtOnceAndForEver) {
  MemoryFileSystem fs;
  ASSERT_TRUE(MakeStorage(fs).ok());
  {
    Life life(fs);
    ASSERT_TRUE(Fill(life.storage, {kSegment, 1}, 'x').ok());
    ASSERT_TRUE(Fill(life.storage, {kSegment + 1, 1}, 'y').ok());
    ASSERT_TRUE(life.storage.Checkpoint(1).ok());
    ASSERT_TRUE(Fill(life.storage, {kSegment, 1}, 'z').ok());
    ASSERT_TRUE(life.storage.RemoveSegment(kSegment).ok());
    EXPECT_EQ(life.storage.segments().List().value(), std::vector<uint64_t>{kSegment + 1});
    Result<PageGuard> guard = life.storage.pages().Fetch({kSegment, 1}, LatchMode::kShared);
    ASSERT_TRUE(guard.ok());
    EXPECT_FALSE(guard.value().formatted());
  }
  Random random(1);
  fs.PowerCycle(random, MemoryLoss::kAll);
  Life life(fs);
  ASSERT_TRUE(life.status.ok()) << life.status.ToString();
  EXPECT_EQ(FillOf(life.storage, {kSegment + 1, 1}), 'y');
  EXPECT_EQ(FillOf(life.storage, {kSegment, 1}), '\0');
}

// Adds 1 to both numbers of a page; an error when they differ.
Status Increase(Storage& storage, PageId id) {
  Result<PageGuard> guard = storage.pages().Fetch(id, LatchMode::kExclusive);
  if (!guard.ok()) {
    return guard.status();
  }
  uint64_t numbers[2] = {0, 0};
  std::memcpy(numbers, guard.value().page() + 1000, sizeof(numbers));
  if (numbers[0]++ != numbers[1]++) {
    return Status::Error("XX000", "torn");
  }
  Mutation mutation(storage.pages(), 0);
  PageChange& change = mutation.Change(guard.value());
  if (!guard.value().formatted()) {
    change.Format(PageKind::kTable);
  }
  change.Put(1000, numbers);
  return mutation.Commit().status();
}

// Each thread is a process: it has a Storage of its own over the shared memory. A page holds a
// number that every change increases, twice; a torn or lost change would show.
TEST(Cache, ManyChangeAndReadSideBySide) {
  MemoryFileSystem fs;
  ASSERT_TRUE(MakeStorage(fs).ok());
  constexpr uint32_t kBlocks = 150;
  constexpr int kThreads = 4;
  constexpr int kChanges = 1500;
  std::atomic<int> errors{0};
  std::mutex mutex;
  std::string first_error;
  auto note = [&](const Status& status) {
    std::lock_guard lock(mutex);
    if (!status.ok() && errors++ == 0) {
      first_error = status.ToString();
    }
  };
  {
    Life life(fs);
    ASSERT_TRUE(life.status.ok());
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        Storage mine(fs, kDir, kInstance, SmallSizes(), life.memory.get(), life.memory.latches);
        Random random(static_cast<uint64_t>(t) + 1);
        for (int i = 0; i < kChanges; ++i) {
          PageId id{kSegment, static_cast<uint32_t>(random.Below(kBlocks))};
          note(Increase(mine, id));
          if (t == 0 && i % 100 == 0) {
            note(mine.Checkpoint(1));
          } else if (t == 1 && i % 40 == 0) {
            note(mine.WriteBehind(20000, 20).status());
          }
        }
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
    EXPECT_EQ(errors.load(), 0) << first_error;
    ASSERT_TRUE(life.storage.FlushRedo(life.storage.redo().end()).ok());
  }
  Random random(9);
  fs.PowerCycle(random, MemoryLoss::kRandom);
  Life life(fs);
  ASSERT_TRUE(life.status.ok()) << life.status.ToString();
  uint64_t sum = 0;
  for (uint32_t block = 0; block < kBlocks; ++block) {
    Result<PageGuard> guard = life.storage.pages().Fetch({kSegment, block}, LatchMode::kShared);
    ASSERT_TRUE(guard.ok());
    uint64_t number;
    std::memcpy(&number, guard.value().page() + 1000, sizeof(number));
    sum += number;
  }
  EXPECT_EQ(sum, uint64_t{kThreads} * kChanges);
}

}  // namespace
}  // namespace pgquorum::fusion
