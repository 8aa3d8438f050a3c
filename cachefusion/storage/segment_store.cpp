#include "cachefusion/storage/segment_store.h"

#include <algorithm>
#include <cstring>

#include "base/storage/errors.h"
#include "cachefusion/storage/format.h"

#include "base/pure.h"

namespace pgquorum::fusion {

std::string SegmentStore::Path(uint64_t segment, uint32_t part) const {
  return JoinPath(directory_, SegmentFileName(segment, part));
}

File* SegmentStore::Keep(Key key, std::unique_ptr<File> file) {
  for (auto it = files_.begin(); files_.size() >= max_open_files_ && it != files_.end();) {
    it = written_.contains(it->first) ? std::next(it) : files_.erase(it);
  }
  return (files_[key] = std::move(file)).get();
}

Result<File*> SegmentStore::Open(uint64_t segment, uint32_t part) {
  auto found = files_.find({segment, part});
  if (found != files_.end()) {
    return found->second.get();
  }
  Result<std::unique_ptr<File>> file = fs_.Open(Path(segment, part), OpenMode::kReadWrite);
  if (!file.ok()) {
    return file.status().sqlstate() == kErrFileMissing ? Result<File*>(nullptr) : file.status();
  }
  return Keep({segment, part}, std::move(file).value());
}

Result<File*> SegmentStore::Create(uint64_t segment, uint32_t part) {
  Result<std::unique_ptr<File>> file = fs_.Open(Path(segment, part), OpenMode::kCreate);
  if (!file.ok()) {
    return file.status();
  }
  created_ = true;
  return Keep({segment, part}, std::move(file).value());
}

Result<PageCheck> SegmentStore::Read(PageId id, char* page) {
  Result<File*> file = Open(id.segment, id.block / kSegmentPartBlocks);
  if (!file.ok()) {
    return file.status();
  }
  std::size_t got = 0;
  if (file.value() != nullptr) {
    uint64_t offset = uint64_t{id.block % kSegmentPartBlocks} * kPageBytes;
    Result<std::size_t> read = file.value()->Read(offset, page, kPageBytes);
    if (!read.ok()) {
      return read.status();
    }
    got = read.value();
  }
  std::memset(page + got, 0, kPageBytes - got);
  return CheckPage(page, id);
}

Status SegmentStore::Write(PageId id, const char* page) {
  uint32_t part = id.block / kSegmentPartBlocks;
  Result<File*> file = Open(id.segment, part);
  if (file.ok() && file.value() == nullptr) {
    file = Create(id.segment, part);
  }
  if (!file.ok()) {
    return file.status();
  }
  written_.insert({id.segment, part});
  uint64_t offset = uint64_t{id.block % kSegmentPartBlocks} * kPageBytes;
  return file.value()->Write(offset, std::string_view(page, kPageBytes));
}

Status SegmentStore::SyncWrites() {
  for (const Key& key : written_) {
    Status synced = files_.at(key)->Sync();
    if (!synced.ok()) {
      return synced;
    }
  }
  written_.clear();
  if (created_) {
    Status synced = fs_.SyncDirectory(directory_);
    if (!synced.ok()) {
      return synced;
    }
    created_ = false;
  }
  return Status::Ok();
}

Status SegmentStore::Remove(uint64_t segment) {
  Result<std::vector<std::string>> names = fs_.List(directory_);
  if (!names.ok()) {
    return names.status();
  }
  bool removed = false;
  for (const std::string& name : names.value()) {
    std::optional<SegmentFileId> id = ParseSegmentFileName(name);
    if (id && id->segment == segment) {
      files_.erase({segment, id->part});
      written_.erase({segment, id->part});
      Status status = fs_.Remove(JoinPath(directory_, name));
      if (!status.ok()) {
        return status;
      }
      removed = true;
    }
  }
  return removed ? fs_.SyncDirectory(directory_) : Status::Ok();
}

Result<std::vector<uint64_t>> SegmentStore::List() {
  Result<std::vector<std::string>> names = fs_.List(directory_);
  if (!names.ok()) {
    return names.status();
  }
  std::set<uint64_t> segments;
  for (const std::string& name : names.value()) {
    std::optional<SegmentFileId> id = ParseSegmentFileName(name);
    if (id) {
      segments.insert(id->segment);
    }
  }
  return std::vector<uint64_t>(segments.begin(), segments.end());
}

Result<uint32_t> SegmentStore::Blocks(uint64_t segment) {
  uint64_t blocks = 0;
  for (uint32_t part = 0;; ++part) {
    Result<File*> file = Open(segment, part);
    if (!file.ok()) {
      return file.status();
    }
    if (file.value() == nullptr) {
      return static_cast<uint32_t>(blocks);
    }
    Result<uint64_t> size = file.value()->Size();
    if (!size.ok()) {
      return size.status();
    }
    blocks = uint64_t{part} * kSegmentPartBlocks + (size.value() + kPageBytes - 1) / kPageBytes;
  }
}

void SegmentStore::CloseFiles() {
  std::erase_if(files_, [&](const auto& entry) { return !written_.contains(entry.first); });
}

}  // namespace pgquorum::fusion
