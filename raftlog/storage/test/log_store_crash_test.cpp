// The log store against a model, through crashes at every operation and with every loss: what was
// reported durable is there, what was not is there or not, nothing else ever is.
#include <cstdlib>

#include "raftlog/storage/errors.h"
#include "raftlog/storage/test/store_fixture.h"

#include "base/pure.h"

namespace pgquorum::raft {
namespace {

// What the disk must hold, and what an unfinished write may have added.
struct Model {
  HardState hard_state;
  std::vector<Entry> log;  // entries first … last
  Index first{1};
  Index snapshot;
  std::string state;
  // Set while a write is under way.
  std::optional<Persist> writing;
  std::optional<SnapshotMeta> marking;
  std::string marking_state;

  Index last() const { return first + log.size() - 1; }
  void ApplyEntry(const Entry& entry) {
    log.resize(entry.index - first);
    log.push_back(entry);
  }
};

std::string StateOf(uint64_t index) {
  return "state at " + std::to_string(index);
}

class Lives {
 public:
  explicit Lives(uint64_t seed) : random_(seed) {}

  void Incarnations(int count) {
    for (int i = 0; i < count && !::testing::Test::HasFatalFailure(); ++i) {
      OneLife();
    }
  }

 private:
  void OneLife() {
    Result<Store> opened = OpenStore(fs_);
    // The power may go while it starts, too; then the next life has to cope.
    if (!opened.ok()) {
      ASSERT_TRUE(crash_planned_) << opened.status().ToString();
      Crash();
      return;
    }
    store_.emplace(std::move(opened).value());
    Check();
    uint64_t crash_in = random_.Below(60);
    fs_.FailAt(fs_.operations() + 1 + crash_in, MemoryFault::kCrash);
    crash_planned_ = true;
    while (!::testing::Test::HasFatalFailure() && Step()) {
    }
    store_.reset();
    Crash();
  }

  void Crash() {
    MemoryLoss loss = random_.Chance(1, 6)   ? MemoryLoss::kAll
                      : random_.Chance(1, 5) ? MemoryLoss::kNone
                                             : MemoryLoss::kRandom;
    fs_.PowerCycle(random_, loss);
    crash_planned_ = random_.Chance(1, 8);
    if (crash_planned_) {
      fs_.FailAt(fs_.operations() + 1 + random_.Below(6), MemoryFault::kCrash);
    }
  }

  // False: the power is gone.
  bool Step() {
    switch (random_.Below(12)) {
      case 0:
        return TakeSnapshot();
      case 1:
        return Install();
      case 2:
        return store_->log->Prove().ok();
      case 3:
        return store_->log->PrepareSpare().ok();
      default:
        return Write();
    }
  }

  bool Write() {
    Persist persist;
    HardState hard_state = model_.hard_state;
    if (random_.Chance(1, 4)) {
      hard_state.term = hard_state.term + random_.Below(3);
      hard_state.vote = NodeId(random_.Below(4));
      persist.hard_state = hard_state;
    }
    uint64_t next = model_.last().value() + 1;
    uint64_t lowest = std::max(model_.snapshot, model_.first - 1).value() + 1;
    if (random_.Chance(1, 5) && next > lowest) {
      next = random_.Between(lowest, next - 1);  // a divergent tail is replaced
      ++term_;
    }
    uint64_t count = random_.Below(6);
    for (uint64_t i = 0; i < count; ++i) {
      uint64_t size = random_.Chance(1, 20) ? random_.Below(80'000) : random_.Below(3'000);
      persist.entries.push_back(MakeEntry(next + i, term_, UniqueData(size)));
    }
    return Carry(std::move(persist));
  }

  // No two entries share a run of bytes: sectors of different writes never make a record together.
  std::string UniqueData(std::size_t size) {
    std::string unit = std::to_string(++serial_) + ';';
    std::string data;
    while (data.size() < size) {
      data += unit;
    }
    data.resize(size);
    return data;
  }

