// Registers: a value that is assigned. `OptionalText` without a value is an assigned null, which is
// something else than a column that is null and has no state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "bgworkers/replication/core/clock/hlc.h"
#include "bgworkers/replication/core/clock/version_vector.h"
#include "bgworkers/replication/core/crdt/types.h"

namespace pgquorum::crdt {

using OptionalText = std::optional<std::string_view>;

// The assignment with the highest stamp wins.
class LwwRegister {
 public:
  LwwRegister() = default;
  LwwRegister(const replication::Stamp& stamp, OptionalText value) : stamp_(stamp), value_(value) {}

  static Result<LwwRegister> Decode(std::string_view bytes);
  std::size_t EncodedSize() const;
  void EncodeTo(std::span<char> out) const;

  // A stamp at or below the present one (a clock that was set back) is raised above it: who
  // assigns has seen the present value.
  void Assign(const replication::Stamp& stamp, OptionalText value);
  void Join(const LwwRegister& other);

  const replication::Stamp& stamp() const { return stamp_; }
  const OptionalText& value() const { return value_; }
  bool operator==(const LwwRegister&) const = default;

 private:
  replication::Stamp stamp_;
  OptionalText value_;
};

// Keeps every value that was assigned without knowledge of the others; assigning replaces all that
// are seen.
class MvRegister {
 public:
  struct Version {
    replication::Dot dot;
    OptionalText value;
    bool operator==(const Version&) const = default;
  };

  static Result<MvRegister> Decode(std::string_view bytes);
  std::size_t EncodedSize() const;
  void EncodeTo(std::span<char> out) const;

  // `dot` as for OrSet::Add.
  Status Assign(const replication::Dot& dot, OptionalText value);

  // kErrUnknownFolding when a value is of a later generation than the table.
  Status Join(const MvRegister& other, const FoldTable& folds);
  void Fold(const FoldTable& folds);

  uint64_t generation() const { return generation_; }
  const replication::VersionVector& seen() const { return seen_; }
  // Sorted by dot; more than one: a conflict for the application to resolve by assigning.
  const std::vector<Version>& versions() const { return versions_; }
  bool operator==(const MvRegister&) const = default;

 private:
  friend class JsonForms;
  uint64_t generation_ = 0;
  replication::VersionVector seen_;
  std::vector<Version> versions_;
};

}  // namespace pgquorum::crdt

#include "base/pure.h"
