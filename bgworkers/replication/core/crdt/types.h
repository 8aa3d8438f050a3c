// The replicated data types: what all of them share.
//
// A value is a flat string of bytes that holds its whole state; the bytes of a column *are* the
// value. Each type is a class that reads such bytes (`Decode`, without copying elements: the class
// holds views into the bytes, which must outlive it), changes them, and writes them (`EncodedSize`,
// `EncodeTo`). `registry.h` does the same by type number for callers that do not care which it is.
//
// Join is idempotent, commutative, associative and never loses anything: sites that have seen the
// same changes in any order, any number of times, hold the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/status.h"
#include "bgworkers/replication/core/clock/origin.h"
#include "bgworkers/replication/core/clock/version_vector.h"

namespace pgquorum::crdt {

// Numbers in the format: never renumbered.
enum class Type : uint8_t {
  kLwwRegister = 1,
  kGCounter = 2,
  kPnCounter = 3,
  kGSet = 4,
  kTwoPSet = 5,
  kOrSet = 6,
  kMvRegister = 7,
};

// What a user may grow a value to. Merges ignore it (sites would differ), so a value that several
// sites fill at the same time may come out larger.
inline constexpr std::size_t kDefaultMaxBytes = 64 * 1024;

// The origins that have left, in the order in which the sites agreed on it; the same at every site
// as far as it goes. An origin may be appended once every member has applied everything of it (a
// barrier): its part of a value can then be added to a shared base and forgotten.
//
// A value carries how many of them it has folded, its generation. Generation g stands for the first
// g origins.
class FoldTable {
 public:
  FoldTable() = default;
  explicit FoldTable(std::vector<replication::Origin> folded) : folded_(std::move(folded)) {}

  void Append(replication::Origin origin) { folded_.push_back(origin); }
  uint64_t generation() const { return folded_.size(); }
  // Whether a value of that generation has folded the origin. The list is short: members that left.
  bool Folded(replication::Origin origin, uint64_t generation) const {
    for (std::size_t i = 0; i < folded_.size() && i < generation; ++i) {
      if (folded_[i] == origin) {
        return true;
      }
    }
    return false;
  }
  const std::vector<replication::Origin>& folded() const { return folded_; }

 private:
  std::vector<replication::Origin> folded_;
};

}  // namespace pgquorum::crdt

#include "base/pure.h"
