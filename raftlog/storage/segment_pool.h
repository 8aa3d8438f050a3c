// Zero-filled files waiting to become segments. Making one costs tens of milliseconds, which no
// commit should wait for; released segments come back here instead of being deleted.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/storage/file.h"

namespace pgquorum::raft {

class SegmentPool {
 public:
  // Picks up the spares that `directory` holds. `keep` of them are made ahead and kept at most.
  static Result<std::unique_ptr<SegmentPool>> Open(FileSystem& fs, std::string directory,
                                                   uint64_t segment_bytes, uint32_t keep);

  // A file named `name`, durably there, of at least `bytes` bytes: a spare where one fits, else a
  // new one (zero-filled on the spot). Its content is zeroes or an earlier segment's records.
  Result<std::unique_ptr<File>> Take(const std::string& name, uint64_t bytes);
  // A step (kFillStepBytes, synced) towards the next spare, if any is missing: whoever calls sets
  // the pace, so that commits need not wait behind the filling of a whole file. From any thread,
  // one at a time.
  Status Replenish();
  static constexpr uint64_t kFillStepBytes = uint64_t{1} << 20;
  uint32_t missing() const;  // spares to be made
  // The segment's file becomes a spare, or is removed when there are enough or it has not the
  // standard size.
  Status Recycle(const std::string& name, uint64_t bytes);

  uint64_t made() const;      // files filled on the spot or ahead
  uint64_t recycled() const;  // segments that came back

 private:
  SegmentPool(FileSystem& fs, std::string directory, uint64_t segment_bytes, uint32_t keep)
      : fs_(fs), directory_(std::move(directory)), segment_bytes_(segment_bytes), keep_(keep) {}

  std::string NewSpareName();
  Status FillStep();

  FileSystem& fs_;
  std::string directory_;
  uint64_t segment_bytes_;
  uint32_t keep_;
  std::unique_ptr<File> filling_;  // Replenish's
  std::string filling_name_;
  uint64_t filled_ = 0;
  mutable std::mutex mutex_;
  std::vector<std::string> spares_;
  uint64_t next_spare_ = 1;
  uint64_t made_ = 0;
  uint64_t recycled_ = 0;
};

}  // namespace pgquorum::raft

#include "base/pure.h"
