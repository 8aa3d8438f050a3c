// Reads one origin's segments back and tells a torn tail from damage (base/storage/log_record.h).
//
// Of the newest segment only what a later record vouches for is taken as it lies there. The rest
// that verifies is taken, too, but may be in the system's cache alone, after a sync that failed: it
// is handed out as `tail`, to be written again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/storage/file.h"
#include "bgworkers/replication/core/stream/spool_index.h"
#include "bgworkers/replication/spool/spool_format.h"
#include "bgworkers/replication/spool/spool_reader.h"

namespace pgquorum::replication {

struct SpoolImage {
  std::vector<Segment> segments;         // as they lie there
  std::vector<SpooledTransaction> tail;  // what follows on them
  uint64_t torn_bytes = 0;
  std::string damage;  // not empty: what is damaged; the image is what lies in front
  // Segments that hold nothing of the image.
  std::vector<uint64_t> unusable;

  // The first sequence that is neither in the segments nor in the tail.
  uint64_t tail_begin = 1;
  uint64_t next() const { return tail_begin + tail.size(); }
};

// `firsts`: of the origin's segments, ascending, at least one. kErrForeignSpool, kErrSpoolFormat,
// errors of the disk.
Result<SpoolImage> RecoverSpoolOrigin(FileSystem& fs, const std::string& directory,
                                      const SpoolIdentity& identity, Origin origin,
                                      const std::vector<uint64_t>& firsts);

}  // namespace pgquorum::replication

#include "base/pure.h"
