// Internal: as much JSON as the text form of replicated values needs. Numbers are integers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pgquorum::crdt {

struct Json {
  enum class Kind : uint8_t { kNull, kBool, kNumber, kString, kArray, kObject };
  Kind kind = Kind::kNull;
  bool boolean = false;
  bool negative = false;
  uint64_t magnitude = 0;  // of a number
  std::string text;
  std::vector<Json> items;         // of an array, or an object's values
  std::vector<std::string> names;  // of an object's items

  // Null when it is no object or has no such member.
  const Json* Member(std::string_view name) const;
};

// Nothing when the text is no JSON, has a number that is no 64-bit integer, a member twice, or is
// nested deeper than these forms are.
std::optional<Json> ParseJson(std::string_view text);

// Appends a string in quotes. Bytes above 0x7F are copied.
void AppendQuoted(std::string_view value, std::string& out);

}  // namespace pgquorum::crdt

#include "base/pure.h"
