#include "bgworkers/replication/core/clock/version_vector.h"

#include <algorithm>

#include "base/pure.h"

namespace pgquorum::replication {
namespace {

template <typename Entries>
auto Find(Entries& entries, Origin origin) {
  return std::lower_bound(
      entries.begin(), entries.end(), origin,
      [](const VersionVector::Entry& entry, Origin wanted) { return entry.origin < wanted; });
}

bool CoversAll(const VersionVector& big, const VersionVector& small) {
  return std::all_of(small.entries().begin(), small.entries().end(), [&](const auto& entry) {
    return big.Covers({entry.origin, entry.sequence});
  });
}

}  // namespace

uint64_t VersionVector::Of(Origin origin) const {
  auto found = Find(entries_, origin);
  return found != entries_.end() && found->origin == origin ? found->sequence : 0;
}

void VersionVector::Raise(Origin origin, uint64_t sequence) {
  if (sequence == 0) {
    return;
  }
  auto found = Find(entries_, origin);
  if (found == entries_.end() || found->origin != origin) {
    entries_.insert(found, {origin, sequence});
  } else {
    found->sequence = std::max(found->sequence, sequence);
  }
}

void VersionVector::Merge(const VersionVector& other) {
  for (const Entry& entry : other.entries_) {
    Raise(entry.origin, entry.sequence);
  }
}

void VersionVector::Erase(Origin origin) {
  auto found = Find(entries_, origin);
  if (found != entries_.end() && found->origin == origin) {
    entries_.erase(found);
  }
}

Causality VersionVector::Compare(const VersionVector& other) const {
  bool covers = CoversAll(*this, other);
  bool covered = CoversAll(other, *this);
  if (covers) {
    return covered ? Causality::kEqual : Causality::kAfter;
  }
  return covered ? Causality::kBefore : Causality::kConcurrent;
}

void VersionVector::Encode(ByteWriter& out) const {
  out.U32(static_cast<uint32_t>(entries_.size()));
  for (const Entry& entry : entries_) {
    out.U32(entry.origin.Packed());
    out.U64(entry.sequence);
  }
}

VersionVector VersionVector::Decode(ByteReader& in) {
  VersionVector vector;
  std::size_t count = in.Count(kMaxEntries, 12);
  vector.entries_.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    Entry entry{Origin::Unpack(in.U32()), in.U64()};
    bool sorted = i == 0 || vector.entries_.back().origin < entry.origin;
    if (!sorted || !entry.origin || entry.sequence == 0) {
      in.Fail();
      return {};
    }
    vector.entries_.push_back(entry);
  }
  return in.ok() ? vector : VersionVector();
}

std::string VersionVector::ToString() const {
  std::string text;
  for (const Entry& entry : entries_) {
    text += (text.empty() ? "" : " ") + Dot{entry.origin, entry.sequence}.ToString();
  }
  return text;
}

}  // namespace pgquorum::replication
