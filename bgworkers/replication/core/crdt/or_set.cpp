#include <algorithm>
#include <utility>

#include "bgworkers/replication/core/crdt/causal.h"
#include "bgworkers/replication/core/crdt/format.h"
#include "bgworkers/replication/core/crdt/sets.h"

#include "base/pure.h"

namespace pgquorum::crdt {
namespace {

using Element = OrSet::Element;

template <typename Elements>
auto PlaceOf(Elements& elements, std::string_view value) {
  return std::lower_bound(
      elements.begin(), elements.end(), value,
      [](const Element& element, std::string_view wanted) { return element.value < wanted; });
}

template <typename Elements>
auto FindTagged(Elements& elements, std::string_view value) {
  auto place = PlaceOf(elements, value);
  return place != elements.end() && place->value == value ? place : elements.end();
}

// Of `mine`, what the other side has as well or has not seen.
void Keep(const std::vector<Dot>& mine, const std::vector<Dot>* theirs, const Seen& their_seen,
          std::vector<Dot>& kept) {
  for (const Dot& dot : mine) {
    bool both = theirs != nullptr && std::binary_search(theirs->begin(), theirs->end(), dot);
    if (both || !their_seen.Covers(dot)) {
      kept.push_back(dot);
    }
  }
}

}  // namespace

Result<OrSet> OrSet::Decode(std::string_view bytes) {
  FlatReader in(bytes);
  ReadHeader(Type::kOrSet, in);
  OrSet set;
  set.generation_ = in.Number();
  set.seen_ = ReadVector(in);
  std::size_t count = in.Count(2 + kOriginSize + 1);
  set.elements_.reserve(count);
  for (std::size_t i = 0; i < count && in.ok(); ++i) {
    Element element;
    element.value = in.Bytes();
    std::size_t dots = in.Count(kOriginSize + 1);
    for (std::size_t d = 0; d < dots && in.ok(); ++d) {
      Dot dot = in.ReadDot();
      bool sorted = d == 0 || element.dots.back() < dot;
      if (!sorted || !Consistent(set.seen_, set.generation_, dot)) {
        in.Fail();
      }
      element.dots.push_back(dot);
    }
    if (dots == 0 || (i > 0 && element.value <= set.elements_.back().value)) {
      in.Fail();
    }
    set.elements_.push_back(std::move(element));
  }
  if (!in.Finished()) {
    return Malformed(Type::kOrSet);
  }
  return set;
}

std::size_t OrSet::EncodedSize() const {
  std::size_t size = 2 + NumberSize(generation_) + VectorSize(seen_) + NumberSize(elements_.size());
  for (const Element& element : elements_) {
    size += BytesSize(element.value) + NumberSize(element.dots.size());
    for (const Dot& dot : element.dots) {
      size += DotSize(dot);
    }
  }
  return size;
}

void OrSet::EncodeTo(std::span<char> bytes) const {
  FlatWriter out(bytes);
  WriteHeader(Type::kOrSet, out);
  out.Number(generation_);
  WriteVector(seen_, out);
  out.Number(elements_.size());
  for (const Element& element : elements_) {
    out.Bytes(element.value);
    out.Number(element.dots.size());
    for (const Dot& dot : element.dots) {
      out.WriteDot(dot);
    }
  }
}

Status OrSet::Add(std::string_view value, const Dot& dot) {
  Status taken = TakeDot(seen_, dot);
  if (!taken.ok()) {
    return taken;
  }
  auto place = PlaceOf(elements_, value);
  if (place == elements_.end() || place->value != value) {
    place = elements_.insert(place, Element{value, {}});
  }
  // The new addition has seen the others and stands for them.
  place->dots = {dot};
  return Status::Ok();
}

void OrSet::Remove(std::string_view value) {
  auto found = FindTagged(elements_, value);
  if (found != elements_.end()) {
    elements_.erase(found);
  }
}

bool OrSet::Contains(std::string_view value) const {
  return FindTagged(elements_, value) != elements_.end();
}

Status OrSet::Join(const OrSet& other, const FoldTable& folds) {
  Status known = CheckGenerations(generation_, other.generation_, folds);
  if (!known.ok()) {
    return known;
  }
  Seen mine(seen_, generation_, folds);
  Seen theirs(other.seen_, other.generation_, folds);
  std::vector<Element> joined;
  joined.reserve(std::max(elements_.size(), other.elements_.size()));
  auto a = elements_.begin();
  auto b = other.elements_.begin();
  while (a != elements_.end() || b != other.elements_.end()) {
    bool take_a = b == other.elements_.end() || (a != elements_.end() && a->value <= b->value);
    bool take_b = a == elements_.end() || (b != other.elements_.end() && b->value <= a->value);
    Element element{take_a ? a->value : b->value, {}};
    if (take_a) {
      Keep(a->dots, take_b ? &b->dots : nullptr, theirs, element.dots);
    }
    if (take_b) {
      Keep(b->dots, take_a ? &a->dots : nullptr, mine, element.dots);
    }
    std::sort(element.dots.begin(), element.dots.end());
    element.dots.erase(std::unique(element.dots.begin(), element.dots.end()), element.dots.end());
    if (!element.dots.empty()) {
      joined.push_back(std::move(element));
    }
    a += take_a ? 1 : 0;
    b += take_b ? 1 : 0;
  }
  elements_ = std::move(joined);
  seen_.Merge(other.seen_);
  generation_ = std::max(generation_, other.generation_);
  EraseFolded(seen_, folds, generation_);
  return Status::Ok();
}

void OrSet::Fold(const FoldTable& folds) {
  generation_ = std::max(generation_, folds.generation());
  EraseFolded(seen_, folds, folds.generation());
}

}  // namespace pgquorum::crdt
