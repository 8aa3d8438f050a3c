// Power is lost at every single operation on the file system, in a workload that changes pages,
// makes them durable, writes them out, removes segments and checkpoints; and again at every
// operation of the recovery. What comes back must be the state after some number of changes, not
// fewer than were made durable, and never a mixture.
#include <gtest/gtest.h>

#include <map>

#include "base/random.h"
#include "cachefusion/storage/test/world.h"

namespace pgquorum::fusion {
namespace {

constexpr uint64_t kCounterSegment = 7;  // its page 0 counts the changes
constexpr uint64_t kSegments = 3;        // 100 … 102
constexpr uint32_t kBlocks = 40;

// What every page held after each change.
struct History {
  struct Entry {
    uint64_t change;
    bool there;  // false: its segment was removed
    char fill;
  };
  std::map<PageId, std::vector<Entry>> pages;
  uint64_t changes = 0;
  uint64_t durable = 0;

  // '\0': not there.
  char At(PageId id, uint64_t change) const {
    char fill = '\0';
    auto found = pages.find(id);
    if (found != pages.end()) {
      for (const Entry& entry : found->second) {
        if (entry.change <= change) {
          fill = entry.there ? entry.fill : '\0';
        }
      }
    }
    return fill;
  }
};

class Workload {
 public:
  Workload(Storage& storage, History& history, uint64_t seed)
      : storage_(storage), history_(history), random_(seed) {}

  // Until the first error: the power is gone.
  bool Run(int steps) {
    for (int i = 0; i < steps; ++i) {
      if (!Step().ok()) {
        return false;
      }
    }
    return true;
  }

 private:
  // The counter, and one to three pages, in one record.
  Status Change() {
    Result<PageGuard> counter = storage_.pages().Fetch({kCounterSegment, 0}, LatchMode::kExclusive);
    if (!counter.ok()) {
      return counter.status();
    }
    std::map<PageId, PageGuard> guards;
    for (uint64_t n = random_.Between(1, 3); n > 0; --n) {
      PageId id{100 + random_.Below(kSegments), static_cast<uint32_t>(random_.Below(kBlocks))};
      if (!guards.contains(id)) {
        Result<PageGuard> guard = storage_.pages().Fetch(id, LatchMode::kExclusive);
        if (!guard.ok()) {
          return guard.status();
        }
        guards[id] = std::move(guard).value();
      }
    }
    uint64_t number = history_.changes + 1;
    Mutation mutation(storage_.pages(), number);
    PageChange& count = mutation.Change(counter.value());
    if (!counter.value().formatted()) {
      count.Format(PageKind::kTable);
    }
    count.Put(1000, number);
    char fill = static_cast<char>(random_.Between('a', 'z'));
    for (auto& [id, guard] : guards) {
      PageChange& change = mutation.Change(guard);
      if (!guard.formatted()) {
        change.Format(PageKind::kTable);
      }
      change.Write(1000 + random_.Below(2) * 4000, std::string(random_.Between(1, 600), fill));
      change.Write(600, {&fill, 1});
    }
    Result<RedoAddress> end = mutation.Commit();
    if (end.ok()) {
      history_.changes = number;
      for (auto& [id, guard] : guards) {
        history_.pages[id].push_back({number, true, fill});
      }
    }
    return end.status();
  }

  // The removal counts together with the change that follows it: it has no counter of its own.
  Status RemoveAndChange() {
    uint64_t segment = 100 + random_.Below(kSegments);
    for (auto& [id, entries] : history_.pages) {
      if (id.segment == segment) {
        entries.push_back({history_.changes, false, '\0'});
        // Nobody knows whether it happened until the next change: see Matches().
      }
    }
    removing_ = segment;
    Status status = storage_.RemoveSegment(segment);
    if (status.ok()) {
      history_.durable = history_.changes;  // removal is durable, and so is all before it
      status = Change();
    }
    return status;
  }

  Status Step() {
    uint64_t choice = random_.Below(100);
    if (choice < 70) {
      return Change();
    }
    if (choice < 88) {
      Status status = storage_.FlushRedo(storage_.redo().end());
      if (status.ok()) {
        history_.durable = history_.changes;
      }
      return status;
    }
    if (choice < 93) {
      return storage_.WriteBehind(4000, 10).status();
    }
    if (choice < 97) {
      return storage_.Checkpoint(1);
    }
    return RemoveAndChange();
  }

  Storage& storage_;
  History& history_;
  Random random_;

