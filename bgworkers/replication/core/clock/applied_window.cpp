#include "bgworkers/replication/core/clock/applied_window.h"

#include <algorithm>

#include "base/check.h"

#include "base/pure.h"

namespace pgquorum::replication {

AppliedWindow::Admission AppliedWindow::Admit(uint64_t sequence) const {
  if (sequence <= watermark_ || std::binary_search(ahead_.begin(), ahead_.end(), sequence)) {
    return Admission::kDuplicate;
  }
  bool next = sequence == watermark_ + 1;
  return next || ahead_.size() < limit_ ? Admission::kNew : Admission::kFull;
}

void AppliedWindow::Record(uint64_t sequence) {
  PGQUORUM_CHECK(Admit(sequence) == Admission::kNew);
  if (sequence == watermark_ + 1) {
    watermark_ = sequence;
    Advance();
  } else {
    ahead_.insert(std::lower_bound(ahead_.begin(), ahead_.end(), sequence), sequence);
  }
}

void AppliedWindow::StartAt(uint64_t watermark) {
  watermark_ = std::max(watermark_, watermark);
  std::erase_if(ahead_, [this](uint64_t sequence) { return sequence <= watermark_; });
  Advance();
}

void AppliedWindow::Advance() {
  std::size_t taken = 0;
  while (taken < ahead_.size() && ahead_[taken] == watermark_ + 1) {
    ++watermark_;
    ++taken;
  }
  ahead_.erase(ahead_.begin(), ahead_.begin() + static_cast<std::ptrdiff_t>(taken));
}

void AppliedWindow::Encode(ByteWriter& out) const {
  out.U64(watermark_);
  out.U32(static_cast<uint32_t>(ahead_.size()));
  for (uint64_t sequence : ahead_) {
    out.U64(sequence);
  }
}

AppliedWindow AppliedWindow::Decode(ByteReader& in, std::size_t limit) {
  AppliedWindow window(limit);
  window.watermark_ = in.U64();
  std::size_t count = in.Count(limit, 8);
  uint64_t before = window.watermark_ == UINT64_MAX ? UINT64_MAX : window.watermark_ + 1;
  for (std::size_t i = 0; i < count; ++i) {
    uint64_t sequence = in.U64();
    if (sequence <= before) {
      in.Fail();
      return AppliedWindow(limit);
    }
    before = sequence;
    window.ahead_.push_back(sequence);
  }
  return window;
}

}  // namespace pgquorum::replication
