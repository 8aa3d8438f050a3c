// Reads one origin's transactions from the spool's files, in order, from any process: senders and
// appliers have one each. What is durable never changes, so nothing is locked; the owner of the
// spool says how far that is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/storage/file.h"
#include "bgworkers/replication/spool/spool_format.h"

namespace pgquorum::replication {

struct SpooledTransaction {
  uint64_t sequence = 0;
  Hlc hlc;  // of its commit
  std::string bytes;
};

class SpoolReader {
 public:
  // Begins with the transaction `next` (at least 1).
  SpoolReader(FileSystem& fs, std::string directory, const SpoolIdentity& identity, Origin origin,
              uint64_t next);

  // The transactions from next() up to `durable` (Watermarks::durable): as many as fit into
  // `max_bytes`, at least one, none when next() is above `durable`. kErrSequenceGap: next() was
  // trimmed, the reader's site needs another source or a new copy. After any error the reader
  // stands where it was.
  Result<std::vector<SpooledTransaction>> Read(uint64_t durable, std::size_t max_bytes);

  Origin origin() const { return origin_; }
  uint64_t next() const { return next_; }
  void Seek(uint64_t next);

 private:
  Status Locate();
  Status Load(std::size_t bytes);
  void Skip(std::size_t bytes);
  std::string_view rest() const { return std::string_view(buffer_).substr(at_); }
  Result<bool> ParseHere(SpoolRecord& record);
  Result<SpoolRecord> NextRecord();
  Status Damaged() const;

  FileSystem& fs_;
  std::string directory_;
  SpoolIdentity identity_;
  Origin origin_;
  uint64_t next_;

  std::unique_ptr<File> file_;  // null: not located yet
  SpoolSegment segment_;
  uint64_t limit_ = 0;  // first sequence of the segment behind it; 0: none when it was located
  uint32_t seed_ = 0;
  uint64_t offset_ = 0;  // of the next record, in the file
  std::string buffer_;   // a part of the file
  std::size_t at_ = 0;   // of the next record, in the buffer
};

}  // namespace pgquorum::replication

#include "base/pure.h"
