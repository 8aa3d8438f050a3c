// Who wrote something: sites, their incarnations, and the identity of single operations.
//
// A site id is given once and never again. The incarnation is raised by agreement of the sites
// whenever a site comes back with less than it had (restore, new copy): its sequence may then start
// at a number that others have seen, so everything that names an operation carries the incarnation.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

#include "base/strong_id.h"

namespace pgquorum::replication {

using SiteId = StrongId<struct SiteIdTag, uint16_t>;  // 1 … 65535, zero: none

struct Origin {
  SiteId site;
  uint16_t incarnation = 0;

  auto operator<=>(const Origin&) const = default;

  explicit constexpr operator bool() const { return static_cast<bool>(site); }
  // The order of packed values is the order of origins.
  constexpr uint32_t Packed() const {
    return (uint32_t{site.value()} << 16) | uint32_t{incarnation};
  }
  static constexpr Origin Unpack(uint32_t packed) {
    return {SiteId(static_cast<uint16_t>(packed >> 16)), static_cast<uint16_t>(packed)};
  }
  // "site.incarnation"
  std::string ToString() const {
    return std::to_string(site.value()) + "." + std::to_string(incarnation);
  }
};

// One operation of an origin. Sequences start at 1, rise, and are never given out twice within an
// incarnation.
struct Dot {
  Origin origin;
  uint64_t sequence = 0;

  auto operator<=>(const Dot&) const = default;

  // "site.incarnation:sequence"
  std::string ToString() const { return origin.ToString() + ":" + std::to_string(sequence); }
};

}  // namespace pgquorum::replication

#include "base/pure.h"
