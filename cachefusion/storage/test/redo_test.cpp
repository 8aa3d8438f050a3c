#include <gtest/gtest.h>

#include <thread>

#include "base/storage/errors.h"
#include "cachefusion/storage/redo_log.h"
#include "cachefusion/storage/test/world.h"

namespace pgquorum::fusion {
namespace {

struct Log {
  explicit Log(FileSystem& fs)
      : ring(4 * kMaxRedoRecordBytes),
        latches(kFrameLatches),
        log(fs, kDir, shared, ring.data(), ring.size(), 16 * 1024 + kRedoFileHeaderBytes, latches) {
  }
  RedoShared shared{};
  std::vector<char> ring;
  ThreadLatches latches;
  RedoLog log;
};

std::string Record(uint64_t transaction, std::size_t size) {
  RedoRecord record;
  record.transaction = transaction;
  record.pages = 1;
  std::string delta(size, static_cast<char>(transaction));
  record.page[0] = {{1, 1}, Psn(transaction), delta};
  return EncodeRecord(record);
}

TEST(Redo, ReadsBackAcrossFilesAndStopsAtTheEnd) {
  MemoryFileSystem fs;
  ASSERT_TRUE(fs.MakeDirectory(kDir).ok());
  Log world(fs);
  ASSERT_TRUE(world.log.Start(5, Incarnation(3)).ok());
  Random random(1);
  std::vector<std::size_t> sizes;
  for (uint64_t i = 1; i <= 200; ++i) {
    sizes.push_back(random.Below(random.Chance(1, 20) ? 40000 : 500));
    std::string bytes = Record(i, sizes.back());
    Result<RedoRange> range = world.log.Append(bytes);
    ASSERT_TRUE(range.ok());
    if (random.Chance(1, 5)) {
      ASSERT_TRUE(world.log.Flush(range.value().end).ok());
    }
  }
  ASSERT_TRUE(world.log.Flush(world.log.end()).ok());
  fs.PowerCycle(random, MemoryLoss::kAll);

  RedoReader reader(fs, kDir, 5, Incarnation(3), RedoAddress(kFirstRedoAddress),
                    16 * 1024 + kRedoFileHeaderBytes);
  for (uint64_t i = 1; i <= 200; ++i) {
    Result<std::optional<RedoRecord>> record = reader.Next();
    ASSERT_TRUE(record.ok());
    ASSERT_TRUE(record.value().has_value()) << i;
    EXPECT_EQ(record.value()->transaction, i);
    EXPECT_EQ(record.value()->page[0].delta.size(), sizes[i - 1]);
  }
  Result<std::optional<RedoRecord>> end = reader.Next();
  ASSERT_TRUE(end.ok());
  EXPECT_FALSE(end.value().has_value());
  EXPECT_EQ(reader.position(), world.log.end());

  // The file of another storage under the right name.
  RedoReader foreign(fs, kDir, 6, Incarnation(3), RedoAddress(kFirstRedoAddress),
                     16 * 1024 + kRedoFileHeaderBytes);
  EXPECT_EQ(foreign.Next().status().sqlstate(), kErrDamaged);
}

TEST(Redo, ManyAppendMoreThanTheRingHolds) {
  MemoryFileSystem fs;
  ASSERT_TRUE(fs.MakeDirectory(kDir).ok());
  Log world(fs);
  ASSERT_TRUE(world.log.Start(5, Incarnation(3)).ok());
  constexpr int kThreads = 4;
  constexpr uint64_t kEach = 60;
  std::vector<std::thread> threads;
  std::atomic<int> failures{0};
  for (uint64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      RedoLog mine(fs, kDir, world.shared, world.ring.data(), world.ring.size(),
                   16 * 1024 + kRedoFileHeaderBytes, world.latches);
      for (uint64_t i = 0; i < kEach; ++i) {
        std::string bytes = Record(t * kEach + i + 1, 30000);
        Result<RedoRange> range = mine.Append(bytes);
        // Nobody flushes: all records together are longer than the ring, so it is full at some
        // time.
        failures += range.ok() ? 0 : 1;
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(failures.load(), 0);
  ASSERT_TRUE(world.log.Flush(world.log.end()).ok());
  EXPECT_GT(world.shared.ring_full.load(), 0u);
  RedoReader reader(fs, kDir, 5, Incarnation(3), RedoAddress(kFirstRedoAddress),
                    16 * 1024 + kRedoFileHeaderBytes);
  uint64_t sum = 0;
  for (uint64_t i = 0; i < kThreads * kEach; ++i) {
    Result<std::optional<RedoRecord>> record = reader.Next();
    ASSERT_TRUE(record.ok() && record.value().has_value());
    sum += record.value()->transaction;
  }
  EXPECT_EQ(sum, kThreads * kEach * (kThreads * kEach + 1) / 2);
}

TEST(Redo, AFailedSyncIsFinal) {
  MemoryFileSystem fs;
  ASSERT_TRUE(fs.MakeDirectory(kDir).ok());
  Log world(fs);
  ASSERT_TRUE(world.log.Start(5, Incarnation(3)).ok());
  std::string bytes = Record(1, 100);
  Result<RedoRange> range = world.log.Append(bytes);
  ASSERT_TRUE(range.ok());
  fs.FailAt(fs.operations() + 2, MemoryFault::kIoError);  // the write passes, the sync does not
  EXPECT_EQ(world.log.Flush(range.value().end).sqlstate(), kErrIo);
  EXPECT_EQ(world.log.Flush(range.value().end).sqlstate(), kErrStorageClosed);
  std::string more = Record(2, 100);
  EXPECT_EQ(world.log.Append(more).status().sqlstate(), kErrStorageClosed);
  EXPECT_LT(world.log.durable(), range.value().end);
}

}  // namespace
}  // namespace pgquorum::fusion
