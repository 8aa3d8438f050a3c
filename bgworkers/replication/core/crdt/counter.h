// Counters that every site may change at the same time.
//
// Each origin keeps its own totals in the value and only ever raises them; the value is the sum. A
// join takes the higher total of each origin.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "bgworkers/replication/core/clock/origin.h"
#include "bgworkers/replication/core/crdt/types.h"

namespace pgquorum::crdt {

// One origin's totals. `reset_*` is how much of them resets have cancelled: a reset covers exactly
// what its site had seen, so an increment at another site meanwhile is kept, and two resets at the
// same time cancel the same amount once.
struct CounterEntry {
  replication::Origin origin;  // zero: the base that holds those who left
  uint64_t up = 0;
  uint64_t down = 0;
  uint64_t reset_up = 0;    // at most up
  uint64_t reset_down = 0;  // at most down

  bool operator==(const CounterEntry&) const = default;
};

// Both counters; a grow-only one has only `up`.
class Counter {
 public:
  explicit Counter(Type type) : type_(type) {}

  static Result<Counter> Decode(Type type, std::string_view bytes);
  std::size_t EncodedSize() const;
  // Precondition: `out` holds EncodedSize() bytes.
  void EncodeTo(std::span<char> out) const;

  // kErrOutOfRange when concurrent changes have left the range of bigint.
  Result<int64_t> Value() const;
  // Adds `difference` at `origin`, the site where this runs. Refused, with nothing changed: a
  // negative difference of a grow-only counter, a result outside of bigint.
  Status Add(replication::Origin origin, int64_t difference);
  // What a plain assignment means: the difference to the value that the user saw, so that changes
  // at other sites meanwhile still count.
  Status Assign(replication::Origin origin, int64_t target);
  // Back to zero. Only for counters that go down.
  Status Reset();

  // kErrUnknownFolding when a value is of a later generation than the table.
  Status Join(const Counter& other, const FoldTable& folds);
  // Brings the value to the table's generation.
  void Fold(const FoldTable& folds) { FoldTo(folds, folds.generation()); }

  Type type() const { return type_; }
  uint64_t generation() const { return generation_; }
  // Sorted by origin.
  const std::vector<CounterEntry>& entries() const { return entries_; }
  bool operator==(const Counter&) const = default;

 private:
  friend class JsonForms;
  CounterEntry& EntryOf(replication::Origin origin);
  void FoldTo(const FoldTable& folds, uint64_t generation);

  Type type_;
  uint64_t generation_ = 0;
  std::vector<CounterEntry> entries_;
};

}  // namespace pgquorum::crdt

#include "base/pure.h"
