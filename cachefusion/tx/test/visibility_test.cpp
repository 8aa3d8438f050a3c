#include "cachefusion/tx/visibility.h"

#include <gtest/gtest.h>

#include <map>

#include "base/random.h"
#include "cachefusion/tx/test/tx_world.h"

namespace pgquorum::fusion {
namespace {

using Rows = std::map<uint64_t, uint64_t>;

TEST(Words, SayWhoAndWhen) {
  TxWord word = TxWord::Of(InstanceId(64), (uint64_t{1} << 56) - 1);
  EXPECT_FALSE(word.stamped());
  EXPECT_EQ(word.instance(), InstanceId(64));
  EXPECT_EQ(word.number(), (uint64_t{1} << 56) - 1);
  EXPECT_TRUE(TxWord::Committed(Scn(7)).stamped());
  EXPECT_EQ(TxWord::Committed(Scn(7)).scn(), Scn(7));
  EXPECT_TRUE(TxWord::Never().never());
  EXPECT_FALSE(TxWord::Committed(Scn(7)).never());
}

TEST(RowLocks, ConflictAsPostgresSays) {
  EXPECT_FALSE(Conflict(RowLock::kKeyShare, RowLock::kNoKeyUpdate));
  EXPECT_TRUE(Conflict(RowLock::kKeyShare, RowLock::kUpdate));
  EXPECT_FALSE(Conflict(RowLock::kShare, RowLock::kShare));
  EXPECT_TRUE(Conflict(RowLock::kShare, RowLock::kNoKeyUpdate));
  EXPECT_TRUE(Conflict(RowLock::kNoKeyUpdate, RowLock::kNoKeyUpdate));
  for (int a = 0; a < 4; ++a) {
    for (int b = 0; b < 4; ++b) {
      EXPECT_EQ(Conflict(RowLock(a), RowLock(b)), Conflict(RowLock(b), RowLock(a)));
    }
  }
}

// Several sessions in random order against a model that copies the whole state at each snapshot.
// The model knows nothing of versions, words or numbers.
struct ModelSession {
  bool open = false;
  Rows seen;                // at the snapshot, and own changes of earlier commands
  std::vector<Rows> saved;  // at each open subtransaction: what is seen
  std::vector<Rows> saved_pending;
  Rows pending;                                         // own changes, by this command as well
  std::map<uint64_t, std::optional<uint64_t>> changes;  // since the beginning
  std::vector<std::map<uint64_t, std::optional<uint64_t>>> saved_changes;
};

class Interleaving {
 public:
  explicit Interleaving(uint64_t seed)
      : random_(seed),
        life_([this]() -> FileSystem& {
          EXPECT_TRUE(MakeStorage(fs_).ok());
          return fs_;
        }()),
        slots_(kSessions) {
    for (std::size_t i = 0; i < kSessions; ++i) {
      sessions_.push_back(std::make_unique<Session>(life_.storage, slots_, i));
    }
    models_.resize(kSessions);
  }

  void Run(int steps) {
    ASSERT_TRUE(life_.status.ok());
    for (int i = 0; i < steps && !testing::Test::HasFatalFailure(); ++i) {
      Step(random_.Below(kSessions));
    }
    EXPECT_GT(conflicts_, 0);
    EXPECT_GT(commits_, 10);
  }

 private:
  static constexpr std::size_t kSessions = 4;

  void Check(std::size_t who) {
    Result<std::vector<RowVersion>> visible = sessions_[who]->Visible();
    ASSERT_TRUE(visible.ok());
    Rows found;
    for (const RowVersion& version : visible.value()) {
      ASSERT_TRUE(found.emplace(version.row, version.value).second) << "row seen twice";
    }
    ASSERT_EQ(found, models_[who].seen);
    visible_ = visible.value();
  }

  void Start(std::size_t who) {
    sessions_[who]->Begin();
    models_[who] = ModelSession();
    models_[who].open = true;
    models_[who].seen = models_[who].pending = committed_;
  }

  void Write(std::size_t who) {
    ModelSession& model = models_[who];
    Check(who);
    if (testing::Test::HasFatalFailure()) {
      return;
    }
    if (visible_.empty() || random_.Chance(1, 2)) {
      uint64_t row = next_row_++;
      ASSERT_TRUE(sessions_[who]->Insert(row, who).ok());
      model.pending[row] = who;
      model.changes[row] = who;
      return;
    }
    const RowVersion version = visible_[random_.Below(visible_.size())];
    bool only_lock = random_.Chance(1, 4);
    Touch touch;
    ASSERT_TRUE(sessions_[who]->Remove(version, touch, only_lock).ok());
    if (touch.result == TouchResult::kOk) {
      // Somebody else's uncommitted or later removal must never be overwritten.
      ASSERT_EQ(holders_.count(version.row) != 0 && holders_[version.row] != who, false);
      ASSERT_TRUE(committed_.contains(version.row) || model.changes.contains(version.row));
      if (!only_lock) {
        model.pending.erase(version.row);
        model.changes[version.row] = std::nullopt;
        holders_[version.row] = who;
      }
    } else {
      ++conflicts_;
    }
  }

