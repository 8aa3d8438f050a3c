// Sets that every site may change at the same time. Elements are opaque bytes, compared as such.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "bgworkers/replication/core/clock/origin.h"
#include "bgworkers/replication/core/clock/version_vector.h"
#include "bgworkers/replication/core/crdt/types.h"

namespace pgquorum::crdt {

// Grows only: a join is the union.
class GSet {
 public:
  static Result<GSet> Decode(std::string_view bytes);
  std::size_t EncodedSize() const;
  void EncodeTo(std::span<char> out) const;

  // The element must outlive the set.
  void Add(std::string_view element);
  bool Contains(std::string_view element) const;
  void Join(const GSet& other);

  // Sorted.
  const std::vector<std::string_view>& elements() const { return elements_; }
  bool operator==(const GSet&) const = default;

 private:
  std::vector<std::string_view> elements_;
};

// An element can be added and then removed, once and for all. Removed elements stay in the value:
// it grows for ever.
class TwoPSet {
 public:
  struct Element {
    std::string_view value;
    bool removed = false;
    bool operator==(const Element&) const = default;
  };

  static Result<TwoPSet> Decode(std::string_view bytes);
  std::size_t EncodedSize() const;
  void EncodeTo(std::span<char> out) const;

  // kErrInvalidValue for an element that was removed: it cannot come back.
  Status Add(std::string_view element);
  // Nothing happens when the element is not in the set.
  void Remove(std::string_view element);
  bool Contains(std::string_view element) const;
  void Join(const TwoPSet& other);

  // Sorted, removed ones included.
  const std::vector<Element>& elements() const { return elements_; }
  std::vector<std::string_view> Live() const;
  bool operator==(const TwoPSet&) const = default;

 private:
  friend class JsonForms;
  std::vector<Element> elements_;
};

// Elements come and go; an addition wins over a removal that has not seen it. No tombstones: an
// element that one side lacks was removed there if and only if that side has seen its dot.
class OrSet {
 public:
  struct Element {
    std::string_view value;
    std::vector<replication::Dot>
        dots;  // the additions that nobody has removed; sorted, never empty
    bool operator==(const Element&) const = default;
  };

  static Result<OrSet> Decode(std::string_view bytes);
  std::size_t EncodedSize() const;
  void EncodeTo(std::span<char> out) const;

  // `dot` comes from a sequence of the whole node: a sequence of the row would start again when the
  // row does. kErrDotReused when the value has seen it already.
  Status Add(std::string_view element, const replication::Dot& dot);
  void Remove(std::string_view element);
  void Clear() { elements_.clear(); }
  bool Contains(std::string_view element) const;

  // kErrUnknownFolding when a value is of a later generation than the table.
  Status Join(const OrSet& other, const FoldTable& folds);
  void Fold(const FoldTable& folds);

  uint64_t generation() const { return generation_; }
  const replication::VersionVector& seen() const { return seen_; }
  // Sorted.
  const std::vector<Element>& elements() const { return elements_; }
  bool operator==(const OrSet&) const = default;

 private:
  friend class JsonForms;
  uint64_t generation_ = 0;
  replication::VersionVector seen_;
  std::vector<Element> elements_;
};

}  // namespace pgquorum::crdt

#include "base/pure.h"
