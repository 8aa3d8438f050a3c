#include "raftlog/storage/segment_pool.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/pure.h"

namespace pgquorum::raft {
namespace {

constexpr std::string_view kSparePrefix = "spare-";
constexpr std::string_view kPartialSuffix = ".partial";

}  // namespace

Result<std::unique_ptr<SegmentPool>> SegmentPool::Open(FileSystem& fs, std::string directory,
                                                       uint64_t segment_bytes, uint32_t keep) {
  Result<std::vector<std::string>> names = fs.List(directory);
  if (!names.ok()) {
    return names.status();
  }
  std::unique_ptr<SegmentPool> pool(new SegmentPool(fs, std::move(directory), segment_bytes, keep));
  for (const std::string& name : names.value()) {
    if (!name.starts_with(kSparePrefix)) {
      continue;
    }
    std::string path = JoinPath(pool->directory_, name);
    bool usable = false;
    if (!name.ends_with(kPartialSuffix) && pool->spares_.size() < keep) {
      Result<std::unique_ptr<File>> file = fs.Open(path, OpenMode::kRead);
      if (!file.ok()) {
        return file.status();
      }
      Result<uint64_t> size = file.value()->Size();
      if (!size.ok()) {
        return size.status();
      }
      usable = size.value() == segment_bytes;
    }
    if (!usable) {
      Status removed = fs.Remove(path);
      if (!removed.ok()) {
        return removed;
      }
      continue;
    }
    uint64_t number = 0;
    std::from_chars(name.data() + kSparePrefix.size(), name.data() + name.size(), number);
    pool->next_spare_ = std::max(pool->next_spare_, number + 1);
    pool->spares_.push_back(name);
  }
  return pool;
}

std::string SegmentPool::NewSpareName() {
  std::lock_guard lock(mutex_);
  return std::string(kSparePrefix) + std::to_string(next_spare_++);
}

Result<std::unique_ptr<File>> SegmentPool::Take(const std::string& name, uint64_t bytes) {
  std::string path = JoinPath(directory_, name);
  std::string spare;
  if (bytes <= segment_bytes_) {
    std::lock_guard lock(mutex_);
    if (!spares_.empty()) {
      spare = std::move(spares_.back());
      spares_.pop_back();
    }
  }
  if (spare.empty()) {
    spare = NewSpareName() + std::string(kPartialSuffix);
    Status made =
        CreateZeroFilled(fs_, JoinPath(directory_, spare), std::max(bytes, segment_bytes_));
    if (!made.ok()) {
      return made;
    }
    std::lock_guard lock(mutex_);
    ++made_;
  }
  Status status = fs_.Rename(JoinPath(directory_, spare), path);
  if (status.ok()) {
    // Before the first byte: a recycled file must not be found under its old name with new content.
    status = fs_.SyncDirectory(directory_);
  }
  if (!status.ok()) {
    return status;
  }
  return fs_.Open(path, OpenMode::kReadWrite);
}

Status SegmentPool::Replenish() {
  if (!filling_) {
    if (missing() == 0) {
      return Status::Ok();
    }
    filling_name_ = filling_name_.empty() ? NewSpareName() : filling_name_;
    Result<std::unique_ptr<File>> file = fs_.Open(
        JoinPath(directory_, filling_name_ + std::string(kPartialSuffix)), OpenMode::kCreate);
    if (!file.ok()) {
      return file.status();
    }
    filling_ = std::move(file).value();
    filled_ = 0;
  }
  Status status = FillStep();
  if (!status.ok()) {
    filling_.reset();  // the next attempt begins with an empty file
  }
  return status;
}

Status SegmentPool::FillStep() {
  std::string zeros(std::min(kFillStepBytes, segment_bytes_ - filled_), '\0');
  Status status = filling_->Write(filled_, zeros);
  if (status.ok()) {
    status = filling_->Sync();
  }
  filled_ += zeros.size();
  if (!status.ok() || filled_ < segment_bytes_) {
    return status;
  }
  filling_.reset();
  status = fs_.Rename(JoinPath(directory_, filling_name_ + std::string(kPartialSuffix)),
                      JoinPath(directory_, filling_name_));
  if (!status.ok()) {
    return status;
  }
  std::lock_guard lock(mutex_);
  ++made_;
  spares_.push_back(std::exchange(filling_name_, {}));
  return status;
}

uint32_t SegmentPool::missing() const {
  std::lock_guard lock(mutex_);
  return keep_ - std::min(keep_, static_cast<uint32_t>(spares_.size()));
}

Status SegmentPool::Recycle(const std::string& name, uint64_t bytes) {
  bool wanted;
  {
    std::lock_guard lock(mutex_);
    wanted = bytes == segment_bytes_ && spares_.size() < keep_;
  }
  if (!wanted) {
    return fs_.Remove(JoinPath(directory_, name));
  }
  std::string spare = NewSpareName();
  Status status = fs_.Rename(JoinPath(directory_, name), JoinPath(directory_, spare));
  if (!status.ok()) {
    return status;
  }
  std::lock_guard lock(mutex_);
  ++recycled_;
  spares_.push_back(std::move(spare));
  return Status::Ok();
}

uint64_t SegmentPool::made() const {
  std::lock_guard lock(mutex_);
  return made_;
}

uint64_t SegmentPool::recycled() const {
  std::lock_guard lock(mutex_);
  return recycled_;
}

}  // namespace pgquorum::raft
