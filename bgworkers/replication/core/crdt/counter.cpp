#include "bgworkers/replication/core/crdt/counter.h"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "bgworkers/replication/core/bug.h"
#include "bgworkers/replication/core/crdt/format.h"
#include "bgworkers/replication/core/errors.h"

#include "base/pure.h"

namespace pgquorum::crdt {
namespace {

// The compilers know it; the warning about a type outside the standard is not useful here.
__extension__ using Wide = __int128;

bool Empty(const CounterEntry& entry) {
  return entry.up == 0 && entry.down == 0;
}

bool Valid(const CounterEntry& entry) {
  return !Empty(entry) && entry.reset_up <= entry.up && entry.reset_down <= entry.down;
}

Wide Sum(const std::vector<CounterEntry>& entries) {
  Wide sum = 0;
  for (const CounterEntry& entry : entries) {
    sum += Wide{entry.up - entry.reset_up} - Wide{entry.down - entry.reset_down};
  }
  return sum;
}

bool InRange(Wide value) {
  return value >= std::numeric_limits<int64_t>::min() &&
         value <= std::numeric_limits<int64_t>::max();
}

uint64_t AddCapped(uint64_t a, uint64_t b) {
  return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

Status OutOfRange() {
  return Status::Error(replication::kErrOutOfRange, "counter is out of range of bigint");
}

}  // namespace

Result<Counter> Counter::Decode(Type type, std::string_view bytes) {
  FlatReader in(bytes);
  ReadHeader(type, in);
  Counter counter(type);
  counter.generation_ = in.Number();
  bool both = type == Type::kPnCounter;
  std::size_t count = in.Count(kOriginSize + (both ? 4 : 1));
  counter.entries_.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    CounterEntry entry;
    entry.origin = in.ReadOrigin();
    entry.up = in.Number();
    if (both) {
      entry.down = in.Number();
      entry.reset_up = in.Number();
      entry.reset_down = in.Number();
    }
    bool sorted = i == 0 || counter.entries_.back().origin < entry.origin;
    bool real = entry.origin || (entry.origin == Origin() && counter.generation_ > 0);
    if (!sorted || !real || !Valid(entry)) {
      in.Fail();
      break;
    }
    counter.entries_.push_back(entry);
  }
  if (!in.Finished()) {
    return Malformed(type);
  }
  return counter;
}

std::size_t Counter::EncodedSize() const {
  std::size_t size = 2 + NumberSize(generation_) + NumberSize(entries_.size());
  for (const CounterEntry& entry : entries_) {
    size += kOriginSize + NumberSize(entry.up);
    if (type_ == Type::kPnCounter) {
      size += NumberSize(entry.down) + NumberSize(entry.reset_up) + NumberSize(entry.reset_down);
    }
  }
  return size;
}

void Counter::EncodeTo(std::span<char> bytes) const {
  FlatWriter out(bytes);
  WriteHeader(type_, out);
  out.Number(generation_);
  out.Number(entries_.size());
  for (const CounterEntry& entry : entries_) {
    out.WriteOrigin(entry.origin);
    out.Number(entry.up);
    if (type_ == Type::kPnCounter) {
      out.Number(entry.down);
      out.Number(entry.reset_up);
      out.Number(entry.reset_down);
    }
  }
}

Result<int64_t> Counter::Value() const {
  Wide sum = Sum(entries_);
  if (!InRange(sum)) {
    return OutOfRange();
  }
  return static_cast<int64_t>(sum);
}

CounterEntry& Counter::EntryOf(Origin origin) {
  auto found = std::lower_bound(
      entries_.begin(), entries_.end(), origin,
      [](const CounterEntry& entry, Origin wanted) { return entry.origin < wanted; });
  if (found == entries_.end() || found->origin != origin) {
    CounterEntry entry;
    entry.origin = origin;
    found = entries_.insert(found, entry);
  }
  return *found;
}

Status Counter::Add(Origin origin, int64_t difference) {
  PGQUORUM_CHECK(static_cast<bool>(origin));
  if (difference == 0) {
    return Status::Ok();
  }
  if (difference < 0 && type_ == Type::kGCounter) {
    return Status::Error(replication::kErrInvalidValue, "a grow-only counter cannot go down")
        .WithHint("Use crdt.pn_counter for values that go both ways.");
  }
  if (!InRange(Sum(entries_) + difference)) {
    return OutOfRange();
  }
  // The magnitude of the smallest bigint does not fit into a bigint.
  uint64_t amount =
      difference < 0 ? ~static_cast<uint64_t>(difference) + 1 : static_cast<uint64_t>(difference);
  if (PGQUORUM_REPLICATION_BUG(kCounterIgnoresIncarnation)) {
    origin.incarnation = 1;
  }
  CounterEntry& entry = EntryOf(origin);
  uint64_t& total = difference < 0 ? entry.down : entry.up;
  if (total > UINT64_MAX - amount) {
    return OutOfRange();
  }
  total += amount;
  return Status::Ok();
}

Status Counter::Assign(Origin origin, int64_t target) {
  Wide difference = Wide{target} - Sum(entries_);
  if (!InRange(difference)) {
    return OutOfRange();
  }
  return Add(origin, static_cast<int64_t>(difference));
}

Status Counter::Reset() {
  if (type_ == Type::kGCounter) {
    return Status::Error(replication::kErrInvalidValue, "a grow-only counter cannot be reset")
        .WithHint("Use crdt.pn_counter for values that go both ways.");
  }
  for (CounterEntry& entry : entries_) {
    entry.reset_up = entry.up;
    entry.reset_down = entry.down;
  }
  return Status::Ok();
}

void Counter::FoldTo(const FoldTable& folds, uint64_t generation) {
  for (uint64_t g = generation_; g < generation; ++g) {
    Origin left = folds.folded()[g];
    auto found = std::find_if(entries_.begin(), entries_.end(),
                              [&](const CounterEntry& entry) { return entry.origin == left; });
    if (found == entries_.end()) {
      continue;
    }
    CounterEntry gone = *found;
    entries_.erase(found);
    CounterEntry& base = EntryOf(Origin());
    base.up = AddCapped(base.up, gone.up);
    base.down = AddCapped(base.down, gone.down);
    base.reset_up = AddCapped(base.reset_up, gone.reset_up);
    base.reset_down = AddCapped(base.reset_down, gone.reset_down);
  }
  generation_ = std::max(generation_, generation);
}

Status Counter::Join(const Counter& other, const FoldTable& folds) {
  PGQUORUM_CHECK(type_ == other.type_);
  uint64_t generation = std::max(generation_, other.generation_);
  if (generation > folds.generation()) {
    return Status::Error(replication::kErrUnknownFolding,
                         "replicated value was folded by a later change of the membership");
  }
  Counter folded = other;
  folded.FoldTo(folds, generation);
  FoldTo(folds, generation);
  std::vector<CounterEntry> joined;
  joined.reserve(std::max(entries_.size(), folded.entries_.size()));
  auto a = entries_.begin();
  auto b = folded.entries_.begin();
  while (a != entries_.end() || b != folded.entries_.end()) {
    if (b == folded.entries_.end() || (a != entries_.end() && a->origin < b->origin)) {
      joined.push_back(*a++);
    } else if (a == entries_.end() || b->origin < a->origin) {
      joined.push_back(*b++);
    } else {
      joined.push_back({a->origin, std::max(a->up, b->up), std::max(a->down, b->down),
                        std::max(a->reset_up, b->reset_up),
                        std::max(a->reset_down, b->reset_down)});
      ++a;
      ++b;
    }
  }
  entries_ = std::move(joined);
  return Status::Ok();
}

}  // namespace pgquorum::crdt