  bool Carry(Persist persist) {
    model_.writing = persist;
    if (!store_->Write(persist).ok()) {
      return false;
    }
    model_.writing.reset();
    if (persist.hard_state) {
      model_.hard_state = *persist.hard_state;
    }
    if (persist.install_snapshot) {
      model_.snapshot = persist.install_snapshot->index;
      model_.state = StateOf(model_.snapshot.value());
      model_.first = model_.snapshot + 1;
      model_.log.clear();
    }
    for (const Entry& entry : persist.entries) {
      model_.ApplyEntry(entry);
    }
    return true;
  }

  bool TakeSnapshot() {
    if (model_.log.empty()) {
      return true;
    }
    uint64_t low = std::max(model_.snapshot + 1, model_.first).value();
    if (low > model_.last().value()) {
      return true;
    }
    Index index(random_.Between(low, model_.last().value()));
    std::string state = StateOf(index.value());
    SnapshotMeta meta = MetaOf(index.value(), model_.log[index - model_.first].term.value(), state);
    model_.marking = meta;
    if (!store_->snapshots->Save(meta, state).ok() || !store_->log->MarkSnapshot(meta).ok()) {
      return false;
    }
    model_.marking.reset();
    model_.snapshot = index;
    model_.state = state;
    return store_->log->Release(index).ok() && store_->snapshots->RemoveOlder(meta.index).ok();
  }

  bool Install() {
    uint64_t index = model_.last().value() + random_.Between(1, 50);
    std::string state = StateOf(index);
    SnapshotMeta meta = MetaOf(index, ++term_, state);
    for (std::size_t at = 0; at < state.size(); at += 5) {
      Result<uint64_t> next =
          store_->snapshots->WritePiece(meta, at, std::string_view(state).substr(at, 5));
      if (!next.ok()) {
        return false;
      }
    }
    if (!store_->snapshots->Publish(meta).ok()) {
      return false;
    }
    Persist persist;
    persist.install_snapshot = meta;
    if (random_.Chance(1, 2)) {
      persist.entries.push_back(MakeEntry(index + 1, term_, "behind"));
    }
    return Carry(std::move(persist)) && store_->log->Release(meta.index).ok() &&
           store_->snapshots->RemoveOlder(meta.index).ok();
  }

  // Takes over what the unfinished write left, after checking that it is one of its prefixes.
  void Check() {
    const RecoveredState& r = store_->log->recovered();
    ASSERT_EQ(store_->log->damage(), "");
    ASSERT_EQ(r.refill_term, Term());
    bool hard_state_kept =
        r.hard_state.term == model_.hard_state.term && r.hard_state.vote == model_.hard_state.vote;
    if (!hard_state_kept) {
      ASSERT_TRUE(model_.writing && model_.writing->hard_state);
      ASSERT_EQ(r.hard_state, *model_.writing->hard_state);
      model_.hard_state = r.hard_state;
    }
    if (r.snapshot.index != model_.snapshot) {
      if (model_.marking && r.snapshot == *model_.marking) {
        model_.snapshot = r.snapshot.index;
      } else {
        ASSERT_TRUE(model_.writing && model_.writing->install_snapshot == r.snapshot)
            << r.snapshot.index.value() << " instead of " << model_.snapshot.value();
        model_.snapshot = r.snapshot.index;
        model_.first = r.snapshot.index + 1;
        model_.log.clear();
      }
    }
    if (model_.snapshot) {
      Result<std::string> state = store_->snapshots->Load(r.snapshot);
      ASSERT_TRUE(state.ok()) << state.status().ToString();
      ASSERT_EQ(state.value(), StateOf(model_.snapshot.value()));
    }
    ASSERT_LE(r.first, r.snapshot.index + 1);
    ASSERT_GE(r.last, r.snapshot.index);
    CheckEntries(r);
    model_.writing.reset();
    model_.marking.reset();
  }

