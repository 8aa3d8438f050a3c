// Strongly typed integers: a NodeId cannot be passed where a Term is meant, at no run-time cost.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace pgquorum {

// `Tag` only makes the type distinct: `using Term = StrongId<struct TermTag>;`.
template <typename Tag, typename Rep = uint64_t>
class StrongId {
 public:
  using rep = Rep;

  constexpr StrongId() = default;
  constexpr explicit StrongId(Rep value) : value_(value) {}

  constexpr Rep value() const { return value_; }
  constexpr explicit operator bool() const { return value_ != 0; }  // zero means "none"

  constexpr auto operator<=>(const StrongId&) const = default;

  constexpr StrongId& operator++() {
    ++value_;
    return *this;
  }
  // Distances stay plain integers; ids are never added to each other.
  friend constexpr StrongId operator+(StrongId id, Rep distance) {
    return StrongId(id.value_ + distance);
  }
  friend constexpr StrongId operator-(StrongId id, Rep distance) {
    return StrongId(id.value_ - distance);
  }
  friend constexpr Rep operator-(StrongId a, StrongId b) { return a.value_ - b.value_; }

 private:
  Rep value_ = 0;
};

}  // namespace pgquorum

template <typename Tag, typename Rep>
struct std::hash<pgquorum::StrongId<Tag, Rep>> {
  std::size_t operator()(pgquorum::StrongId<Tag, Rep> id) const noexcept {
    return std::hash<Rep>{}(id.value());
  }
};

#include "base/pure.h"
