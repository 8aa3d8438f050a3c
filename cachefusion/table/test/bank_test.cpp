// Money moves between accounts; whoever looks, whenever, sees the same sum. Threads as processes,
// and power loss at every operation.
#include <gtest/gtest.h>

#include <mutex>
#include <string>
#include <thread>

#include "base/random.h"
#include "cachefusion/table/test/table_world.h"

namespace pgquorum::fusion {
namespace {

constexpr uint64_t kRows = 24;
constexpr int64_t kEach = 1000;

struct Account {
  uint64_t id;
  int64_t balance;
  uint64_t last;  // the latest transfer that touched it
  char filling[300];
};

std::string Bytes(const Account& account) {
  return std::string(reinterpret_cast<const char*>(&account), sizeof(account));
}

Account Parse(const std::string& row) {
  Account account;
  std::memcpy(&account, row.data(), sizeof(account));
  return account;
}

Status Fund(Storage& storage, std::span<TxSlot> slots) {
  TableSession session(storage, slots, 0);
  Status status = session.table.space().Create();
  session.Begin();
  for (uint64_t i = 0; i < kRows && status.ok(); ++i) {
    Account account{i, kEach, 0, {}};
    status = session.table.Insert(Bytes(account), session.AsWriter()).status();
  }
  return status.ok() ? session.Commit() : status;
}

// The rows as a snapshot shows them; an error when the sum is wrong.
Result<std::map<uint64_t, FoundRow>> Look(TableSession& session) {
  Result<std::vector<FoundRow>> rows = session.Visible();
  if (!rows.ok()) {
    return rows.status();
  }
  std::map<uint64_t, FoundRow> accounts;
  int64_t sum = 0;
  for (const FoundRow& row : rows.value()) {
    Account account = Parse(row.row);
    sum += account.balance;
    if (!accounts.emplace(account.id, row).second) {
      return Status::Error("XX000", "account " + std::to_string(account.id) + " seen twice");
    }
  }
  if (accounts.size() != kRows || sum != static_cast<int64_t>(kRows) * kEach) {
    return Status::Error("XX000",
                         std::to_string(accounts.size()) + " accounts with " + std::to_string(sum));
  }
  return accounts;
}

// False: another was faster, nothing was done. Never waits, so never a deadlock.
Result<bool> Transfer(TableSession& session, Random& random, uint64_t number) {
  session.Begin();
  Result<std::map<uint64_t, FoundRow>> accounts = Look(session);
  if (!accounts.ok()) {
    return accounts.status();
  }
  uint64_t from = random.Below(kRows);
  uint64_t to = (from + 1 + random.Below(kRows - 1)) % kRows;
  auto amount = static_cast<int64_t>(random.Between(1, 50));
  bool done = true;
  for (uint64_t id : {from, to}) {
    const FoundRow& row = accounts.value().at(id);
    Account account = Parse(row.row);
    account.balance += id == from ? -amount : amount;
    account.last = number;
    Result<Replaced> replaced = session.table.Replace(row.at, Bytes(account), RowLock::kNoKeyUpdate,
                                                      session.AsWriter(), session.visibility);
    if (!replaced.ok()) {
      return replaced.status();
    }
    if (replaced.value().touch.result != TouchResult::kOk) {
      done = false;
      break;
    }
  }
  Status ended = done ? session.Commit() : session.Abort();
  return ended.ok() ? Result<bool>(done) : ended;
}

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
          Result<bool> moved = Transfer(session, random, 1);
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
