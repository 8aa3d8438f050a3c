#include "bgworkers/replication/core/crdt/registry.h"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "bgworkers/replication/core/crdt/counter.h"
#include "bgworkers/replication/core/crdt/format.h"
#include "bgworkers/replication/core/crdt/registers.h"
#include "bgworkers/replication/core/crdt/sets.h"
#include "bgworkers/replication/core/errors.h"

#include "base/pure.h"

namespace pgquorum::crdt {
namespace {

// Calls `use` with the decoded value of each of `bytes`, all of one type.
template <typename Use, typename... Bytes>
auto WithValues(Type type, Use use, Bytes... bytes)
    -> decltype(use(Counter::Decode(type, bytes)...)) {
  switch (type) {
    case Type::kLwwRegister:
      return use(LwwRegister::Decode(bytes)...);
    case Type::kGCounter:
    case Type::kPnCounter:
      return use(Counter::Decode(type, bytes)...);
    case Type::kGSet:
      return use(GSet::Decode(bytes)...);
    case Type::kTwoPSet:
      return use(TwoPSet::Decode(bytes)...);
    case Type::kOrSet:
      return use(OrSet::Decode(bytes)...);
    case Type::kMvRegister:
      return use(MvRegister::Decode(bytes)...);
  }
  CheckFailed(__FILE__, __LINE__, "a replicated type");
}

template <typename Value>
concept Folds = requires(Value value, const FoldTable& folds) {
  value.Fold(folds);
};

template <typename Value>
Status JoinValues(Value& mine, const Value& theirs, const FoldTable& folds) {
  if constexpr (Folds<Value>) {
    return mine.Join(theirs, folds);
  } else {
    mine.Join(theirs);
    return Status::Ok();
  }
}

}  // namespace

const TypeInfo& InfoOf(Type type) {
  auto found = std::find_if(kTypes.begin(), kTypes.end(),
                            [&](const TypeInfo& info) { return info.type == type; });
  PGQUORUM_CHECK(found != kTypes.end());
  return *found;
}

std::optional<Type> TypeNamed(std::string_view name) {
  auto found = std::find_if(kTypes.begin(), kTypes.end(),
                            [&](const TypeInfo& info) { return info.name == name; });
  return found == kTypes.end() ? std::nullopt : std::optional(found->type);
}

std::optional<Type> TypeOf(std::string_view bytes) {
  auto found = std::find_if(kTypes.begin(), kTypes.end(), [&](const TypeInfo& info) {
    return !bytes.empty() && static_cast<char>(info.type) == bytes[0];
  });
  return found == kTypes.end() ? std::nullopt : std::optional(found->type);
}

std::string Empty(Type type) {
  switch (type) {
    case Type::kLwwRegister:
      return Encode(LwwRegister());
    case Type::kGCounter:
    case Type::kPnCounter:
      return Encode(Counter(type));
    case Type::kGSet:
      return Encode(GSet());
    case Type::kTwoPSet:
      return Encode(TwoPSet());
    case Type::kOrSet:
      return Encode(OrSet());
    case Type::kMvRegister:
      return Encode(MvRegister());
  }
  CheckFailed(__FILE__, __LINE__, "a replicated type");
}

Status Validate(Type type, std::string_view bytes) {
  return WithValues(
      type, [](const auto& value) { return value.status(); }, bytes);
}

std::size_t MergeBound(std::string_view a, std::string_view b) {
  // No part of a merge is larger than the parts it came from together, but for the base into which
  // origins are folded: four numbers and an origin.
  return a.size() + b.size() + 64;
}

Result<std::size_t> Merge(std::string_view a, std::string_view b, const FoldTable& folds,
                          std::span<char> out) {
  std::optional<Type> type = TypeOf(a);
  if (!type || type != TypeOf(b)) {
    return Status::Error(replication::kErrMalformedState, "replicated values of different types");
  }
  return WithValues(
      *type,
      [&](auto mine, auto theirs) -> Result<std::size_t> {
        if (!mine.ok() || !theirs.ok()) {
          return mine.ok() ? theirs.status() : mine.status();
        }
        Status joined = JoinValues(mine.value(), theirs.value(), folds);
        if (!joined.ok()) {
          return joined;
        }
        std::size_t size = mine.value().EncodedSize();
        PGQUORUM_CHECK(size <= out.size());
        mine.value().EncodeTo(out.first(size));
        return size;
      },
      a, b);
}

Result<std::string> Merge(std::string_view a, std::string_view b, const FoldTable& folds) {
  std::string out(MergeBound(a, b), '\0');
  Result<std::size_t> size = Merge(a, b, folds, out);
  if (!size.ok()) {
    return size.status();
  }
  out.resize(size.value());
  return out;
}

Result<std::string> Fold(std::string_view bytes, const FoldTable& folds) {
  std::optional<Type> type = TypeOf(bytes);
  if (!type) {
    return Status::Error(replication::kErrMalformedState, "not a replicated value");
  }
  return WithValues(
      *type,
      [&](auto value) -> Result<std::string> {
        if (!value.ok()) {
          return value.status();
        }
        if constexpr (Folds<std::remove_reference_t<decltype(value.value())>>) {
          if (value.value().generation() > folds.generation()) {
            return Status::Error(replication::kErrUnknownFolding,
                                 "replicated value was folded by a later change of the membership");
          }
          value.value().Fold(folds);
        }
        return Encode(value.value());
      },
      bytes);
}

Status CheckSize(Type type, std::size_t bytes, std::size_t max_bytes) {
  if (bytes <= max_bytes) {
    return Status::Ok();
  }
  return Status::Error(replication::kErrLimitExceeded,
                       "value of type " + std::string(InfoOf(type).name) + " would be too large")
      .WithDetail("The value would have " + std::to_string(bytes) + " bytes; the limit is " +
                  std::to_string(max_bytes) + ".");
}

}  // namespace pgquorum::crdt
