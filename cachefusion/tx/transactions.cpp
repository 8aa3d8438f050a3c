#include "cachefusion/tx/transactions.h"

#include <algorithm>

#include "base/check.h"
#include "base/storage/errors.h"

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

std::vector<uint64_t> NumbersOf(std::span<const TxWord> words) {
  std::vector<uint64_t> numbers;
  for (TxWord word : words) {
    numbers.push_back(word.number());
  }
  PGQUORUM_CHECK(std::is_sorted(numbers.begin(), numbers.end()));
  return numbers;
}

}  // namespace

TxWord Transactions::Begin() {
  StorageShared& shared = storage_.shared();
  if (slot().oldest_transaction.load() == 0) {
    // A bound before the number, so that no checkpoint overlooks it: see OldestUnresolved().
    slot().oldest_transaction.store(shared.next_transaction.load());
  }
  return TxWord::Of(instance_, shared.next_transaction.fetch_add(1));
}

Scn Transactions::TakeSnapshot() {
  StorageShared& shared = storage_.shared();
  if (slot().oldest_snapshot.load() == 0) {
    // A bound first and the number afterwards: a Horizon() that did not see the bound was computed
    // from a number that is at most the one read now.
    slot().oldest_snapshot.store(shared.scn.load());
  }
  return Scn(shared.scn.load());
}

void Transactions::EndSnapshots() {
  slot().oldest_snapshot.store(0);
}

void Transactions::Finished() {
  slot().oldest_transaction.store(0);
}

Scn Transactions::Horizon() const {
  uint64_t horizon = storage_.shared().scn.load();
  for (const TxSlot& slot : slots_) {
    uint64_t snapshot = slot.oldest_snapshot.load();
    if (snapshot != 0) {
      horizon = std::min(horizon, snapshot);
    }
  }
  return Scn(horizon);
}

uint64_t Transactions::OldestUnresolved() const {
  uint64_t oldest = storage_.shared().next_transaction.load();
  for (const TxSlot& slot : slots_) {
    uint64_t transaction = slot.oldest_transaction.load();
    if (transaction != 0) {
      oldest = std::min(oldest, transaction);
    }
  }
  return oldest;
}

Status Transactions::MarkChildren(TxWord transaction, std::span<const TxWord> children) {
  if (children.empty()) {
    return Status::Ok();
  }
  return table_.Write(NumbersOf(children), {TxState::kChild, transaction.number()}).status();
}

Status Transactions::SetAndFlush(TxWord transaction, TxEntry entry, bool flush) {
  uint64_t number = transaction.number();
  Result<RedoAddress> end = table_.Write({&number, 1}, entry);
  if (!end.ok() || !flush) {
    return end.status();
  }
  return storage_.FlushRedo(end.value());
}

Status Transactions::Decide(TxWord transaction, std::span<const TxWord> children, bool flush) {
  Status marked = MarkChildren(transaction, children);
  return marked.ok() ? SetAndFlush(transaction, {TxState::kDeciding, 0}, flush) : marked;
}

Status Transactions::Prepare(TxWord transaction, std::span<const TxWord> children,
                             uint64_t external) {
  PGQUORUM_CHECK(external != 0);
  Status marked = MarkChildren(transaction, children);
  // Always flushed: PostgreSQL's record may become durable at any moment from here on.
  return marked.ok() ? SetAndFlush(transaction, {TxState::kPrepared, external}, true) : marked;
}

Status Transactions::Publish(TxWord transaction) {
  Result<PageGuard> guard = table_.Hold(transaction.number());
  if (!guard.ok()) {
    return guard.status();
  }
  LatchHold hold(storage_.latches(), kCommitLatch, LatchMode::kExclusive);
  uint64_t scn = storage_.shared().scn.load() + 1;
  Mutation mutation(storage_.pages(), transaction.bits());
  TransactionTable::Change(mutation, guard.value(), transaction.number(),
                           {TxState::kCommitted, scn});
  Result<RedoAddress> end = mutation.Commit();
  if (end.ok()) {
    storage_.shared().scn.store(scn);
  }
  return end.status();
}

Status Transactions::Abort(std::span<const TxWord> words) {
  return words.empty() ? Status::Ok()
                       : table_.Write(NumbersOf(words), {TxState::kAborted, 0}).status();
}

