// Who created or removed a version of a row, in one word of 64 bits:
//
//   0                        nobody
//   instance << 56 | number  a transaction or subtransaction, whose outcome is in its instance's
//   table 1 << 63 | scn            stamped: it committed under this number; the table is not needed
//   any more all ones                 stamped: it never committed
#pragma once

#include <cstdint>

#include "cachefusion/types.h"

namespace pgquorum::fusion {

// A commit number: larger than that of every commit that was seen when it was drawn. Snapshots are
// numbers of the same kind and see the commits up to theirs.
using Scn = StrongId<struct ScnTag>;

class TxWord {
 public:
  constexpr TxWord() = default;
  constexpr explicit TxWord(uint64_t bits) : bits_(bits) {}
  static constexpr TxWord Of(InstanceId instance, uint64_t number) {
    return TxWord(uint64_t{instance.value()} << kNumberBits | number);
  }
  static constexpr TxWord Committed(Scn scn) { return TxWord(kStamp | scn.value()); }
  static constexpr TxWord Never() { return TxWord(~uint64_t{0}); }

  constexpr uint64_t bits() const { return bits_; }
  constexpr bool none() const { return bits_ == 0; }
  constexpr bool stamped() const { return (bits_ & kStamp) != 0; }
  constexpr bool never() const { return bits_ == ~uint64_t{0}; }
  constexpr Scn scn() const { return Scn(bits_ & ~kStamp); }
  constexpr InstanceId instance() const {
    return InstanceId(static_cast<uint8_t>(bits_ >> kNumberBits));
  }
  constexpr uint64_t number() const { return bits_ & ((uint64_t{1} << kNumberBits) - 1); }
  constexpr bool operator==(const TxWord&) const = default;

 private:
  static constexpr int kNumberBits = 56;
  static constexpr uint64_t kStamp = uint64_t{1} << 63;

  uint64_t bits_ = 0;
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
