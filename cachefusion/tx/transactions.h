// Transactions of one instance: numbers, outcomes, commit order, snapshots, and what a recovery
// decides.
//
// A commit has two steps, because it must be durable before anybody sees it, and seen by all
// snapshots from one number on:
//   1. decide: the entry says kDeciding (or kPrepared, when PostgreSQL's own commit record
//   decides),
//      and is flushed
//   2. publish: under the commit latch the next commit number is drawn, the entry says kCommitted,
//      and only then the number becomes the one that new snapshots get
// So a snapshot with number S sees exactly the transactions whose entry says kCommitted with at
// most S, and that never changes later. The second step needs no flush: a recovery that finds the
// first publishes.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/status.h"
#include "cachefusion/storage/storage.h"
#include "cachefusion/tx/transaction_table.h"
#include "cachefusion/tx/word.h"

namespace pgquorum::fusion {

// One for each process that may use the storage, in shared memory; zero: idle.
struct TxSlot {
  // No transaction of this process that is not finished has a smaller number.
  std::atomic<uint64_t> oldest_transaction;
  // No snapshot of this process sees fewer commits.
  std::atomic<uint64_t> oldest_snapshot;
};

struct Outcome {
  TxState state = TxState::kActive;  // kActive, kCommitted, kAborted
  Scn scn;                           // kCommitted
};

class Transactions {
 public:
  // `slots`: of all processes; `mine`: the index of this one.
  Transactions(Storage& storage, InstanceId instance, std::span<TxSlot> slots, std::size_t mine)
      : storage_(storage),
        instance_(instance),
        table_(storage, instance),
        slots_(slots),
        mine_(mine) {}

  // The number of a new transaction or subtransaction. Nothing is written.
  TxWord Begin();
  // The latest commit number, protected against Horizon() until EndSnapshots().
  Scn TakeSnapshot();
  // No snapshot of this process is in use any more.
  void EndSnapshots();

  // Step 1, alone or with PostgreSQL deciding (`external` is its full transaction id, not 0).
  // `children`: the subtransactions that did not abort, ascending. `flush`: false only where the
  // user does not want to wait; then a crash may undo the transaction, all of it.
  Status Decide(TxWord transaction, std::span<const TxWord> children, bool flush);
  Status Prepare(TxWord transaction, std::span<const TxWord> children, uint64_t external);
  // Step 2. The process's transaction is finished.
  Status Publish(TxWord transaction);
  // Aborts a transaction or subtransaction, `words` ascending. Not durable, and need not be.
  Status Abort(std::span<const TxWord> words);
  // After Publish or Abort of the top level; also for a transaction that wrote nothing.
  void Finished();

  // Of any word that is neither 0 nor one of this process's own. Never kDeciding, kPrepared or
  // kChild: those are kActive for everybody else, or what their parent is.
  Result<Outcome> Lookup(TxWord word);

  // Versions that were removed by a commit with at most this number are seen by no snapshot.
  Scn Horizon() const;
  // For the control file: all transactions with smaller numbers have their final entry.
  uint64_t OldestUnresolved() const;

  // After a recovery, before anybody else uses the storage: finishes all transactions from
  // `oldest_unresolved` on. `decided(id)`: has PostgreSQL's transaction committed.
  struct Resolution {
    uint64_t committed = 0;
    uint64_t aborted = 0;
    uint64_t by_postgres = 0;  // of both, those that PostgreSQL decided
  };
  Result<Resolution> Resolve(uint64_t oldest_unresolved,
                             const std::function<Result<bool>(uint64_t id)>& decided);

 private:
  TxSlot& slot() { return slots_[mine_]; }
  Status MarkChildren(TxWord transaction, std::span<const TxWord> children);
  Status SetAndFlush(TxWord transaction, TxEntry entry, bool flush);
  Result<uint64_t> LargestScn(uint64_t begin, uint64_t end);
  Status ResolvePage(uint64_t begin, uint64_t end,
                     const std::function<Result<bool>(uint64_t id)>& decided,
                     Resolution& resolution);

  Storage& storage_;
  InstanceId instance_;
  TransactionTable table_;
  std::span<TxSlot> slots_;
  std::size_t mine_;
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
