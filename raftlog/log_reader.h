// Where the core reads log entries that it no longer holds in memory. Implemented by the log store
// (raftlog/storage) and by tests.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "raftlog/types.h"

namespace pgquorum::raft {

// Called from the core's thread while the log writer may be appending: an implementation must be
// safe against its own writer. The core only asks for entries that were reported durable, are above
// the last compaction, and have not been overwritten since.
class LogReader {
 public:
  virtual ~LogReader() = default;
  // Entries first, first + 1, … up to and including `last`, at least one, stopping once their sizes
  // (SizeOf) exceed `max_bytes`. An error is fatal to the core: see Core::fatal().
  virtual Result<std::vector<Entry>> Read(Index first, Index last, uint64_t max_bytes) = 0;
};

}  // namespace pgquorum::raft

#include "base/pure.h"
