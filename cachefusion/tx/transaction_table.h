// What became of each transaction: 8 bytes for each number, in pages of a segment of the instance's
// own (segment number = instance number), changed and recovered like any other page.
//
// An entry: u64, the state in its upper three bits, the value below.
#pragma once

#include <cstdint>
#include <span>

#include "base/status.h"
#include "cachefusion/storage/storage.h"
#include "cachefusion/tx/word.h"

namespace pgquorum::fusion {

enum class TxState : uint8_t {
  kActive = 0,     // or never used; after a recovery: none is left
  kPrepared = 1,   // PostgreSQL decides; value: its full transaction id
  kDeciding = 2,   // committed as soon as this entry is durable; seen by nobody yet
  kCommitted = 3,  // value: the commit number
  kAborted = 4,
  kChild = 5,  // shares the fate of another; value: its number
};

struct TxEntry {
  TxState state = TxState::kActive;
  uint64_t value = 0;

  static constexpr int kValueBits = 61;
  uint64_t bits() const { return uint64_t(state) << kValueBits | value; }
  static TxEntry Of(uint64_t bits) {
    return {static_cast<TxState>(bits >> kValueBits), bits & ((uint64_t{1} << kValueBits) - 1)};
  }
};

inline constexpr uint32_t kEntriesPerPage = 1000;

class TransactionTable {
 public:
  TransactionTable(Storage& storage, InstanceId instance)
      : storage_(storage), instance_(instance) {}

  // As stored: a child is not followed to its parent.
  Result<TxEntry> Read(uint64_t number);
  // One record for each page that is touched; `numbers` ascend. Returns the end of the last record.
  Result<RedoAddress> Write(std::span<const uint64_t> numbers, TxEntry entry);
  // The page of an entry, exclusively, and a change of it: for a caller that does more in between.
  Result<PageGuard> Hold(uint64_t number);
  static void Change(Mutation& mutation, PageGuard& guard, uint64_t number, TxEntry entry);
  static TxEntry EntryOn(const PageGuard& guard, uint64_t number);

  uint64_t segment() const { return instance_.value(); }

 private:
  Storage& storage_;
  InstanceId instance_;
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
