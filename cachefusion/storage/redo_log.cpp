#include "cachefusion/storage/redo_log.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/storage/errors.h"

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

constexpr std::string_view kPartial = ".partial";

}  // namespace

RedoLog::RedoLog(FileSystem& fs, std::string directory, RedoShared& shared, char* ring,
                 std::size_t ring_bytes, std::size_t file_bytes, Latches& latches)
    : fs_(fs),
      directory_(std::move(directory)),
      shared_(shared),
      ring_(ring),
      ring_bytes_(ring_bytes),
      file_bytes_(file_bytes),
      latches_(latches) {
  PGQUORUM_CHECK(file_bytes > 2 * kRedoFileHeaderBytes);
}

Status RedoLog::Start(uint64_t storage_id, Incarnation incarnation) {
  shared_.storage_id.store(storage_id);
  shared_.incarnation.store(incarnation.value());
  shared_.insert.store(kFirstRedoAddress);
  shared_.durable.store(kFirstRedoAddress);
  file_.reset();
  Result<File*> file = FileFor(kFirstRedoAddress);
  return file.ok() ? Status::Ok() : file.status();
}

Status RedoLog::Broken(Status status) {
  shared_.broken.store(1, std::memory_order_release);
  return status;
}

void RedoLog::CopyIn(uint64_t position, std::string_view bytes) {
  std::size_t at = position % ring_bytes_;
  std::size_t first = std::min(bytes.size(), ring_bytes_ - at);
  std::memcpy(ring_ + at, bytes.data(), first);
  std::memcpy(ring_, bytes.data() + first, bytes.size() - first);
}

Result<RedoRange> RedoLog::Append(std::string& bytes) {
  PGQUORUM_CHECK(bytes.size() <= ring_bytes_ / 2);
  for (;;) {
    if (shared_.broken.load(std::memory_order_acquire) != 0) {
      return Status::Error(kErrStorageClosed, "fusion storage is broken by an earlier error")
          .WithHint("Look for the error in the server's log, mend it and restart the server.");
    }
    uint64_t begin;
    bool fits;
    {
      LatchHold hold(latches_, kRedoInsertLatch, LatchMode::kExclusive);
      begin = shared_.insert.load(std::memory_order_relaxed);
      fits = begin + bytes.size() - shared_.durable.load(std::memory_order_acquire) <= ring_bytes_;
      if (fits) {
        SealRecord(bytes, incarnation(), RedoAddress(begin));
        CopyIn(begin, bytes);
        shared_.insert.store(begin + bytes.size(), std::memory_order_release);
      }
    }
    if (fits) {
      shared_.records.fetch_add(1, std::memory_order_relaxed);
      return RedoRange{RedoAddress(begin), RedoAddress(begin + bytes.size())};
    }
    shared_.ring_full.fetch_add(1, std::memory_order_relaxed);
    Status flushed = Flush(RedoAddress(begin));
    if (!flushed.ok()) {
      return flushed;
    }
  }
}

Status RedoLog::Flush(RedoAddress to) {
  PGQUORUM_CHECK(to <= end());
  while (durable() < to) {
    if (!latches_.AcquireOrWait(kRedoFlushLatch)) {
      if (durable() >= to) {
        shared_.flush_waits.fetch_add(1, std::memory_order_relaxed);
      }
      continue;
    }
    Status status = Status::Ok();
    if (shared_.broken.load(std::memory_order_acquire) != 0) {
      status = Status::Error(kErrStorageClosed, "fusion storage is broken by an earlier error");
    } else if (durable() < to) {
      uint64_t last = end().value();
      status = WriteOut(durable().value(), last);
      if (status.ok()) {
        shared_.flushes.fetch_add(1, std::memory_order_relaxed);
        shared_.durable.store(last, std::memory_order_release);
      } else {
        status = Broken(std::move(status));
      }
    }
    latches_.Release(kRedoFlushLatch);
    if (!status.ok()) {
      return status;
    }
  }
  return Status::Ok();
}

Status RedoLog::WriteOut(uint64_t from, uint64_t to) {
  while (from < to) {
    Result<File*> file = FileFor(from);
    if (!file.ok()) {
      return file.status();
    }
    uint64_t in_file = from % payload();
    uint64_t end_of_file = from - in_file + payload();
    uint64_t part_end = std::min(to, end_of_file);
    while (from < part_end) {
      std::size_t at = from % ring_bytes_;
      std::size_t length = std::min<uint64_t>(part_end - from, ring_bytes_ - at);
      Status written = file.value()->Write(kRedoFileHeaderBytes + from % payload(),
                                           std::string_view(ring_ + at, length));
      if (!written.ok()) {
        return written;
      }
      from += length;
    }
    Status synced = file.value()->Sync();
    if (!synced.ok()) {
      return synced;
    }
  }
  return Status::Ok();
}

Result<File*> RedoLog::FileFor(uint64_t position) {
  uint64_t number = position / payload();
  if (file_ != nullptr && file_number_ == number && file_incarnation_ == incarnation()) {
    return file_.get();
  }
  std::string name = RedoFileName(incarnation(), number);
  std::string path = JoinPath(directory_, name);
  // Another process of this instance may have made it.
  Result<std::unique_ptr<File>> file = fs_.Open(path, OpenMode::kReadWrite);
  if (!file.ok() && file.status().sqlstate() == kErrFileMissing) {
    std::string partial = path + std::string(kPartial);
    Status status = CreateZeroFilled(fs_, partial, file_bytes_);
    if (status.ok()) {
      file = fs_.Open(partial, OpenMode::kReadWrite);
      status = file.status();
    }
    if (status.ok()) {
      status = file.value()->Write(
          0, EncodeRedoFileHeader(shared_.storage_id.load(), incarnation(), number));
    }
    if (status.ok()) {
      status = file.value()->Sync();
    }
    if (status.ok()) {
      status = fs_.Rename(partial, path);
    }
    if (status.ok()) {
      status = fs_.SyncDirectory(directory_);
    }
    if (!status.ok()) {
      return status;
    }
  }
  if (!file.ok()) {
    return file.status();
  }
  file_ = std::move(file).value();
  file_number_ = number;
  file_incarnation_ = incarnation();
  return file_.get();
}

Status RedoLog::RemoveBefore(RedoAddress checkpoint) {
  uint64_t keep = checkpoint.value() / payload();
  Result<std::vector<std::string>> names = fs_.List(directory_);
  if (!names.ok()) {
    return names.status();
  }
  for (const std::string& name : names.value()) {
    // A file of an earlier thread that was never finished goes with it.
    std::string_view whole = name;
    if (whole.ends_with(kPartial)) {
      whole.remove_suffix(kPartial.size());
    }
    std::optional<RedoFileId> id = ParseRedoFileName(whole);
    if (id && (id->incarnation < incarnation() ||
               (id->incarnation == incarnation() && id->number < keep))) {
      Status removed = fs_.Remove(JoinPath(directory_, name));
      if (!removed.ok()) {
        return removed;
      }
    }
  }
  return Status::Ok();
}

}  // namespace pgquorum::fusion
