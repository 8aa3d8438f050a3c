// Changes that users make, for any of the types.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "bgworkers/replication/core/clock/origin.h"
#include "bgworkers/replication/core/crdt/registers.h"
#include "bgworkers/replication/core/crdt/types.h"

namespace pgquorum::crdt {

// Who writes: this site as it is now, and its clock, which hands out readings above `above` and
// above all that it has handed out. They are the sequences of dots and the times of assignments.
struct Author {
  replication::Origin origin;
  std::function<uint64_t(uint64_t above)> tick;
};

// Adds an element to a set; removes one from a set that can.
Result<std::string> AddElements(std::string_view set, const std::vector<std::string_view>& elements,
                                const Author& author);
Result<std::string> RemoveElements(std::string_view set,
                                   const std::vector<std::string_view>& elements);
// Gives a register a value.
Result<std::string> AssignText(std::string_view value, OptionalText text, const Author& author);

// A column that had the value `old` is assigned `wanted`. When `wanted` is a later state of `old`
// it is taken as it is. Otherwise somebody has assigned a plain value, or one that was read before
// others changed the row: the result is `old`, changed so that it shows what `wanted` shows.
Result<std::string> AssignShown(std::string_view old, std::string_view wanted,
                                const Author& author);

}  // namespace pgquorum::crdt

#include "base/pure.h"
