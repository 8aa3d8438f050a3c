// Which operations of one origin have been applied: everything up to a watermark, and a short list
// of single ones above it. This is what makes a repeated transaction harmless in constant space.
//
// The list is only needed where an origin's operations arrive by more than one way (members level
// each other up after a site is gone). Its bound is a promise about memory and about the row that
// keeps it: at the bound the window refuses everything but the operation that lets the watermark
// move, and the caller waits for that one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/bytes.h"

namespace pgquorum::replication {

class AppliedWindow {
 public:
  static constexpr std::size_t kDefaultLimit = 1024;

  explicit AppliedWindow(std::size_t limit = kDefaultLimit) : limit_(limit) {}

  enum class Admission : uint8_t {
    kNew,        // apply it and call Record in the same transaction
    kDuplicate,  // it has been applied
    kFull,       // too far ahead: apply `watermark() + 1` first
  };
  Admission Admit(uint64_t sequence) const;
  // Precondition: Admit says kNew.
  void Record(uint64_t sequence);
  // A copy of the data brought everything up to `watermark` along.
  void StartAt(uint64_t watermark);

  uint64_t watermark() const { return watermark_; }
  // Sorted, all above watermark() + 1.
  const std::vector<uint64_t>& ahead() const { return ahead_; }
  bool operator==(const AppliedWindow& other) const {
    return watermark_ == other.watermark_ && ahead_ == other.ahead_;
  }

  void Encode(ByteWriter& out) const;
  // Fails the reader on what Encode never writes with this limit.
  static AppliedWindow Decode(ByteReader& in, std::size_t limit = kDefaultLimit);

 private:
  void Advance();

  std::size_t limit_;
  uint64_t watermark_ = 0;
  std::vector<uint64_t> ahead_;
};

}  // namespace pgquorum::replication

#include "base/pure.h"
