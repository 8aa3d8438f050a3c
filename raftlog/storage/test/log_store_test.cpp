#include "raftlog/storage/log_store.h"

#include "raftlog/errors.h"
#include "raftlog/storage/errors.h"
#include "raftlog/storage/test/store_fixture.h"

#include "base/pure.h"

namespace pgquorum::raft {
namespace {

#define ASSERT_OK(expression)                        \
  do {                                               \
    Status status_ = (expression);                   \
    ASSERT_TRUE(status_.ok()) << status_.ToString(); \
  } while (false)

class LogStoreTest : public ::testing::Test {
 protected:
  void Open() {
    store_.reset();
    Result<Store> store = OpenStore(fs());
    ASSERT_TRUE(store.ok()) << store.status().ToString();
    store_.emplace(std::move(store).value());
  }
  // The process is gone, and with it what the loss model says.
  void Reopen(MemoryLoss loss = MemoryLoss::kAll) {
    store_.reset();
    fs().PowerCycle(random_, loss);
    Open();
  }
  void Fill(uint64_t from, uint64_t to, uint64_t term, std::size_t bytes = 300) {
    for (uint64_t i = from; i <= to; ++i) {
      ASSERT_OK(store_->Append({MakeEntry(i, term, std::string(bytes, static_cast<char>(i)))}));
    }
  }
  MemoryFileSystem& fs() { return *owned_; }
  void Wipe() {
    store_.reset();
    owned_ = std::make_unique<MemoryFileSystem>();
  }
  static std::string Segment(uint64_t sequence) { return JoinPath(kDir, SegmentName(sequence)); }

