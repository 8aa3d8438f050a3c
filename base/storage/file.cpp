#include "base/storage/file.h"

#include <algorithm>
#include <utility>

#include "base/storage/errors.h"

#include "base/pure.h"

namespace pgquorum {

std::string JoinPath(std::string_view directory, std::string_view name) {
  std::string path(directory);
  path += '/';
  path += name;
  return path;
}

Status CreateZeroFilled(FileSystem& fs, const std::string& path, uint64_t size) {
  Result<std::unique_ptr<File>> file = fs.Open(path, OpenMode::kCreate);
  if (!file.ok()) {
    return file.status();
  }
  const std::string zeros(std::size_t{1} << 20, '\0');
  for (uint64_t offset = 0; offset < size; offset += zeros.size()) {
    uint64_t part = std::min<uint64_t>(zeros.size(), size - offset);
    Status written = file.value()->Write(offset, std::string_view(zeros).substr(0, part));
    if (!written.ok()) {
      return written;
    }
  }
  return file.value()->Sync();
}

Result<std::string> ReadWhole(FileSystem& fs, const std::string& path, uint64_t max_bytes) {
  Result<std::unique_ptr<File>> file = fs.Open(path, OpenMode::kRead);
  if (!file.ok()) {
    return file.status();
  }
  Result<uint64_t> size = file.value()->Size();
  if (!size.ok()) {
    return size.status();
  }
  if (size.value() > max_bytes) {
    return Status::Error(kErrDamaged, "file \"" + path + "\" is larger than expected");
  }
  std::string content(size.value(), '\0');
  Result<std::size_t> got = file.value()->Read(0, content.data(), content.size());
  if (!got.ok()) {
    return got.status();
  }
  content.resize(got.value());
  return content;
}

Status WriteAtomically(FileSystem& fs, const std::string& directory, const std::string& name,
                       std::string_view content) {
  std::string path = JoinPath(directory, name);
  std::string temporary = path + ".partial";
  {
    Result<std::unique_ptr<File>> file = fs.Open(temporary, OpenMode::kCreate);
    if (!file.ok()) {
      return file.status();
    }
    Status status = file.value()->Write(0, content);
    if (status.ok()) {
      status = file.value()->Sync();
    }
    if (!status.ok()) {
      return status;
    }
  }
  Status status = fs.Rename(temporary, path);
  return status.ok() ? fs.SyncDirectory(directory) : status;
}

}  // namespace pgquorum