  void Finish(std::size_t who, bool commit) {
    ModelSession& model = models_[who];
    ASSERT_TRUE((commit ? sessions_[who]->Commit() : sessions_[who]->Abort()).ok());
    if (commit) {
      ++commits_;
      for (const auto& [row, value] : model.changes) {
        if (value) {
          committed_[row] = *value;
        } else {
          committed_.erase(row);
        }
      }
    }
    std::erase_if(holders_, [&](const auto& entry) { return entry.second == who; });
    model.open = false;
  }

  void Sub(std::size_t who) {
    ModelSession& model = models_[who];
    if (model.saved.empty() || random_.Chance(1, 2)) {
      sessions_[who]->BeginSub();
      model.saved.push_back(model.seen);
      model.saved_pending.push_back(model.pending);
      model.saved_changes.push_back(model.changes);
      return;
    }
    if (random_.Chance(1, 2)) {
      sessions_[who]->CommitSub();
    } else {
      ASSERT_TRUE(sessions_[who]->AbortSub().ok());
      model.seen = model.pending = model.saved_pending.back();
      model.changes = model.saved_changes.back();
      for (auto it = holders_.begin(); it != holders_.end();) {
        auto change = model.changes.find(it->first);
        bool still = change != model.changes.end() && !change->second;
        it = it->second == who && !still ? holders_.erase(it) : std::next(it);
      }
      sessions_[who]->NextCommand();
    }
    model.saved.pop_back();
    model.saved_pending.pop_back();
    model.saved_changes.pop_back();
  }

  void Step(std::size_t who) {
    ModelSession& model = models_[who];
    if (!model.open) {
      Start(who);
      return;
    }
    uint64_t choice = random_.Below(100);
    if (choice < 45) {
      Write(who);
    } else if (choice < 60) {
      sessions_[who]->NextCommand();
      model.seen = model.pending;
      Check(who);
    } else if (choice < 75) {
      // A savepoint is a command of its own.
      sessions_[who]->NextCommand();
      model.seen = model.pending;
      Sub(who);
      Check(who);
    } else if (choice < 80) {
      ASSERT_TRUE(sessions_[who]->Vacuum().ok());
    } else if (choice < 85) {
      ASSERT_TRUE(life_.storage.Checkpoint(sessions_[who]->transactions().OldestUnresolved()).ok());
    } else {
      while (!model.saved.empty()) {
        sessions_[who]->CommitSub();
        model.saved.pop_back();
      }
      Finish(who, choice < 95);
    }
  }

  Random random_;
  MemoryFileSystem fs_;
  Life life_;
  std::vector<TxSlot> slots_;
  std::vector<std::unique_ptr<Session>> sessions_;
  std::vector<ModelSession> models_;
  Rows committed_;
  std::map<uint64_t, std::size_t> holders_;  // rows removed by sessions that are open
  std::vector<RowVersion> visible_;
  uint64_t next_row_ = 1;
  int conflicts_ = 0;
  int commits_ = 0;
};

TEST(Visibility, SnapshotsSeeWhatWasCommittedAndTheirOwn) {
  for (uint64_t seed = 1; seed <= 40 && !testing::Test::HasFatalFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Interleaving world(seed);
    world.Run(500);
  }
}

TEST(Visibility, ASuccessorIsToldFromAStrangerInItsPlace) {
  MemoryFileSystem fs;
  ASSERT_TRUE(MakeStorage(fs).ok());
  Life life(fs);
  std::vector<TxSlot> slots(1);
  Session session(life.storage, slots, 0);
  TxWord words[3];
  for (TxWord& word : words) {
    word = session.transactions().Begin();
    ASSERT_TRUE(session.transactions().Decide(word, {}, true).ok());
    ASSERT_TRUE(session.transactions().Publish(word).ok());
  }
  VersionHeader before{};
  VersionHeader after{};
  before.remover = words[0].bits();
  after.creator = words[0].bits();
  EXPECT_TRUE(session.visibility().Follows(before, after).value());
  after.creator = words[1].bits();
  EXPECT_FALSE(session.visibility().Follows(before, after).value());
  // Stamped on one side only.
  Scn first = session.transactions().Lookup(words[0]).value().scn;
  after.creator = TxWord::Committed(first).bits();
  EXPECT_TRUE(session.visibility().Follows(before, after).value());
  after.creator = TxWord::Committed(first + 1).bits();
  EXPECT_FALSE(session.visibility().Follows(before, after).value());
}

TEST(Horizon, NeverPassesASnapshotThatIsInUse) {
  MemoryFileSystem fs;
  ASSERT_TRUE(MakeStorage(fs).ok());
  Life life(fs);
  std::vector<TxSlot> slots(2);
  Transactions writer(life.storage, kInstance, slots, 0);
  Transactions reader(life.storage, kInstance, slots, 1);
  Scn snapshot = reader.TakeSnapshot();
  TxWord word = writer.Begin();
  EXPECT_EQ(writer.OldestUnresolved(), word.number());
  ASSERT_TRUE(writer.Decide(word, {}, true).ok());
  ASSERT_TRUE(writer.Publish(word).ok());
  writer.Finished();
  EXPECT_GT(writer.Lookup(word).value().scn, snapshot);
  EXPECT_EQ(writer.Horizon(), snapshot);
  reader.EndSnapshots();
  EXPECT_GT(writer.Horizon(), snapshot);
  EXPECT_EQ(writer.OldestUnresolved(), word.number() + 1);
}

}  // namespace
}  // namespace pgquorum::fusion
