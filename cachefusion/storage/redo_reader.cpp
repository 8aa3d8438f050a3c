#include <algorithm>
#include <utility>

#include "base/storage/errors.h"
#include "cachefusion/storage/redo_log.h"

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

constexpr std::size_t kReadBytes = std::size_t{1} << 20;

}  // namespace

RedoReader::RedoReader(FileSystem& fs, std::string directory, uint64_t storage_id,
                       Incarnation incarnation, RedoAddress begin, std::size_t file_bytes)
    : fs_(fs),
      directory_(std::move(directory)),
      storage_id_(storage_id),
      incarnation_(incarnation),
      position_(begin.value()),
      file_bytes_(file_bytes),
      window_begin_(begin.value()) {}

Status RedoReader::SyncFiles() {
  Result<std::vector<std::string>> names = fs_.List(directory_);
  if (!names.ok()) {
    return names.status();
  }
  for (const std::string& name : names.value()) {
    std::optional<RedoFileId> id = ParseRedoFileName(name);
    if (!id || id->incarnation != incarnation_) {
      continue;
    }
    Result<std::unique_ptr<File>> file = fs_.Open(JoinPath(directory_, name), OpenMode::kReadWrite);
    Status status = file.ok() ? file.value()->Sync() : file.status();
    if (!status.ok()) {
      return status;
    }
  }
  return fs_.SyncDirectory(directory_);
}

Result<bool> RedoReader::OpenFile(uint64_t number) {
  if (file_ != nullptr && file_number_ == number) {
    return true;
  }
  file_.reset();
  Result<std::unique_ptr<File>> file =
      fs_.Open(JoinPath(directory_, RedoFileName(incarnation_, number)), OpenMode::kRead);
  if (!file.ok()) {
    return file.status().sqlstate() == kErrFileMissing ? Result<bool>(false) : file.status();
  }
  std::string header(kRedoFileHeaderBytes, '\0');
  Result<std::size_t> got = file.value()->Read(0, header.data(), header.size());
  if (!got.ok()) {
    return got.status();
  }
  // Files get their name when they are whole, so a wrong header is damage, not a torn write.
  if (header != EncodeRedoFileHeader(storage_id_, incarnation_, number)) {
    return Status::Error(
        kErrDamaged, "header of redo file \"" + RedoFileName(incarnation_, number) + "\" is wrong");
  }
  file_ = std::move(file).value();
  file_number_ = number;
  return true;
}

Result<bool> RedoReader::Fill(std::size_t length) {
  uint64_t payload = file_bytes_ - kRedoFileHeaderBytes;
  while (window_begin_ + window_.size() < position_ + length) {
    uint64_t from = window_begin_ + window_.size();
    Result<bool> open = OpenFile(from / payload);
    if (!open.ok() || !open.value()) {
      return open;
    }
    std::size_t want = std::min<uint64_t>(kReadBytes, payload - from % payload);
    std::size_t old = window_.size();
    window_.resize(old + want);
    Result<std::size_t> got =
        file_->Read(kRedoFileHeaderBytes + from % payload, window_.data() + old, want);
    if (!got.ok()) {
      return got.status();
    }
    window_.resize(old + got.value());
    if (got.value() == 0) {
      return false;
    }
  }
  return true;
}

Result<std::optional<RedoRecord>> RedoReader::Next() {
  // What lies before the position is not needed any more; moved rarely, not for each record.
  if (position_ - window_begin_ >= kReadBytes) {
    window_.erase(0, position_ - window_begin_);
    window_begin_ = position_;
  }
  auto view = [&](std::size_t length) {
    return std::string_view(window_).substr(position_ - window_begin_, length);
  };
  Result<bool> there = Fill(sizeof(uint32_t));
  if (!there.ok()) {
    return there.status();
  }
  std::size_t length = there.value() ? ClaimedLength(view(sizeof(uint32_t))) : 0;
  if (length == 0) {
    return std::optional<RedoRecord>();
  }
  there = Fill(length);
  if (!there.ok()) {
    return there.status();
  }
  if (!there.value()) {
    return std::optional<RedoRecord>();
  }
  Result<RedoRecord> record = DecodeRecord(view(length), incarnation_, RedoAddress(position_));
  if (!record.ok()) {
    return std::optional<RedoRecord>();  // the torn end of the thread
  }
  position_ += length;
  return std::optional<RedoRecord>(std::move(record).value());
}

}  // namespace pgquorum::fusion