  Random random_{42};
  std::unique_ptr<MemoryFileSystem> owned_ = std::make_unique<MemoryFileSystem>();
  std::optional<Store> store_;
};

TEST_F(LogStoreTest, IsPristineUntilWrittenTo) {
  Open();
  EXPECT_TRUE(store_->log->pristine());
  ASSERT_OK(store_->SetHardState(1, 3));
  Reopen();
  EXPECT_FALSE(store_->log->pristine());
  EXPECT_EQ(store_->log->recovered().hard_state.vote, NodeId(3));
}

TEST_F(LogStoreTest, KeepsEntriesTermAndVote) {
  Open();
  ASSERT_OK(store_->SetHardState(3, 2));
  ASSERT_OK(store_->Append({MakeEntry(1, 1, "a"), MakeEntry(2, 3, "")}));
  ASSERT_OK(store_->Append({MakeEntry(3, 3, std::string(100'000, 'x'))}));  // above a segment
  Reopen();
  const RecoveredState& r = store_->log->recovered();
  EXPECT_EQ(r.hard_state.term, Term(3));
  EXPECT_EQ(r.hard_state.vote, NodeId(2));
  EXPECT_EQ(r.first, Index(1));
  EXPECT_EQ(r.last, Index(3));
  EXPECT_EQ(r.term_starts, (std::vector<TermStart>{{Index(1), Term(1)}, {Index(2), Term(3)}}));
  std::vector<Entry> all = store_->All();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].data, "a");
  EXPECT_EQ(all[2].data, std::string(100'000, 'x'));
  EXPECT_EQ(store_->log->damage(), "");
  EXPECT_EQ(r.refill_term, Term());
}

TEST_F(LogStoreTest, AnEntryReplacesTheTailAcrossSegments) {
  Open();
  Fill(1, 400, 1);
  ASSERT_GT(store_->log->stats().segments, 2u);
  ASSERT_OK(store_->Append({MakeEntry(100, 2, "new"), MakeEntry(101, 2, "er")}));
  for (int round = 0; round < 2; ++round) {
    std::vector<Entry> all = store_->All();
    ASSERT_EQ(all.size(), 101u);
    EXPECT_EQ(all[98].term, Term(1));
    EXPECT_EQ(all[99].data, "new");
    EXPECT_EQ(all[100].data, "er");
    Reopen();
  }
}

TEST_F(LogStoreTest, ReadStopsAtItsLimit) {
  Open();
  Fill(1, 10, 1, 100);
  Result<std::vector<Entry>> one = store_->log->Read(Index(3), Index(10), 1);
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(one.value().size(), 1u);
  Result<std::vector<Entry>> some =
      store_->log->Read(Index(3), Index(10), 3 * (100 + kEntryOverheadBytes) - 1);
  ASSERT_TRUE(some.ok());
  EXPECT_EQ(some.value().size(), 3u);
  EXPECT_FALSE(store_->log->Read(Index(11), Index(11), 1).ok());
}

TEST_F(LogStoreTest, ReportsConfigurationsAboveTheSnapshot) {
  Open();
  ASSERT_OK(store_->Append({MakeEntry(1, 1, "one", EntryType::kConfig), MakeEntry(2, 1, "x"),
                            MakeEntry(3, 1, "three", EntryType::kConfig)}));
  Reopen();
  ASSERT_EQ(store_->log->recovered().config_entries.size(), 2u);
  EXPECT_EQ(store_->log->recovered().config_entries[1].data, "three");
  ASSERT_OK(store_->Append({MakeEntry(3, 2, "replaced")}));
  Reopen();
  EXPECT_EQ(store_->log->recovered().config_entries.size(), 1u);
}

TEST_F(LogStoreTest, ReleasesAndRecyclesSegments) {
  Open();
  std::string state = "state";
  for (uint64_t from = 1; from < 4000; from += 200) {
    Fill(from, from + 199, 1);
    SnapshotMeta meta = MetaOf(from + 199, 1, state);
    ASSERT_OK(store_->snapshots->Save(meta, state));
    ASSERT_OK(store_->log->MarkSnapshot(meta));
    ASSERT_OK(store_->log->Release(meta.index - 50));
    ASSERT_OK(store_->snapshots->RemoveOlder(meta.index));
  }
  LogStoreStats stats = store_->log->stats();
  EXPECT_LE(stats.segments, 3u);
  EXPECT_GT(stats.segments_recycled, 5u);
  EXPECT_EQ(stats.last, Index(4000));
  EXPECT_LE(stats.first, Index(3951));
  Reopen();
  EXPECT_EQ(store_->log->recovered().snapshot.index, Index(4000));
  EXPECT_EQ(store_->log->recovered().last, Index(4000));
  EXPECT_EQ(store_->All().back().index, Index(4000));
}

TEST_F(LogStoreTest, AnInstalledSnapshotReplacesTheLog) {
  Open();
  Fill(1, 20, 1);
  std::string state(3000, 's');
  SnapshotMeta meta = MetaOf(500, 4, state);
  for (uint64_t at = 0; at < state.size(); at += 1000) {
    Result<uint64_t> next =
        store_->snapshots->WritePiece(meta, at, std::string_view(state).substr(at, 1000));
    ASSERT_TRUE(next.ok());
    ASSERT_EQ(next.value(), at + 1000);
  }
  ASSERT_OK(store_->snapshots->Publish(meta));
  Persist persist;
  persist.install_snapshot = meta;
  persist.entries = {MakeEntry(501, 4, "after")};
  ASSERT_OK(store_->Write(std::move(persist)));
  ASSERT_OK(store_->log->Release(Index(500)));
  Reopen();
  const RecoveredState& r = store_->log->recovered();
  EXPECT_EQ(r.snapshot, meta);
  EXPECT_EQ(r.first, Index(501));
  EXPECT_EQ(r.last, Index(501));
  Result<std::string> loaded = store_->snapshots->Load(meta);
  ASSERT_TRUE(loaded.ok());
  EXPECT_EQ(loaded.value(), state);
}

TEST_F(LogStoreTest, ATornTailIsDroppedWithoutDamage) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Wipe();
    random_ = Random(seed);
    Open();
    ASSERT_OK(store_->SetHardState(1, 7));
    Fill(1, 5, 1);
    uint64_t before = fs().operations();
    fs().FailAt(before + 1, MemoryFault::kCrash);
    std::vector<Entry> tail;
    for (uint64_t i = 6; i <= 25; ++i) {
      tail.push_back(MakeEntry(i, 1, std::string(200, 't')));
    }
    EXPECT_FALSE(store_->Append(tail).ok());
    Reopen(MemoryLoss::kRandom);
    EXPECT_EQ(store_->log->damage(), "");
    std::vector<Entry> all = store_->All();
    ASSERT_GE(all.size(), 5u);
    // And the log goes on, through another crash, as if nothing had been there.
    uint64_t last = all.size();
    Fill(last + 1, last + 3, 2);
    Reopen(MemoryLoss::kAll);
    EXPECT_EQ(store_->log->damage(), "");
    EXPECT_EQ(store_->All().size(), last + 3);
    EXPECT_EQ(store_->All().back().term, Term(2));
  }
}

// Every bit of what was durable: the log either shows no difference or says that it is damaged and
// what it must have again. It never just ends earlier.
TEST_F(LogStoreTest, AFlippedBitIsNeverTakenForATornTail) {
  Open();
  ASSERT_OK(store_->SetHardState(5, 2));
  Fill(1, 12, 5, 60);
  ASSERT_OK(store_->log->Prove());
  std::vector<Entry> written = store_->All();
  store_.reset();
  std::string content = fs().Content(Segment(1));
  std::size_t end = content.find_last_not_of('\0') + 1;
  std::size_t last_record = end;  // flips in the proof itself are of no consequence
  for (std::size_t bit = 0; bit < (last_record - 80) * 8; bit += 3) {
    fs().FlipBit(Segment(1), bit);
    Result<Store> store = OpenStore(fs());
    if (!store.ok()) {
      // The only header is lost: nothing is left to go on from.
      EXPECT_LT(bit / 8, kSegmentHeaderBytes);
    } else {
      std::vector<Entry> all = store.value().All();
      ASSERT_LE(all.size(), written.size());
      EXPECT_TRUE(std::equal(all.begin(), all.end(), written.begin()));
      const RecoveredState& r = store.value().log->recovered();
      if (all.size() < written.size()) {
        EXPECT_NE(store.value().log->damage(), "") << "bit " << bit;
        EXPECT_EQ(r.refill_term, Term(5)) << "bit " << bit;
        EXPECT_EQ(r.refill_index, Index(12)) << "bit " << bit;
      }
      EXPECT_EQ(r.hard_state.term, Term(5)) << "bit " << bit;
      EXPECT_EQ(r.hard_state.vote, NodeId(2)) << "bit " << bit;
    }
    // Undo: a damaged open has begun a new segment.
    store = Status::Error(kErrIo, "closed");
    Result<std::vector<std::string>> names = fs().List(kDir);
    ASSERT_TRUE(names.ok());
    for (const std::string& name : names.value()) {
      if (ParseSegmentName(name).value_or(1) != 1) {
        ASSERT_OK(fs().Remove(JoinPath(kDir, name)));
      }
    }
    fs().Overwrite(Segment(1), 0, content);
  }
}

TEST_F(LogStoreTest, DamageIsRememberedUntilTheRefillIsDone) {
  Open();
  ASSERT_OK(store_->SetHardState(3, 0));
  Fill(1, 20, 3);
  fs().FlipBit(Segment(1), 2000 * 8);
  for (int round = 0; round < 3; ++round) {
    Reopen();
    EXPECT_EQ(store_->log->recovered().refill_index, Index(20)) << round;
    EXPECT_EQ(store_->log->recovered().hard_state.vote, kNode);  // its own vote may be lost
    EXPECT_LT(store_->log->recovered().last, Index(20));
  }
  EXPECT_EQ(store_->log->damage(), "");  // it is repaired, not forgotten
  uint64_t next = store_->log->recovered().last.value() + 1;
  Fill(next, 21, 4);
  Reopen();
  EXPECT_EQ(store_->log->recovered().refill_index, Index(20));
  store_->log->RefillDone();
  Fill(22, 22, 4);
  Reopen();
  EXPECT_EQ(store_->log->recovered().refill_index, Index());
  EXPECT_EQ(store_->All().size(), 22u);
}

TEST_F(LogStoreTest, ALostMiddleSegmentIsDamage) {
  Open();
  Fill(1, 600, 2);
  ASSERT_GE(store_->log->stats().segments, 3u);
  store_.reset();
  fs().PowerCycle(random_, MemoryLoss::kAll);
  ASSERT_TRUE(fs().Remove(Segment(2)).ok());
  Open();
  EXPECT_NE(store_->log->damage(), "");
  EXPECT_EQ(store_->log->recovered().refill_index, Index(600));
  EXPECT_EQ(store_->log->recovered().last, Index());  // what precedes cannot be attached
}

TEST_F(LogStoreTest, ALostSegmentHeaderIsDamage) {
  for (uint64_t lost = 1; lost <= 4; ++lost) {
    Wipe();
    Open();
    Fill(1, 500, 2);
    ASSERT_EQ(store_->log->stats().segments, 4u);
    store_.reset();
    fs().PowerCycle(random_, MemoryLoss::kAll);
    fs().Overwrite(Segment(lost), 0, std::string(100, '\xAA'));
    Open();
    EXPECT_NE(store_->log->damage(), "");
    EXPECT_EQ(store_->log->recovered().refill_index, Index(500)) << lost;
    EXPECT_EQ(store_->log->recovered().refill_term, Term(2)) << lost;
    std::vector<Entry> all = store_->All();
    EXPECT_EQ(all.empty(), lost == 1);
    Fill(all.size() + 1, all.size() + 5, 3);
    Reopen();
    EXPECT_EQ(store_->All().size(), all.size() + 5);
  }
}

// What is left in front of the damage may be a tail that had been replaced, and committed, since:
// the snapshot counts, not the entries that lie where it ends.
TEST_F(LogStoreTest, AReplacedTailIsNotPutUnderASnapshot) {
  Open();
  Fill(1, 10, 3);
  uint64_t replacement = store_->log->stats().bytes_written;
  Fill(4, 8, 4);
  SnapshotMeta meta = MetaOf(6, 4, "state");
  ASSERT_OK(store_->snapshots->Save(meta, "state"));
  ASSERT_OK(store_->log->MarkSnapshot(meta));
  Fill(9, 12, 4);
  store_.reset();
  fs().PowerCycle(random_, MemoryLoss::kAll);
  fs().FlipBit(Segment(1), (replacement + 80) * 8);
  Open();
  EXPECT_NE(store_->log->damage(), "");
  const RecoveredState& found = store_->log->recovered();
  EXPECT_EQ(found.snapshot.index, Index(6));
  EXPECT_EQ(found.first, Index(7));
  EXPECT_EQ(found.last, Index(6));
  EXPECT_EQ(found.refill_term, Term(4));
  EXPECT_EQ(found.refill_index, Index(12));
}

TEST_F(LogStoreTest, AMissingSnapshotIsDamageOnceTheLogIsReleased) {
  Open();
  Fill(1, 500, 1);
  SnapshotMeta meta = MetaOf(500, 1, "state");
  ASSERT_OK(store_->snapshots->Save(meta, "state"));
  ASSERT_OK(store_->log->MarkSnapshot(meta));
  store_.reset();
  fs().PowerCycle(random_, MemoryLoss::kAll);
  fs().FlipBit(JoinPath(kDir, SnapshotStore::Name(meta.index, meta.term)), 3);
  Open();
  // The whole log is still there: nothing is lost.
  EXPECT_EQ(store_->log->damage(), "");
  EXPECT_EQ(store_->log->recovered().snapshot.index, Index());
  EXPECT_EQ(store_->log->recovered().last, Index(500));
  ASSERT_OK(store_->snapshots->Save(meta, "state"));
  ASSERT_OK(store_->log->MarkSnapshot(meta));
  ASSERT_OK(store_->log->Release(Index(400)));
  store_.reset();
  fs().PowerCycle(random_, MemoryLoss::kNone);  // else the released segments come back
  fs().FlipBit(JoinPath(kDir, SnapshotStore::Name(meta.index, meta.term)), 3);
  Open();
  EXPECT_NE(store_->log->damage(), "");
  EXPECT_EQ(store_->log->recovered().refill_index, Index(500));
  EXPECT_EQ(store_->log->recovered().last, Index());
}

// The release of one snapshot may be carried out when the next is published but not marked yet.
TEST_F(LogStoreTest, ReleasingASnapshotKeepsTheNextOne) {
  Open();
  Fill(1, 10, 1);
  SnapshotMeta first = MetaOf(5, 1, "five");
  SnapshotMeta second = MetaOf(10, 1, "ten");
  ASSERT_OK(store_->snapshots->Save(first, "five"));
  ASSERT_OK(store_->log->MarkSnapshot(first));
  ASSERT_OK(store_->snapshots->Save(second, "ten"));
  ASSERT_OK(store_->snapshots->RemoveOlder(first.index));
  ASSERT_OK(store_->log->MarkSnapshot(second));
  ASSERT_OK(store_->snapshots->RemoveOlder(second.index));
  EXPECT_EQ(store_->snapshots->Verify(first.index, first.term).status().sqlstate(),
            kErrFileMissing);
  Reopen();
  EXPECT_EQ(store_->log->recovered().snapshot, second);
}

TEST_F(LogStoreTest, ADiskErrorIsFinal) {
  for (MemoryFault fault :
       {MemoryFault::kIoError, MemoryFault::kNoSpace, MemoryFault::kShortWrite}) {
    for (uint64_t step : {1, 2}) {  // the write, the sync
      Wipe();
      Open();
      Fill(1, 3, 1);
      fs().FailAt(fs().operations() + step, fault);
      Status failed = store_->Append({MakeEntry(4, 1, "x")});
      ASSERT_FALSE(failed.ok());
      uint64_t operations = fs().operations();
      EXPECT_EQ(store_->Append({MakeEntry(4, 1, "x")}).ToString(), failed.ToString());
      EXPECT_EQ(store_->SetHardState(9, 9).ToString(), failed.ToString());
      EXPECT_FALSE(store_->log->Prove().ok());
      EXPECT_EQ(fs().operations(), operations);  // the disk is not touched again
      Reopen(MemoryLoss::kRandom);
      EXPECT_EQ(store_->log->damage(), "");
      EXPECT_GE(store_->All().size(), 3u);
    }
  }
}

// After a failed sync the next process reads what the disk has not got, and no sync helps: whatever
// it finds, it must be able to promise.
TEST_F(LogStoreTest, WhatAFailedSyncLeftReadableIsWrittenAnew) {
  bool failed = true;
  for (uint64_t step = 1; failed; ++step) {
    Wipe();
    Open();
    ASSERT_OK(store_->SetHardState(1, 2));
    fs().FailAt(fs().operations() + step, MemoryFault::kIoError);
    failed = false;
    for (uint64_t i = 1; i <= 12 && !failed; ++i) {  // across two segments
      Persist persist;
      persist.hard_state = HardState{Term(i), NodeId(i % 3), Index()};
      persist.entries = {MakeEntry(i, i, std::string(9'000, static_cast<char>('a' + i)))};
      failed = !store_->Write(std::move(persist)).ok();
    }
    Reopen(MemoryLoss::kNone);
    std::vector<Entry> read = store_->All();
    HardState state = store_->log->recovered().hard_state;
    Reopen(MemoryLoss::kAll);
    EXPECT_EQ(store_->log->damage(), "") << step;
    EXPECT_EQ(store_->All(), read) << step;
    EXPECT_EQ(store_->log->recovered().hard_state, state) << step;
  }
}

TEST_F(LogStoreTest, ATailThatCannotBeWrittenAnewIsNotAdopted) {
  for (uint64_t step : {1, 2}) {  // the write, the sync
    Wipe();
    Open();
    Fill(1, 3, 1);
    fs().FailAt(fs().operations() + 2, MemoryFault::kIoError);
    ASSERT_FALSE(store_->Append({MakeEntry(4, 1, "x")}).ok());
    store_.reset();
    fs().PowerCycle(random_, MemoryLoss::kNone);
    fs().FailAt(fs().operations() + step, MemoryFault::kIoError);
    EXPECT_EQ(OpenStore(fs()).status().sqlstate(), kErrIo);
    Reopen(MemoryLoss::kNone);
    EXPECT_EQ(store_->All().size(), 4u);
    Reopen(MemoryLoss::kAll);
    EXPECT_EQ(store_->All().size(), 4u);
  }
}

TEST_F(LogStoreTest, RefusesForeignCopiedLockedAndEmptiedDirectories) {
  Open();
  Fill(1, 3, 1);
  EXPECT_EQ(OpenStore(fs()).status().sqlstate(), kErrInUse);
  store_.reset();
  EXPECT_EQ(OpenStore(fs(), kDir, NodeId(8)).status().sqlstate(), kErrForeign);
  EXPECT_EQ(StateDirectory::Open(fs(), kDir, {kCluster + 1, kNode}, false).status().sqlstate(),
            kErrForeign);
  fs().RenumberDirectory(kDir);
  EXPECT_EQ(OpenStore(fs()).status().sqlstate(), kErrForeign);
  ASSERT_TRUE(StateDirectory::Open(fs(), kDir, {kCluster, kNode}, true).ok());
  EXPECT_TRUE(OpenStore(fs()).ok());
  ASSERT_TRUE(fs().Remove(Segment(1)).ok());
  EXPECT_EQ(OpenStore(fs()).status().sqlstate(), kErrDamaged);
}

TEST_F(LogStoreTest, ARetiredDirectoryIsRefused) {
  Open();
  Fill(1, 3, 1);
  EXPECT_EQ(StateDirectory::Retire(fs(), kDir, {kCluster, kNode}).sqlstate(), kErrInUse);
  store_.reset();
  EXPECT_EQ(StateDirectory::Retire(fs(), kDir, {kCluster, NodeId(8)}).sqlstate(), kErrForeign);
  ASSERT_OK(StateDirectory::Retire(fs(), kDir, {kCluster, kNode}));
  EXPECT_EQ(OpenStore(fs()).status().sqlstate(), kErrDamaged);
  EXPECT_EQ(StateDirectory::Open(fs(), kDir, {kCluster, kNode}, true).status().sqlstate(),
            kErrDamaged);
  ASSERT_OK(StateDirectory::Retire(fs(), kDir, {kCluster, kNode}));
}

TEST_F(LogStoreTest, RefusesALogWithoutIdentity) {
  Open();
  Fill(1, 3, 1);
  store_.reset();
  ASSERT_TRUE(fs().Remove(JoinPath(kDir, "identity")).ok());
  EXPECT_EQ(OpenStore(fs()).status().sqlstate(), kErrDamaged);
}

}  // namespace
}  // namespace pgquorum::raft
