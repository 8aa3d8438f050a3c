// Power loss at every operation while transactions run: what was acknowledged is there, whole; what
// was not begun to be committed is not; and what PostgreSQL decides follows PostgreSQL.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/random.h"
#include "cachefusion/tx/test/tx_world.h"

namespace pgquorum::fusion {
namespace {

struct Ledger {
  std::set<uint64_t> acknowledged;  // transactions by their own count, from 1
  std::set<uint64_t> begun_to_commit;
  std::map<uint64_t, uint64_t> external;     // count -> PostgreSQL's id, once prepared
  std::set<uint64_t> committed_by_postgres;  // ids
};

// Each transaction inserts three rows (row = count * 10 + i), one of them in a subtransaction, and
// one more in a subtransaction that aborts; it removes the rows of the transaction before the last.
bool RunOne(Session& session, uint64_t count, Random& random, Ledger& ledger) {
  session.Begin();
  bool good = session.Insert(count * 10 + 1, count).ok();
  session.BeginSub();
  good = good && session.Insert(count * 10 + 2, count).ok();
  session.CommitSub();
  session.BeginSub();
  good = good && session.Insert(count * 10 + 9, count).ok();
  good = good && session.AbortSub().ok();
  good = good && session.Insert(count * 10 + 3, count).ok();
  session.NextCommand();
  if (good) {
    Result<std::vector<RowVersion>> rows = session.Visible();
    good = rows.ok();
    for (const RowVersion& row : good ? rows.value() : std::vector<RowVersion>()) {
      Touch touch;
      if (row.value + 2 == count) {
        good = good && session.Remove(row, touch).ok();
      }
    }
  }
  if (!good) {
    return false;
  }
  uint64_t choice = random.Below(10);
  if (choice == 0) {
    return session.Abort().ok();
  }
  if (choice < 4) {
    uint64_t id = 1000 + count;
    if (!session.Prepare(id).ok()) {
      return false;
    }
    ledger.external[count] = id;
    if (random.Chance(1, 4)) {
      return session.Abort().ok();  // PostgreSQL failed after all
    }
    ledger.committed_by_postgres.insert(id);
    ledger.acknowledged.insert(count);
  }
  ledger.begun_to_commit.insert(count);
  // After PostgreSQL's record the outcome is fixed, whatever becomes of the rest.
  if (!session.Commit().ok()) {
    return false;
  }
  ledger.acknowledged.insert(count);
  return true;
}

void ExpectLedger(Storage& storage, const Ledger& ledger, uint64_t last, uint64_t where) {
  std::vector<TxSlot> slots(1);
  Session session(storage, slots, 0);
  session.Begin();
  Result<std::vector<RowVersion>> rows = session.Visible();
  ASSERT_TRUE(rows.ok()) << rows.status().ToString();
  std::map<uint64_t, std::set<uint64_t>> found;
  for (const RowVersion& row : rows.value()) {
    ASSERT_TRUE(found[row.value].insert(row.row % 10).second) << "seen twice; operation " << where;
  }
  const std::set<uint64_t> whole = {1, 2, 3};
  auto committed = [&](uint64_t count) {
    // Removed rows are gone whole, too, so a transaction shows by what is left of it or by what it
    // removed.
    return found.contains(count) && found[count] == whole;
  };
  for (const auto& [count, rest] : found) {
    ASSERT_EQ(rest, whole) << "transaction " << count << " in part; operation " << where;
    ASSERT_TRUE(ledger.begun_to_commit.contains(count))
        << "transaction " << count << " was never committed; operation " << where;
  }
  for (uint64_t count : ledger.acknowledged) {
    // Its rows are there unless the one after next, which removes them, has committed or may have.
    if (!ledger.begun_to_commit.contains(count + 2)) {
      ASSERT_TRUE(committed(count))
          << "lost transaction " << count << " of " << last << "; operation " << where;
    }
    if (count > 2) {
      ASSERT_FALSE(found.contains(count - 2))
          << "transaction " << count << " lost its removals; operation " << where;
    }
  }
}

// Runs until the power goes; returns the number of transactions begun.
uint64_t RunAll(Storage& storage, Ledger& ledger, uint64_t count) {
  std::vector<TxSlot> slots(1);
  Session session(storage, slots, 0);
  Random random(5);
  for (uint64_t i = 1; i <= count; ++i) {
    if (!RunOne(session, i, random, ledger)) {
      return i;
    }
    bool good = true;
    if (i % 5 == 0) {
      good = storage.Checkpoint(session.transactions().OldestUnresolved()).ok();
    } else if (i % 7 == 0) {
      good = session.Vacuum().ok();
    }
    if (!good) {
      return i;
    }
  }
  return count;
}

Status ResolveAll(Life& life, const Ledger& ledger) {
  std::vector<TxSlot> slots(1);
  Transactions transactions(life.storage, kInstance, slots, 0);
  auto decided = [&](uint64_t id) -> Result<bool> {
    return ledger.committed_by_postgres.contains(id);
  };
  Status status = transactions.Resolve(life.report.control.oldest_unresolved, decided).status();
  return status.ok() ? life.storage.Checkpoint(transactions.OldestUnresolved()) : status;
}

TEST(TxCrash, AtEveryOperation) {
  constexpr uint64_t kCount = 26;
  uint64_t operations;
  {
    MemoryFileSystem fs;
    ASSERT_TRUE(MakeStorage(fs).ok());
    Life life(fs);
    uint64_t before = fs.operations();
    Ledger ledger;
    ASSERT_EQ(RunAll(life.storage, ledger, kCount), kCount);
    ASSERT_GT(ledger.external.size(), 3u);
    ASSERT_LT(ledger.committed_by_postgres.size(), ledger.external.size());
    operations = fs.operations() - before;
  }
  ASSERT_GT(operations, 100u);
  for (uint64_t at = 1; at <= operations; ++at) {
    MemoryFileSystem fs;
    Random random(at);
    Ledger ledger;
    ASSERT_TRUE(MakeStorage(fs).ok());
    uint64_t last;
    {
      Life life(fs);
      fs.FailAt(fs.operations() + at, MemoryFault::kCrash);
      last = RunAll(life.storage, ledger, kCount);
    }
    // The power goes a second time during the recovery, every third time.
    fs.PowerCycle(random, at % 2 == 0 ? MemoryLoss::kRandom : MemoryLoss::kAll);
    if (at % 3 == 0) {
      fs.FailAt(fs.operations() + random.Between(1, 40), MemoryFault::kCrash);
      Life life(fs);
      if (life.status.ok()) {
        (void)ResolveAll(life, ledger);
      }
    }
    fs.PowerCycle(random, MemoryLoss::kRandom);
    Life life(fs);
    ASSERT_TRUE(life.status.ok()) << life.status.ToString() << "; operation " << at;
    Status resolved = ResolveAll(life, ledger);
    ASSERT_TRUE(resolved.ok()) << resolved.ToString();
    ExpectLedger(life.storage, ledger, last, at);
    if (HasFatalFailure()) {
      return;
    }
  }
}

// What is not waited for may be lost, but only whole, and never before what was.
TEST(TxCrash, CommitsThatNobodyWaitedForAreLostFromTheEnd) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    MemoryFileSystem fs;
    Random random(seed);
    ASSERT_TRUE(MakeStorage(fs).ok());
    uint64_t waited = 0;
    std::vector<TxWord> words;
    {
      Life life(fs);
      std::vector<TxSlot> slots(1);
      Transactions transactions(life.storage, kInstance, slots, 0);
      for (uint64_t i = 1; i <= 30; ++i) {
        words.push_back(transactions.Begin());
        bool flush = random.Chance(1, 6);
        ASSERT_TRUE(transactions.Decide(words.back(), {}, flush).ok());
        ASSERT_TRUE(transactions.Publish(words.back()).ok());
        waited = flush ? i : waited;
      }
    }
    fs.PowerCycle(random, MemoryLoss::kRandom);
    Life life(fs);
    ASSERT_TRUE(life.status.ok());
    std::vector<TxSlot> slots(1);
    Transactions transactions(life.storage, kInstance, slots, 0);
    ASSERT_TRUE(transactions
                    .Resolve(life.report.control.oldest_unresolved,
                             [](uint64_t) -> Result<bool> { return false; })
                    .ok());
    bool gone = false;
    Scn before;
    for (std::size_t i = 0; i < words.size(); ++i) {
      Outcome outcome = transactions.Lookup(words[i]).value();
      gone = gone || outcome.state != TxState::kCommitted;
      EXPECT_EQ(outcome.state != TxState::kCommitted, gone);
      if (!gone) {
        EXPECT_GT(outcome.scn, before);
        before = outcome.scn;
      }
      EXPECT_TRUE(i >= waited || !gone) << "lost a commit that was waited for";
    }
    // New numbers are larger than all that are in use.
    TxWord word = transactions.Begin();
    ASSERT_TRUE(transactions.Decide(word, {}, true).ok());
    ASSERT_TRUE(transactions.Publish(word).ok());
    EXPECT_GT(transactions.Lookup(word).value().scn, before);
  }
}

