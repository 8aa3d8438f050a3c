#include "cachefusion/tx/transaction_table.h"

#include <cstring>

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

static_assert(kPageHeaderBytes + kEntriesPerPage * sizeof(uint64_t) <= kPageBytes);

std::size_t OffsetOf(uint64_t number) {
  return kPageHeaderBytes + number % kEntriesPerPage * sizeof(uint64_t);
}

uint32_t BlockOf(uint64_t number) {
  return static_cast<uint32_t>(number / kEntriesPerPage);
}

}  // namespace

TxEntry TransactionTable::EntryOn(const PageGuard& guard, uint64_t number) {
  uint64_t bits;
  std::memcpy(&bits, guard.page() + OffsetOf(number), sizeof(bits));
  return TxEntry::Of(bits);
}

Result<TxEntry> TransactionTable::Read(uint64_t number) {
  Result<PageGuard> guard =
      storage_.pages().Fetch({segment(), BlockOf(number)}, LatchMode::kShared);
  return guard.ok() ? Result<TxEntry>(EntryOn(guard.value(), number)) : guard.status();
}

Result<PageGuard> TransactionTable::Hold(uint64_t number) {
  return storage_.pages().Fetch({segment(), BlockOf(number)}, LatchMode::kExclusive);
}

void TransactionTable::Change(Mutation& mutation, PageGuard& guard, uint64_t number,
                              TxEntry entry) {
  PageChange& change = mutation.Change(guard);
  if (change.header().kind != PageKind::kTransactions) {
    change.Format(PageKind::kTransactions);
  }
  change.Put(OffsetOf(number), entry.bits());
}

Result<RedoAddress> TransactionTable::Write(std::span<const uint64_t> numbers, TxEntry entry) {
  RedoAddress end;
  for (std::size_t i = 0; i < numbers.size();) {
    Result<PageGuard> guard = Hold(numbers[i]);
    if (!guard.ok()) {
      return guard.status();
    }
    Mutation mutation(storage_.pages(), numbers[i]);
    for (uint32_t block = BlockOf(numbers[i]); i < numbers.size() && BlockOf(numbers[i]) == block;
         ++i) {
      Change(mutation, guard.value(), numbers[i], entry);
    }
    Result<RedoAddress> committed = mutation.Commit();
    if (!committed.ok()) {
      return committed;
    }
    end = committed.value();
  }
  return end;
}

}  // namespace pgquorum::fusion