Result<Outcome> Transactions::Lookup(TxWord word) {
  if (word.stamped()) {
    return word.never() ? Outcome{TxState::kAborted, Scn()}
                        : Outcome{TxState::kCommitted, word.scn()};
  }
  PGQUORUM_CHECK(!word.none());
  if (word.instance() != instance_) {
    return Status::Error(kErrStorageClosed, "a row was written by an instance that is not known");
  }
  uint64_t number = word.number();
  for (;;) {
    Result<TxEntry> entry = table_.Read(number);
    if (!entry.ok()) {
      return entry.status();
    }
    switch (entry.value().state) {
      case TxState::kCommitted:
        return Outcome{TxState::kCommitted, Scn(entry.value().value)};
      case TxState::kAborted:
        return Outcome{TxState::kAborted, Scn()};
      case TxState::kChild:
        if (entry.value().value >= number) {
          return Status::Error(kErrDamaged, "transaction table names a parent after its child");
        }
        number = entry.value().value;
        break;
      default:
        return Outcome{};
    }
  }
}

Result<uint64_t> Transactions::LargestScn(uint64_t begin, uint64_t end) {
  uint64_t largest = storage_.shared().scn.load();
  for (uint64_t number = begin; number < end; ++number) {
    Result<TxEntry> entry = table_.Read(number);
    if (!entry.ok()) {
      return entry.status();
    }
    if (entry.value().state == TxState::kCommitted) {
      largest = std::max(largest, entry.value().value);
    }
  }
  return largest;
}

Status Transactions::ResolvePage(uint64_t begin, uint64_t end,
                                 const std::function<Result<bool>(uint64_t id)>& decided,
                                 Resolution& resolution) {
  Result<PageGuard> guard = table_.Hold(begin);
  if (!guard.ok()) {
    return guard.status();
  }
  // All questions before the first change: a change that was begun is committed.
  std::vector<std::pair<uint64_t, TxEntry>> changes;
  uint64_t scn = storage_.shared().scn.load();
  for (uint64_t number = begin; number < end; ++number) {
    TxEntry entry = TransactionTable::EntryOn(guard.value(), number);
    bool committed = entry.state == TxState::kDeciding;
    if (entry.state == TxState::kPrepared) {
      Result<bool> answer = decided(entry.value);
      if (!answer.ok()) {
        return answer.status();
      }
      committed = answer.value();
      ++resolution.by_postgres;
    } else if (entry.state != TxState::kActive && !committed) {
      continue;
    }
    ++(committed ? resolution.committed : resolution.aborted);
    changes.emplace_back(
        number, committed ? TxEntry{TxState::kCommitted, ++scn} : TxEntry{TxState::kAborted, 0});
  }
  if (changes.empty()) {
    return Status::Ok();
  }
  Mutation mutation(storage_.pages(), 0);
  for (const auto& [number, entry] : changes) {
    TransactionTable::Change(mutation, guard.value(), number, entry);
  }
  Status status = mutation.Commit().status();
  if (status.ok()) {
    storage_.shared().scn.store(scn);
  }
  return status;
}

Result<Transactions::Resolution> Transactions::Resolve(
    uint64_t oldest_unresolved, const std::function<Result<bool>(uint64_t id)>& decided) {
  uint64_t end = storage_.shared().next_transaction.load();
  // New commit numbers must lie above all that are on the disk, which the control file may not
  // know.
  Result<uint64_t> largest = LargestScn(oldest_unresolved, end);
  if (!largest.ok()) {
    return largest.status();
  }
  storage_.shared().scn.store(largest.value());
  Resolution resolution;
  for (uint64_t begin = oldest_unresolved; begin < end;) {
    uint64_t page_end = std::min<uint64_t>(end, (begin / kEntriesPerPage + 1) * kEntriesPerPage);
    Status resolved = ResolvePage(begin, page_end, decided, resolution);
    if (!resolved.ok()) {
      return resolved;
    }
    begin = page_end;
  }
  // PostgreSQL forgets old transactions: what it decided must not be asked for again.
  Status flushed = storage_.FlushRedo(storage_.redo().end());
  return flushed.ok() ? Result<Resolution>(resolution) : flushed;
}

}  // namespace pgquorum::fusion
