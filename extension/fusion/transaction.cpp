#include "extension/fusion/transaction.h"

#include "extension/fusion/mixed.h"
#include "extension/fusion/segments.h"

extern "C" {
#include "access/parallel.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "replication/message.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
}

#include "extension/pg/boundary.h"

namespace pgquorum::fusion::server {
namespace {

// Beside the two classes of PostgreSQL's advisory locks, so pg_locks and the deadlock detector know
// them.
constexpr uint16_t kTransactionClass = 17;

bool g_imported_snapshot = false;  // of this transaction

LOCKTAG TagOf(TxWord word) {
  LOCKTAG tag;
  SET_LOCKTAG_ADVISORY(tag, InvalidOid, static_cast<uint32_t>(word.bits() >> 32),
                       static_cast<uint32_t>(word.bits()), kTransactionClass);
  return tag;
}

void BeginWord(Engine& engine, int level, ResourceOwner owner) {
  pg::Boundary([&] { engine.mine.words.reserve(engine.mine.words.size() + 1); });
  TxWord word = engine.transactions.Begin();
  LOCKTAG tag = TagOf(word);
  // It is held until the subtransaction has ended; others wait for it. An error leaves a number
  // behind that nothing refers to.
  ResourceOwner before = CurrentResourceOwner;
  CurrentResourceOwner = owner;
  LockAcquire(&tag, ExclusiveLock, false, false);
  CurrentResourceOwner = before;
  pg::Boundary([&] {
    engine.own.Add(word);
    engine.mine.words.push_back({level, word});
  });
}

void RefuseToWrite() {
  if (IsolationIsSerializable()) {
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("fusion tables do not support SERIALIZABLE transactions"),
                    errhint("Use REPEATABLE READ.")));
  }
  // The leader may: CREATE TABLE AS fills its table from what the workers find.
  if (IsParallelWorker()) {
    ereport(ERROR, (errcode(ERRCODE_INVALID_TRANSACTION_STATE),
                    errmsg("cannot change fusion tables in a parallel worker")));
  }
}

// The commit number of the snapshot that a REPEATABLE READ transaction keeps. It is taken once; who
// comes later with a snapshot without a number has one that is younger (a check of a foreign key).
void NumberTransactionSnapshot(Scn now) {
  if (!IsolationUsesXactSnapshot() || !FirstSnapshotSet) {
    return;
  }
  SnapshotData* first = GetTransactionSnapshot();
  if (first->lsn != InvalidXLogRecPtr) {
    return;
  }
  first->lsn = now.value();
  // Copies that were made before it had its number.
  if (ActiveSnapshotSet() && GetActiveSnapshot()->lsn == InvalidXLogRecPtr) {
    GetActiveSnapshot()->lsn = now.value();
  }
}

// SnapshotData::lsn belongs to old_snapshot_threshold; without that, nobody uses it, it is copied
// with the snapshot, and every new snapshot begins with none.
void Number(Engine& engine, SnapshotData* snapshot) {
  if (snapshot->lsn != InvalidXLogRecPtr) {
    return;
  }
  engine.mine.snapshots = true;
  Scn now = engine.transactions.TakeSnapshot();
  NumberTransactionSnapshot(now);
  snapshot->lsn = now.value();
}

// Something that must not fail has: half a transaction would be visible, or nobody could tell its
// outcome. The server starts again and the recovery decides.
[[noreturn]] void Panic(const char* what, const pg::ErrorText& error) {
  ereport(PANIC, (errmsg("%s: %s", what, error.message), errdetail_internal("%s", error.detail)));
  pg_unreachable();
}

std::vector<TxWord> Children(const OwnState& mine) {
  std::vector<TxWord> children;
  for (std::size_t i = 1; i < mine.words.size(); ++i) {
    children.push_back(mine.words[i].word);
  }
  return children;
}

Status PrepareWords(Engine& engine, uint64_t external) {
  if (engine.mine.words.empty()) {
    // Segments that the catalogs will name: on disk before the catalogs say so.
    return engine.storage.FlushRedo(engine.storage.redo().end());
  }
  Status prepared =
      engine.transactions.Prepare(engine.mine.words[0].word, Children(engine.mine), external);
  engine.mine.prepared = prepared.ok();
  return prepared;
}

Status CommitWords(Engine& engine, bool flush) {
  TxWord top = engine.mine.words[0].word;
  if (!engine.mine.prepared) {
    Status decided = engine.transactions.Decide(top, Children(engine.mine), flush);
    if (!decided.ok()) {
      return decided;
    }
  }
  return engine.transactions.Publish(top);
}

// Aborts the words from the position `first` on and forgets them. Nothing may be raised here. A
// word that could not be marked would hold its rows for ever, so the storage is then used no more.
void AbortWords(Engine& engine, std::size_t first) {
  constexpr int kTries = 100;  // every frame may be in use for a moment
  std::vector<OwnState::Word>& words = engine.mine.words;
  if (first >= words.size()) {
    return;
  }
  pg::ErrorText error = {};
  auto abort = [&]() -> Status {
    std::vector<TxWord> aborted;
    for (std::size_t i = first; i < words.size(); ++i) {
      aborted.push_back(words[i].word);
    }
    Status status = Status::Ok();
    for (int i = 0; i < kTries; ++i) {
      status = engine.transactions.Abort(aborted);
      if (status.ok()) {
        break;
      }
    }
    return status;
  };
  if (!pg::Attempt(abort, error)) {
    engine.storage.shared().redo.broken.store(1);
    ereport(LOG, (errmsg("could not abort a fusion transaction: %s", error.message)));
  }
  engine.own.RemoveFrom(words[first].word);
  words.resize(first);
}