  void CheckEntries(const RecoveredState& r) {
    std::vector<Entry> found = store_->All();
    std::erase_if(found, [&](const Entry& e) { return e.index < model_.first; });
    ASSERT_LE(r.first, std::max(model_.first, model_.snapshot + 1));
    std::vector<Entry> expected = model_.log;
    std::erase_if(expected, [&](const Entry& e) { return e.index < r.first; });
    if (found == expected) {
      Keep(r, std::move(found));
      return;
    }
    ASSERT_TRUE(model_.writing.has_value()) << "a finished write is not there";
    bool installed = model_.writing->install_snapshot &&
                     model_.snapshot == model_.writing->install_snapshot->index;
    for (const Entry& entry : model_.writing->entries) {
      if (model_.writing->install_snapshot && !installed) {
        break;
      }
      model_.ApplyEntry(entry);
      expected = model_.log;
      std::erase_if(expected, [&](const Entry& e) { return e.index < r.first; });
      if (found == expected) {
        Keep(r, std::move(found));
        return;
      }
    }
    FAIL() << "the log is neither the old one nor one with a prefix of the unfinished write";
  }

  void Keep(const RecoveredState& r, std::vector<Entry> found) {
    if (found.empty()) {
      model_.first = r.last + 1;
    } else {
      model_.first = found.front().index;
    }
    model_.log = std::move(found);
  }

  Random random_;
  MemoryFileSystem fs_;
  Model model_;
  std::optional<Store> store_;
  uint64_t term_ = 1;
  uint64_t serial_ = 1'000'000;
  bool crash_planned_ = false;
};

// RAFT_STORE_SEEDS=n runs more, RAFT_STORE_SEED=s only one.
uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? std::strtoull(value, nullptr, 10) : otherwise;
}

TEST(LogStoreCrash, KeepsWhatItReportedThroughAnyCrash) {
  uint64_t only = FromEnvironment("RAFT_STORE_SEED", 0);
  uint64_t seeds = only != 0 ? only : FromEnvironment("RAFT_STORE_SEEDS", 300);
  for (uint64_t seed = only != 0 ? only : 1; seed <= seeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Lives(seed).Incarnations(12);
    if (HasFatalFailure()) {
      return;
    }
  }
}

// The steps of a snapshot, with a crash at each operation of each: the node restarts with the old
// snapshot and log or with the new ones.
TEST(SnapshotCrash, EveryFaultPointLeavesTheOldOrTheNewOne) {
  for (uint64_t point = 1;; ++point) {
    bool finished = false;
    for (uint64_t seed = 0; seed < 20; ++seed) {
      SCOPED_TRACE("operation " + std::to_string(point) + " seed " + std::to_string(seed));
      Random random(seed);
      MemoryFileSystem fs;
      SnapshotMeta old_meta = MetaOf(100, 1, "old");
      SnapshotMeta new_meta = MetaOf(300, 1, "new");
      {
        Result<Store> opened = OpenStore(fs);
        ASSERT_TRUE(opened.ok());
        Store& store = opened.value();
        for (uint64_t i = 1; i <= 300; ++i) {
          ASSERT_TRUE(store.Append({MakeEntry(i, 1, std::string(500, 'x'))}).ok());
        }
        ASSERT_TRUE(store.snapshots->Save(old_meta, "old").ok());
        ASSERT_TRUE(store.log->MarkSnapshot(old_meta).ok());
        ASSERT_TRUE(store.log->Release(Index(100)).ok());
        fs.FailAt(fs.operations() + point, MemoryFault::kCrash);
        finished = store.snapshots->Save(new_meta, "new").ok() &&
                   store.log->MarkSnapshot(new_meta).ok() && store.log->Release(Index(300)).ok() &&
                   store.snapshots->RemoveOlder(new_meta.index).ok();
      }
      fs.PowerCycle(random, MemoryLoss::kRandom);
      Result<Store> opened = OpenStore(fs);
      ASSERT_TRUE(opened.ok()) << opened.status().ToString();
      const RecoveredState& r = opened.value().log->recovered();
      EXPECT_EQ(opened.value().log->damage(), "");
      ASSERT_TRUE(r.snapshot == old_meta || r.snapshot == new_meta);
      EXPECT_TRUE(!finished || r.snapshot == new_meta);
      EXPECT_EQ(r.last, Index(300));
      EXPECT_LE(r.first, r.snapshot.index + 1);
      EXPECT_TRUE(opened.value().snapshots->Load(r.snapshot).ok());
    }
    if (finished) {
      EXPECT_GT(point, 6u);  // it did meet the steps
      return;
    }
  }
}

}  // namespace
}  // namespace pgquorum::raft
