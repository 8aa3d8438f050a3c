// What users see of a value: a number, a text, some texts. The state behind it is not shown.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "bgworkers/replication/core/crdt/registers.h"
#include "bgworkers/replication/core/crdt/types.h"

namespace pgquorum::crdt {

// Elements that are in a set, sorted; the value of a register, or all concurrent ones, sorted.
// Views into the bytes. Not for counters.
Result<std::vector<OptionalText>> ShownTexts(std::string_view bytes);

// Every text that the bytes hold, shown or not: what has to be valid in the database's encoding.
Result<std::vector<std::string_view>> AllTexts(std::string_view bytes);

// Two values show the same if and only if their keys are equal; memcmp of keys orders them:
// counters by number, texts by bytes, a null behind every text, lists element by element.
Result<std::string> ShownKey(std::string_view bytes);
// The key of a counter that shows this number.
std::string NumberKey(int64_t value);

// 299, null for a counter out of range; "text" or null; ["a", "b"].
Result<std::string> ShownJson(std::string_view bytes);

}  // namespace pgquorum::crdt

#include "base/pure.h"