// More subtransactions than one page of the table holds.
TEST(Transactions, ManyChildrenShareOneFate) {
  MemoryFileSystem fs;
  ASSERT_TRUE(MakeStorage(fs).ok());
  Life life(fs);
  std::vector<TxSlot> slots(1);
  Transactions transactions(life.storage, kInstance, slots, 0);
  for (bool commit : {true, false}) {
    TxWord top = transactions.Begin();
    std::vector<TxWord> children;
    for (int i = 0; i < 2500; ++i) {
      children.push_back(transactions.Begin());
    }
    ASSERT_TRUE(transactions.Decide(top, children, true).ok());
    EXPECT_EQ(transactions.Lookup(children[2000]).value().state, TxState::kActive);
    if (commit) {
      ASSERT_TRUE(transactions.Publish(top).ok());
    } else {
      ASSERT_TRUE(transactions.Abort({&top, 1}).ok());
    }
    TxState expected = commit ? TxState::kCommitted : TxState::kAborted;
    for (TxWord child : children) {
      Outcome outcome = transactions.Lookup(child).value();
      EXPECT_EQ(outcome.state, expected);
      EXPECT_EQ(outcome.scn, transactions.Lookup(top).value().scn);
    }
  }
}

}  // namespace
}  // namespace pgquorum::fusion