 public:
  uint64_t removing_ = 0;
};

uint64_t CounterOf(Storage& storage) {
  Result<PageGuard> guard = storage.pages().Fetch({kCounterSegment, 0}, LatchMode::kShared);
  EXPECT_TRUE(guard.ok()) << guard.status().ToString();
  uint64_t number = 0;
  if (guard.ok()) {
    std::memcpy(&number, guard.value().page() + 1000, sizeof(number));
  }
  return number;
}

void ExpectState(Storage& storage, const History& history, uint64_t undecided, uint64_t where) {
  uint64_t changes = CounterOf(storage);
  ASSERT_GE(changes, history.durable) << "lost an acknowledged change; operation " << where;
  ASSERT_LE(changes, history.changes + 1);
  for (uint64_t segment = 100; segment < 100 + kSegments; ++segment) {
    for (uint32_t block = 0; block < kBlocks; ++block) {
      PageId id{segment, block};
      Result<PageGuard> guard = storage.pages().Fetch(id, LatchMode::kShared);
      ASSERT_TRUE(guard.ok()) << guard.status().ToString() << "; operation " << where;
      char found = guard.value().formatted() ? guard.value().page()[600] : '\0';
      char expected = history.At(id, changes);
      if (found != expected && segment == undecided && changes == history.changes) {
        // The last thing that was begun is a removal: both outcomes are right, for all its pages.
        expected = found;
      }
      // The change that was under way may be there as well, though its caller saw an error.
      if (changes <= history.changes) {
        ASSERT_EQ(found, expected) << "segment " << segment << " block " << block << "; operation "
                                   << where << ", " << changes << " changes";
      }
    }
  }
}

class Crash : public testing::TestWithParam<int> {};

TEST_P(Crash, AtEveryOperation) {
  auto loss = static_cast<MemoryLoss>(GetParam());
  constexpr int kSteps = 140;
  uint64_t operations = 0;
  {
    MemoryFileSystem fs;
    History history;
    ASSERT_TRUE(MakeStorage(fs).ok());
    Life life(fs);
    uint64_t before = fs.operations();
    Workload workload(life.storage, history, 77);
    ASSERT_TRUE(workload.Run(kSteps));
    operations = fs.operations() - before;
  }
  ASSERT_GT(operations, 120u);
  for (uint64_t at = 1; at <= operations; ++at) {
    MemoryFileSystem fs;
    History history;
    Random random(at);
    ASSERT_TRUE(MakeStorage(fs).ok());
    uint64_t undecided;
    {
      Life life(fs);
      ASSERT_TRUE(life.status.ok());
      fs.FailAt(fs.operations() + at, MemoryFault::kCrash);
      Workload workload(life.storage, history, 77);
      ASSERT_FALSE(workload.Run(kSteps));
      undecided = workload.removing_;
    }
    fs.PowerCycle(random, loss);
    Life life(fs);
    ASSERT_TRUE(life.status.ok()) << life.status.ToString() << "; operation " << at;
    ExpectState(life.storage, history, undecided, at);
    if (HasFatalFailure()) {
      return;
    }
  }
}

TEST_P(Crash, AtEveryOperationOfARecovery) {
  auto loss = static_cast<MemoryLoss>(GetParam());
  for (uint64_t at = 1;; ++at) {
    MemoryFileSystem fs;
    History history;
    Random random(at);
    ASSERT_TRUE(MakeStorage(fs).ok());
    uint64_t undecided;
    {
      Life life(fs);
      Workload workload(life.storage, history, 5);
      ASSERT_TRUE(workload.Run(300));
      ASSERT_TRUE(life.storage.FlushRedo(life.storage.redo().end()).ok());
      history.durable = history.changes;
      undecided = 0;
    }
    fs.PowerCycle(random, loss);
    fs.FailAt(fs.operations() + at, MemoryFault::kCrash);
    bool finished;
    {
      Life life(fs);
      finished = life.status.ok();
    }
    fs.PowerCycle(random, loss);
    Life life(fs);
    ASSERT_TRUE(life.status.ok()) << life.status.ToString() << "; operation " << at;
    ExpectState(life.storage, history, undecided, at);
    if (HasFatalFailure()) {
      return;
    }
    if (finished) {
      ASSERT_GT(at, 20u);
      return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Losses, Crash,
                         testing::Values(static_cast<int>(MemoryLoss::kRandom),
                                         static_cast<int>(MemoryLoss::kAll),
                                         static_cast<int>(MemoryLoss::kNone)));

// Many lives, one after the other, each with its own seed and its own place of death.
TEST(CrashSequence, ManyLives) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    MemoryFileSystem fs;
    Random random(seed);
    ASSERT_TRUE(MakeStorage(fs).ok());
    History history;
    uint64_t undecided = 0;
    for (int life_number = 0; life_number < 12; ++life_number) {
      Life life(fs);
      ASSERT_TRUE(life.status.ok()) << life.status.ToString();
      ExpectState(life.storage, history, undecided, static_cast<uint64_t>(life_number));
      if (HasFatalFailure()) {
        return;
      }
      // What was found is now what counts.
      history = History();
      history.changes = history.durable = CounterOf(life.storage);
      for (uint64_t segment = 100; segment < 100 + kSegments; ++segment) {
        for (uint32_t block = 0; block < kBlocks; ++block) {
          Result<PageGuard> guard =
              life.storage.pages().Fetch({segment, block}, LatchMode::kShared);
          ASSERT_TRUE(guard.ok());
          if (guard.value().formatted()) {
            history.pages[{segment, block}].push_back(
                {history.changes, true, guard.value().page()[600]});
          }
        }
      }
      fs.FailAt(fs.operations() + random.Between(1, 250), MemoryFault::kCrash);
      Workload workload(life.storage, history, random.Next());
      workload.Run(400);
      undecided = workload.removing_;
      fs.PowerCycle(random, MemoryLoss::kRandom);
    }
  }
}

}  // namespace
}  // namespace pgquorum::fusion
