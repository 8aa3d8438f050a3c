// Reads a directory's segments back into a LogIndex and tells a torn tail from damage.
//
// Every record says how far the log was durable when it was written. Bytes that do not verify are
// therefore
//   torn     when no later record proves that they were durable: the write was under way when the
//            power went, nothing of it was ever acknowledged, the log ends there;
//   damage   when one does: the log has lost what it promised. What lies in front is kept, and what
//            must be had again is recorded as `refill`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/storage/file.h"
#include "raftlog/storage/log_format.h"
#include "raftlog/storage/log_index.h"

namespace pgquorum::raft {

struct LogImage {
  LogIndex index;
  HardState hard_state;
  Refill refill;
  Index snapshot;  // the latest marker; 0: none
  Term snapshot_term;

  uint64_t last_sequence = 0;  // the highest number ever used by a file that is there
  // Of the newest segment of `index`: a later record says that everything in front was synced.
  uint64_t synced = 0;
  bool needs_segment = true;     // nothing may be appended to the newest segment
  uint64_t torn_bytes = 0;       // a write that never finished was dropped
  std::string damage;            // not empty: what is damaged
  std::vector<uint64_t> unused;  // segment files that the log does not consist of
};

// kErrDamaged only when no segment at all is readable though the log was in use; kErrForeign,
// kErrFormat, I/O errors. Damage that leaves something to go on from is in the image.
Result<LogImage> RecoverLog(FileSystem& fs, const std::string& directory, uint64_t cluster_id,
                            NodeId node);

}  // namespace pgquorum::raft

#include "base/pure.h"
