#include "bgworkers/replication/core/crdt/sets.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "bgworkers/replication/core/crdt/format.h"
#include "bgworkers/replication/core/errors.h"

#include "base/pure.h"

namespace pgquorum::crdt {
namespace {

std::string_view ValueOf(std::string_view value) {
  return value;
}
template <typename Element>
std::string_view ValueOf(const Element& element) {
  return element.value;
}

// Where `value` is, or would be inserted.
template <typename Elements>
auto Place(Elements& elements, std::string_view value) {
  return std::lower_bound(
      elements.begin(), elements.end(), value,
      [](const auto& element, std::string_view wanted) { return ValueOf(element) < wanted; });
}

template <typename Elements>
auto Find(Elements& elements, std::string_view value) {
  auto place = Place(elements, value);
  return place != elements.end() && ValueOf(*place) == value ? place : elements.end();
}

// Two sorted lists into one; `both` makes one element of two with the same value.
template <typename Element, typename Both>
std::vector<Element> Union(const std::vector<Element>& a, const std::vector<Element>& b,
                           Both both) {
  std::vector<Element> joined;
  joined.reserve(std::max(a.size(), b.size()));
  auto left = a.begin();
  auto right = b.begin();
  while (left != a.end() && right != b.end()) {
    if (ValueOf(*left) < ValueOf(*right)) {
      joined.push_back(*left++);
    } else if (ValueOf(*right) < ValueOf(*left)) {
      joined.push_back(*right++);
    } else {
      joined.push_back(both(*left++, *right++));
    }
  }
  std::copy(left, a.end(), std::back_inserter(joined));
  std::copy(right, b.end(), std::back_inserter(joined));
  return joined;
}

}  // namespace

// ---- grow-only ------------------------------------------------------------------------------

Result<GSet> GSet::Decode(std::string_view bytes) {
  FlatReader in(bytes);
  ReadHeader(Type::kGSet, in);
  GSet set;
  std::size_t count = in.Count(1);
  set.elements_.reserve(count);
  for (std::size_t i = 0; i < count && in.ok(); ++i) {
    std::string_view element = in.Bytes();
    if (i > 0 && element <= set.elements_.back()) {
      in.Fail();
    }
    set.elements_.push_back(element);
  }
  if (!in.Finished()) {
    return Malformed(Type::kGSet);
  }
  return set;
}

std::size_t GSet::EncodedSize() const {
  std::size_t size = 2 + NumberSize(elements_.size());
  for (std::string_view element : elements_) {
    size += BytesSize(element);
  }
  return size;
}

void GSet::EncodeTo(std::span<char> bytes) const {
  FlatWriter out(bytes);
  WriteHeader(Type::kGSet, out);
  out.Number(elements_.size());
  for (std::string_view element : elements_) {
    out.Bytes(element);
  }
}

void GSet::Add(std::string_view element) {
  if (!Contains(element)) {
    elements_.insert(Place(elements_, element), element);
  }
}

bool GSet::Contains(std::string_view element) const {
  return Find(elements_, element) != elements_.end();
}

void GSet::Join(const GSet& other) {
  elements_ = Union(elements_, other.elements_,
                    [](std::string_view mine, std::string_view) { return mine; });
}

// ---- added once, removed once ---------------------------------------------------------------

Result<TwoPSet> TwoPSet::Decode(std::string_view bytes) {
  FlatReader in(bytes);
  ReadHeader(Type::kTwoPSet, in);
  TwoPSet set;
  std::size_t count = in.Count(2);
  set.elements_.reserve(count);
  for (std::size_t i = 0; i < count && in.ok(); ++i) {
    Element element;
    uint8_t removed = in.Byte();
    element.removed = removed == 1;
    element.value = in.Bytes();
    if (removed > 1 || (i > 0 && element.value <= set.elements_.back().value)) {
      in.Fail();
    }
    set.elements_.push_back(element);
  }
  if (!in.Finished()) {
    return Malformed(Type::kTwoPSet);
  }
  return set;
}

std::size_t TwoPSet::EncodedSize() const {
  std::size_t size = 2 + NumberSize(elements_.size());
  for (const Element& element : elements_) {
    size += 1 + BytesSize(element.value);
  }
  return size;
}

void TwoPSet::EncodeTo(std::span<char> bytes) const {
  FlatWriter out(bytes);
  WriteHeader(Type::kTwoPSet, out);
  out.Number(elements_.size());
  for (const Element& element : elements_) {
    out.Byte(element.removed ? 1 : 0);
    out.Bytes(element.value);
  }
}

Status TwoPSet::Add(std::string_view element) {
  auto found = Find(elements_, element);
  if (found == elements_.end()) {
    elements_.insert(Place(elements_, element), Element{element, false});
  } else if (found->removed) {
    return Status::Error(replication::kErrInvalidValue,
                         "element was removed from the set and cannot come back")
        .WithHint("Use crdt.or_set for sets whose elements come and go.");
  }
  return Status::Ok();
}

void TwoPSet::Remove(std::string_view element) {
  auto found = Find(elements_, element);
  if (found != elements_.end()) {
    found->removed = true;
  }
}

bool TwoPSet::Contains(std::string_view element) const {
  auto found = Find(elements_, element);
  return found != elements_.end() && !found->removed;
}

void TwoPSet::Join(const TwoPSet& other) {
  elements_ = Union(elements_, other.elements_, [](const Element& mine, const Element& theirs) {
    return Element{mine.value, mine.removed || theirs.removed};
  });
}

std::vector<std::string_view> TwoPSet::Live() const {
  std::vector<std::string_view> live;
  for (const Element& element : elements_) {
    if (!element.removed) {
      live.push_back(element.value);
    }
  }
  return live;
}

}  // namespace pgquorum::crdt
