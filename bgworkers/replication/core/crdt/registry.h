// The replicated types by number: what apply, compaction, verification and the SQL types' input and
// output need without caring which type it is.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "bgworkers/replication/core/crdt/types.h"

namespace pgquorum::crdt {

struct TypeInfo {
  Type type;
  std::string_view name;  // of the SQL type, without its schema
  bool counts_origins;    // its values fold origins that have left
};

inline constexpr std::array<TypeInfo, 7> kTypes = {{
    {Type::kLwwRegister, "lww_register", false},
    {Type::kGCounter, "g_counter", true},
    {Type::kPnCounter, "pn_counter", true},
    {Type::kGSet, "g_set", false},
    {Type::kTwoPSet, "two_p_set", false},
    {Type::kOrSet, "or_set", true},
    {Type::kMvRegister, "mv_register", true},
}};

const TypeInfo& InfoOf(Type type);
std::optional<Type> TypeNamed(std::string_view name);
// The type that the bytes say they are of; nothing else is checked.
std::optional<Type> TypeOf(std::string_view bytes);

// A value that was never written to.
std::string Empty(Type type);
// Any bytes: kErrMalformedState unless a writer of this version made them.
Status Validate(Type type, std::string_view bytes);

// What a merge of these two may need at most.
std::size_t MergeBound(std::string_view a, std::string_view b);
// Merges two values of one type into `out` (MergeBound bytes; must not overlap the inputs) and
// returns the length. Nothing else is copied: elements go from the inputs to `out` directly. When
// the merge has nothing new, `out` holds the bytes of `a`.
Result<std::size_t> Merge(std::string_view a, std::string_view b, const FoldTable& folds,
                          std::span<char> out);
Result<std::string> Merge(std::string_view a, std::string_view b, const FoldTable& folds);

// The value with the origins that have left folded. Only for values that have seen everything of
// them: after the barrier.
Result<std::string> Fold(std::string_view bytes, const FoldTable& folds);

// kErrLimitExceeded above the cap: for values that a user has changed, never for merged ones.
Status CheckSize(Type type, std::size_t bytes, std::size_t max_bytes = kDefaultMaxBytes);

// The whole state as JSON, and back; FORMAT.md has the forms. Elements and register values become
// strings: bytes above 0x7F stay as they are, in the database's encoding.
Result<std::string> ToJson(std::string_view bytes);
Result<std::string> FromJson(Type type, std::string_view json);

// Bytes of a decoded value.
template <typename Value>
std::string Encode(const Value& value) {
  std::string bytes(value.EncodedSize(), '\0');
  value.EncodeTo(bytes);
  return bytes;
}

}  // namespace pgquorum::crdt

#include "base/pure.h"
