// The WAL files of the own data directory. Only POSIX; `data_directory` may be "." in the server's
// processes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace pgquorum::consensus {

// The number of a segment from its file's name, whatever the timeline; nullopt for other files.
std::optional<uint64_t> SegmentOfName(std::string_view name, uint32_t segment_size);

// The first of the unbroken row of segments that ends with `newest`: what a walsender can send. A
// segment counts on any timeline, since one that is not the sender's own is part of its history or
// lies above the end. At a segment's end the next one, `newest`, need not be there yet. `newest` +
// 1 when there is none of the row. 58030 when pg_wal cannot be read.
Result<uint64_t> OldestSegment(const std::string& data_directory, uint64_t newest,
                               uint32_t segment_size);

}  // namespace pgquorum::consensus
