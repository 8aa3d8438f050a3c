// Spool::Open: what the directory holds becomes the index, and a new segment for every origin.
#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/storage/errors.h"
#include "bgworkers/replication/core/errors.h"
#include "bgworkers/replication/spool/spool.h"
#include "bgworkers/replication/spool/spool_recovery.h"

#include "base/pure.h"

namespace pgquorum::replication {
namespace {

constexpr std::string_view kLockName = "lock";
constexpr std::string_view kPartialSuffix = ".partial";
constexpr std::string_view kDamagedSuffix = ".damaged";

}  // namespace

Result<std::unique_ptr<Spool>> Spool::Open(FileSystem& fs, std::string directory, uint64_t group_id,
                                           Origin own, const SpoolOptions& options,
                                           const std::map<Origin, uint64_t>& applied) {
  PGQUORUM_CHECK(group_id != 0 && static_cast<bool>(own));
  Status status = ValidateSpoolOptions(options);
  if (status.ok()) {
    status = fs.MakeDirectory(directory);
  }
  if (!status.ok()) {
    return status;
  }
  Result<std::unique_ptr<FileLock>> lock = fs.Lock(JoinPath(directory, kLockName));
  if (!lock.ok()) {
    return lock.status();
  }
  std::unique_ptr<Spool> spool(new Spool(fs, std::move(directory), group_id, own, options));
  spool->lock_ = std::move(lock).value();
  status = spool->Recover(applied);
  if (!status.ok()) {
    return status;
  }
  return spool;
}

Result<Spool::Origins> Spool::ListSegments() const {
  Result<std::vector<std::string>> names = fs_.List(directory_);
  if (!names.ok()) {
    return names.status();
  }
  Origins origins;
  for (const std::string& name : names.value()) {
    if (std::optional<SpoolSegment> segment = ParseSpoolSegmentName(name)) {
      origins[segment->origin].push_back(segment->first);
    }
  }
  for (auto& [origin, firsts] : origins) {
    std::sort(firsts.begin(), firsts.end());
  }
  return origins;
}

Status Spool::Recover(const std::map<Origin, uint64_t>& applied) {
  Result<std::vector<std::string>> names = fs_.List(directory_);
  if (!names.ok()) {
    return names.status();
  }
  for (const std::string& name : names.value()) {
    if (name.ends_with(kPartialSuffix)) {
      Status removed = fs_.Remove(JoinPath(directory_, name));
      if (!removed.ok()) {
        return removed;
      }
    }
  }
  Result<Origins> origins = ListSegments();
  if (!origins.ok()) {
    return origins.status();
  }
  for (const auto& [origin, sequence] : applied) {
    if (!origins.value().contains(origin) && sequence > 0) {
      index_.StartAt(origin, sequence);
    }
  }
  for (const auto& [origin, firsts] : origins.value()) {
    auto found = applied.find(origin);
    uint64_t tables = found == applied.end() ? 0 : found->second;
    Status status = RecoverOrigin(origin, firsts, tables);
    if (!status.ok()) {
      return status;
    }
  }
  return Status::Ok();
}

Status Spool::RecoverOrigin(Origin origin, const std::vector<uint64_t>& firsts, uint64_t applied) {
  Result<SpoolImage> recovered = RecoverSpoolOrigin(fs_, directory_, identity(), origin, firsts);
  if (!recovered.ok()) {
    return recovered.status();
  }
  SpoolImage& image = recovered.value();
  if (origin == own_) {
    applied = std::max(applied, image.next() - 1);
  }
  if (firsts.front() > applied + 1) {
    return Status::Error(kErrSequenceGap, "the tables are older than the spool")
        .WithDetail("Of origin " + origin.ToString() + " the tables have everything up to " +
                    std::to_string(applied) + "; the spool begins with " +
                    std::to_string(firsts.front()) + ".")
        .WithHint("A site that was restored needs a new incarnation and a new copy.");
  }
  // A copy brought more along, or damage took it: nothing can be appended to what is here.
  bool behind = image.next() <= applied;
  Status status;
  if (!image.damage.empty()) {
    damage_.push_back({origin, image.next(), image.damage});
    status = SetAside(origin, behind ? firsts : image.unusable);
  } else if (behind) {
    status = Drop(origin, firsts);
  }
  if (behind) {
    image.segments.clear();
    image.tail.clear();
    image.tail_begin = applied + 1;
  }
  torn_bytes_ += image.torn_bytes;
  if (status.ok()) {
    status = Begin({origin, image.tail_begin}, image.tail);
  }
  return status.ok() ? Adopt(origin, image, applied) : status;
}

// The index takes over what there is.
Status Spool::Adopt(Origin origin, const SpoolImage& image, uint64_t applied) {
  std::vector<Segment> segments = image.segments;
  if (!image.tail.empty()) {
    segments.push_back({image.tail_begin, image.next() - 1, 0});
    for (const SpooledTransaction& transaction : image.tail) {
      segments.back().bytes += LogRecordBytes(transaction.bytes.size());
    }
  }
  Status status = index_.Recover(origin, segments, applied);
  if (image.tail.empty()) {
    index_.Seal(origin);  // the new segment is empty, and its file another one
  }
  return status;
}

// Keeps files for somebody to look at; nothing reads them again.
Status Spool::SetAside(Origin origin, const std::vector<uint64_t>& firsts) {
  for (uint64_t first : firsts) {
    std::string path = JoinPath(directory_, SpoolSegmentName({origin, first}));
    Status status = fs_.Rename(path, path + std::string(kDamagedSuffix));
    if (!status.ok()) {
      return status;
    }
  }
  return fs_.SyncDirectory(directory_);
}

// From the newest down, so that a crash in between leaves no hole.
Status Spool::Drop(Origin origin, const std::vector<uint64_t>& firsts) {
  for (auto first = firsts.rbegin(); first != firsts.rend(); ++first) {
    Status status = fs_.Remove(JoinPath(directory_, SpoolSegmentName({origin, *first})));
    if (!status.ok()) {
      return status;
    }
  }
  return fs_.SyncDirectory(directory_);
}

}  // namespace pgquorum::replication
