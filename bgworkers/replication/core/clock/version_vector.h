// What a site, a row or a value has seen: for each origin, everything up to a sequence.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "bgworkers/replication/core/clock/origin.h"

namespace pgquorum::replication {

enum class Causality : uint8_t { kEqual, kBefore, kAfter, kConcurrent };

class VersionVector {
 public:
  struct Entry {
    Origin origin;
    uint64_t sequence = 0;  // never zero
    bool operator==(const Entry&) const = default;
  };

  uint64_t Of(Origin origin) const;
  bool Covers(const Dot& dot) const { return Of(dot.origin) >= dot.sequence; }
  // Never lowers.
  void Raise(Origin origin, uint64_t sequence);
  void Raise(const Dot& dot) { Raise(dot.origin, dot.sequence); }
  void Merge(const VersionVector& other);
  void Erase(Origin origin);
  // kBefore: everything seen here has been seen there too, and not the other way round.
  Causality Compare(const VersionVector& other) const;

  bool empty() const { return entries_.empty(); }
  // Sorted by origin.
  const std::vector<Entry>& entries() const { return entries_; }
  bool operator==(const VersionVector&) const = default;

  void Encode(ByteWriter& out) const;
  // Fails the reader on what Encode never writes.
  static VersionVector Decode(ByteReader& in);
  // "1.1:7 2.1:3"
  std::string ToString() const;

  static constexpr std::size_t kMaxEntries = 65'536;

 private:
  std::vector<Entry> entries_;
};

}  // namespace pgquorum::replication

#include "base/pure.h"