void Finish(Engine& engine) {
  engine.mine.words.clear();
  engine.own.Clear();
  engine.mine.prepared = false;
  engine.transactions.Finished();
  engine.transactions.EndSnapshots();
  engine.mine.snapshots = false;
}

bool Concerned(const Engine* engine) {
  return engine != nullptr && (engine->mine.snapshots || HasChanges());
}

}  // namespace

Writer CurrentWriter(uint32_t command) {
  Engine& engine = Use();
  std::vector<OwnState::Word>& words = engine.mine.words;
  int level = GetCurrentTransactionNestLevel();
  if (words.empty() || words.back().level != level) {
    RefuseToWrite();
    if (words.empty()) {
      BeginWord(engine, 1, TopTransactionResourceOwner);
    }
    if (level > 1) {
      BeginWord(engine, level, CurTransactionResourceOwner);
    }
  }
  return {words.back().word, command, false};
}

Snapshot SeenBy(SnapshotData* snapshot) {
  Engine& engine = Use();
  if (IsolationIsSerializable()) {
    RefuseToWrite();
  }
  if (old_snapshot_threshold >= 0) {
    ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                    errmsg("fusion tables cannot be read while old_snapshot_threshold is set"),
                    errhint("Set old_snapshot_threshold to -1 and restart the server.")));
  }
  if (g_imported_snapshot) {
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("fusion tables cannot be read with an imported snapshot"),
                    errhint("Run pg_dump without --jobs.")));
  }
  Number(engine, snapshot);
  return {Scn(snapshot->lsn), snapshot->curcid};
}

void Announce(Engine& engine) {
  if (!engine.mine.snapshots) {
    engine.mine.snapshots = true;
    engine.transactions.TakeSnapshot();
  }
}

bool AwaitEnd(TxWord word, Patience patience) {
  LOCKTAG tag = TagOf(word);
  if (LockAcquire(&tag, ShareLock, false, patience == Patience::kNone) == LOCKACQUIRE_NOT_AVAIL) {
    return false;
  }
  LockRelease(&tag, ShareLock, false);
  if (Use().storage.broken()) {
    // Its owner may have ended without being able to say how.
    ereport(ERROR, (errcode(MAKE_SQLSTATE('R', 'X', '3', '0', '2')),
                    errmsg("fusion storage is broken by an earlier error"),
                    errhint("Restart the server.")));
  }
  return true;
}

void NoteSnapshot(SnapshotData* snapshot) {
  if (snapshot == nullptr || snapshot->snapshot_type != SNAPSHOT_MVCC ||
      old_snapshot_threshold >= 0) {
    return;
  }
  Engine* engine = UseIfOpen();
  if (engine != nullptr) {
    Number(*engine, snapshot);
  }
}

void NoteImportedSnapshot() {
  g_imported_snapshot = true;
}

bool HasChanges() {
  const Engine* engine = Attached();
  return engine != nullptr && (!engine->mine.words.empty() || !engine->mine.segments.empty() ||
                               !engine->mine.databases.empty());
}

void BeforePrepare() {
  if (HasChanges()) {
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("cannot PREPARE a transaction that has changed fusion tables")));
  }
}

void BeforeCommit() {
  FullTransactionId external = GetTopFullTransactionIdIfAny();
  if (FullTransactionIdIsValid(external)) {
    NoteReplacedIndexes();
  }
  if (!HasChanges() || !FullTransactionIdIsValid(external)) {
    return;
  }
  Engine& engine = *Attached();
  // The recovery asks for the outcome by this number. It must not be given out again after a crash
  // that loses the commit record: a record that carries it is durable first.
  XLogFlush(LogLogicalMessage("pgquorum", "", 0, false));
  pg::Boundary(
      [&]() -> Status { return PrepareWords(engine, U64FromFullTransactionId(external)); });
  // What is published after the commit record must not outlive it.
  ForceSyncCommit();
}

void AfterCommit() {
  g_imported_snapshot = false;
  EndMixed();
  Engine* engine = Attached();
  if (!Concerned(engine)) {
    return;
  }
  if (!engine->mine.words.empty()) {
    bool flush = synchronous_commit > SYNCHRONOUS_COMMIT_OFF;
    pg::ErrorText error = {};
    if (!pg::Attempt([&]() -> Status { return CommitWords(*engine, flush); }, error)) {
      Panic("could not finish the commit of a fusion transaction", error);
    }
  }
  EndSegments(*engine, true);
  Finish(*engine);
}

void AfterAbort() {
  g_imported_snapshot = false;
  EndMixed();
  Engine* engine = Attached();
  if (engine == nullptr) {
    return;
  }
  AbortWords(*engine, 0);
  EndSegments(*engine, false);
  Finish(*engine);
}

void EndSubtransaction(bool committed) {
  int level = GetCurrentTransactionNestLevel();
  EndMixedOfSubtransaction(level, committed);
  Engine* engine = Attached();
  if (engine == nullptr || !HasChanges()) {
    return;
  }
  std::vector<OwnState::Word>& words = engine->mine.words;
  std::size_t first = words.size();
  while (first > 0 && words[first - 1].level >= level) {
    --first;
  }
  if (committed) {
    for (std::size_t i = first; i < words.size(); ++i) {
      words[i].level = level - 1;
    }
  } else {
    AbortWords(*engine, first);
  }
  EndSegmentsOfSubtransaction(*engine, level, committed);
}

}  // namespace pgquorum::fusion::server
