// The words of Cache Fusion: who, which page, which version, where in the redo.
#pragma once

#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

#include "base/strong_id.h"

namespace pgquorum::fusion {

// One server of the fusion group; 1 … kMaxInstances, 0 is nobody.
using InstanceId = StrongId<struct InstanceTag, uint8_t>;
inline constexpr unsigned kMaxInstances = 64;
// One life of an instance: larger than that of every earlier life of any instance. Its redo thread
// has the same number.
using Incarnation = StrongId<struct IncarnationTag>;
// Version of the membership. What an older one said counts no more.
using Epoch = StrongId<struct EpochTag>;
// Page version: plus 1 with every change, whoever makes it. 0: never written.
using Psn = StrongId<struct PsnTag>;
// A position in the redo thread of this instance; 0 is none.
using RedoAddress = StrongId<struct RedoAddressTag>;

struct PageId {
  uint64_t segment = 0;
  uint32_t block = 0;

  constexpr auto operator<=>(const PageId&) const = default;
};

enum class BlockMode : uint8_t { kNull = 0, kShared = 1, kExclusive = 2 };

// A set of instances, one bit each.
class InstanceSet {
 public:
  constexpr InstanceSet() = default;
  constexpr explicit InstanceSet(uint64_t bits) : bits_(bits) {}

  static constexpr uint64_t Bit(InstanceId id) {
    return id ? uint64_t{1} << ((id.value() - 1) % kMaxInstances) : 0;
  }
  constexpr void Add(InstanceId id) { bits_ |= Bit(id); }
  constexpr void Remove(InstanceId id) { bits_ &= ~Bit(id); }
  constexpr bool Has(InstanceId id) const { return (bits_ & Bit(id)) != 0; }
  constexpr bool empty() const { return bits_ == 0; }
  constexpr int size() const { return std::popcount(bits_); }
  // The lowest member; 0 when empty.
  constexpr InstanceId First() const {
    return InstanceId(bits_ == 0 ? uint8_t{0} : static_cast<uint8_t>(std::countr_zero(bits_) + 1));
  }
  constexpr uint64_t bits() const { return bits_; }
  constexpr bool operator==(const InstanceSet&) const = default;

  template <typename Visit>
  void ForEach(Visit visit) const {
    for (uint64_t rest = bits_; rest != 0; rest &= rest - 1) {
      visit(InstanceId(static_cast<uint8_t>(std::countr_zero(rest) + 1)));
    }
  }

 private:
  uint64_t bits_ = 0;
};

}  // namespace pgquorum::fusion

template <>
struct std::hash<pgquorum::fusion::PageId> {
  std::size_t operator()(const pgquorum::fusion::PageId& page) const noexcept {
    uint64_t z = page.segment * 0x9E3779B97F4A7C15ULL + page.block;
    z = (z ^ (z >> 32)) * 0xD6E8FEB86659FD93ULL;
    return static_cast<std::size_t>(z ^ (z >> 32));
  }
};

#include "base/pure.h"
