// Money moves between accounts; whoever looks, whenever, sees the same sum. Threads as processes,
// and power loss at every operation.
#include <gtest/gtest.h>

#include <mutex>
#include <string>
#include <thread>

#include "base/random.h"
#include "cachefusion/table/test/bank.h"

namespace pgquorum::fusion {
namespace {

TEST(Bank, TheSumIsTheSameForEverybody) {
  MemoryFileSystem fs;
  ASSERT_TRUE(MakeStorage(fs).ok());
  constexpr std::size_t kThreads = 4;
  std::vector<TxSlot> slots(kThreads);
  std::mutex mutex;
  std::string first_error;
  std::atomic<int> done{0};
  std::atomic<int> errors{0};
  {
    Life life(fs);
    ASSERT_TRUE(Fund(life.storage, slots).ok());
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        Storage mine(fs, kDir, kInstance, SmallSizes(), life.memory.get(), life.memory.latches);
        TableSession session(mine, slots, t);
        Random random(t + 1);
        for (int i = 0; i < 250; ++i) {
          Result<bool> moved = Transfer(session, random, 1, t);
          Status status = moved.status();
          done += moved.ok() && moved.value() ? 1 : 0;
          if (status.ok() && t == 0 && i % 25 == 0) {
            status = session.Vacuum();
          } else if (status.ok() && t == 1 && i % 40 == 0) {
            status = mine.Checkpoint(session.transactions.OldestUnresolved());
          }
          if (!status.ok()) {
            std::lock_guard lock(mutex);
            first_error = errors++ == 0 ? status.ToString() : first_error;
            return;
          }
        }
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
  }
  EXPECT_EQ(errors.load(), 0) << first_error;
  EXPECT_GT(done.load(), 100);
  Random random(3);
  fs.PowerCycle(random, MemoryLoss::kRandom);
  Life life(fs);
  ASSERT_TRUE(life.status.ok()) << life.status.ToString();
  TableSession session(life.storage, slots, 0);
  ASSERT_TRUE(session.transactions
                  .Resolve(life.report.control.oldest_unresolved,
                           [](uint64_t) -> Result<bool> { return false; })
                  .ok());
  session.Begin();
  Status status = Look(session).status();
  EXPECT_TRUE(status.ok()) << status.ToString();
}

TEST(Bank, NoTransferIsLostOrHalfDone) {
  uint64_t operations = UINT64_MAX;
  for (uint64_t at = 1; at <= operations; ++at) {
    MemoryFileSystem fs;
    ASSERT_TRUE(MakeStorage(fs).ok());
    std::vector<TxSlot> slots(1);
    uint64_t acknowledged = 0;
    uint64_t before;
    {
      Life life(fs);
      ASSERT_TRUE(Fund(life.storage, slots).ok());
      before = fs.operations();
      fs.FailAt(before + at, MemoryFault::kCrash);
      TableSession session(life.storage, slots, 0);
      Random random(8);
      Status status = Status::Ok();
      for (uint64_t number = 1; number <= 28 && status.ok(); ++number) {
        Result<bool> moved = Transfer(session, random, number);
        status = moved.status();
        acknowledged = moved.ok() && moved.value() ? number : acknowledged;
        if (status.ok() && number % 9 == 0) {
          status = session.Vacuum();
        }
        if (status.ok() && number % 13 == 0) {
          status = life.storage.Checkpoint(session.transactions.OldestUnresolved());
        }
      }
      if (status.ok()) {
        operations = fs.operations() - before;
      }
    }
    Random random(at);
    fs.PowerCycle(random, MemoryLoss::kRandom);
    Life life(fs);
    ASSERT_TRUE(life.status.ok()) << life.status.ToString() << "; operation " << at;
    std::vector<TxSlot> fresh(1);
    TableSession session(life.storage, fresh, 0);
    ASSERT_TRUE(session.transactions
                    .Resolve(life.report.control.oldest_unresolved,
                             [](uint64_t) -> Result<bool> { return false; })
                    .ok());
    session.Begin();
    Result<std::map<uint64_t, FoundRow>> accounts = Look(session);
    ASSERT_TRUE(accounts.ok()) << accounts.status().ToString() << "; operation " << at;
    uint64_t latest = 0;
    for (const auto& [id, row] : accounts.value()) {
      latest = std::max(latest, Parse(row.row).last);
    }
    ASSERT_GE(latest, acknowledged) << "operation " << at;
    ASSERT_LE(latest, acknowledged + 1) << "operation " << at;
  }
}

}  // namespace
}  // namespace pgquorum::fusion
