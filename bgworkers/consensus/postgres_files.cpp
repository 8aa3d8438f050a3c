#include "bgworkers/consensus/postgres_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "sqlstates.h"

namespace pgquorum::consensus {

namespace {

Status IoError(const char* verb, const std::string& path) {
  const int error = errno;
  return Status::Error(sqlstate::kIoError, std::string("could not ") + verb + " file \"" + path +
                                               "\": " + std::strerror(error));
}

std::string DirectoryOf(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) {
    return ".";
  }
  return slash == 0 ? "/" : path.substr(0, slash);
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) {
      close(fd_);
    }
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  // close() may report a write error that was delayed (NFS).
  int Close() { return close(std::exchange(fd_, -1)); }

 private:
  int fd_;
};

bool WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      if (n == 0) {
        errno = ENOSPC;
      }
      return false;
    }
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

Status WriteTemporary(const std::string& path, std::string_view content) {
  Descriptor fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (fd.get() < 0) {
    return IoError("create", path);
  }
  if (!WriteAll(fd.get(), content)) {
    return IoError("write", path);
  }
  if (fsync(fd.get()) != 0) {
    return IoError("fsync", path);
  }
  if (fd.Close() != 0) {
    return IoError("close", path);
  }
  return Status::Ok();
}

}  // namespace

std::string ErrnoText(int error) {
  return std::strerror(error);
}

Status FsyncDirectory(const std::string& directory) {
  Descriptor fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) {
    return IoError("open", directory);
  }
  if (fsync(fd.get()) != 0) {
    return IoError("fsync", directory);
  }
  return Status::Ok();
}

Status WriteFileDurably(const std::string& path, std::string_view content) {
  const std::string temporary = path + ".tmp";
  if (Status status = WriteTemporary(temporary, content); !status.ok()) {
    unlink(temporary.c_str());
    return status;
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    Status status = IoError("rename", temporary);
    unlink(temporary.c_str());
    return status;
  }
  return FsyncDirectory(DirectoryOf(path));
}

Result<std::optional<std::string>> ReadSmallFile(const std::string& path, std::size_t max_size) {
  Descriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) {
    if (errno == ENOENT) {
      return std::optional<std::string>();
    }
    return IoError("open", path);
  }
  std::string content;
  char buffer[8192];
  for (;;) {
    const ssize_t n = read(fd.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      return IoError("read", path);
    }
    if (n == 0) {
      return std::optional<std::string>(std::move(content));
    }
    content.append(buffer, static_cast<std::size_t>(n));
    if (content.size() > max_size) {
      return Status::Error(sqlstate::kDataCorrupted, "file \"" + path + "\" is too large");
    }
  }
}

Status RemoveFileDurably(const std::string& path) {
  if (unlink(path.c_str()) != 0) {
    return errno == ENOENT ? Status::Ok() : IoError("remove", path);
  }
  return FsyncDirectory(DirectoryOf(path));
}

// Pledge file: magic, version, length, content, CRC-32C of all before it seeded with the cluster
// id.
namespace {
constexpr std::string_view kPledgeMagic = "PGQPLDGE";
constexpr uint32_t kPledgeVersion = 1;
constexpr std::size_t kPledgeOverhead = 8 + 4 + 4 + 4;

uint32_t SeedOf(uint64_t cluster_id) {
  ByteWriter writer;
  writer.U64(cluster_id);
  return Crc32c(writer.data());
}
}  // namespace

PledgeFile::PledgeFile(std::string path, uint64_t cluster_id)
    : path_(std::move(path)), seed_(SeedOf(cluster_id)) {}

Result<std::optional<std::string>> PledgeFile::Read() const {
  Result<std::optional<std::string>> file = ReadSmallFile(path_, kMaxContent + kPledgeOverhead);
  if (!file.ok() || !file.value()) {
    return file;
  }
  const std::string& bytes = *file.value();
  Status damaged = Status::Error(sqlstate::kDataCorrupted,
                                 "pledge file \"" + path_ + "\" is damaged or foreign");
  if (bytes.size() < kPledgeOverhead || !bytes.starts_with(kPledgeMagic)) {
    return damaged;
  }
  ByteReader tail(std::string_view(bytes).substr(bytes.size() - 4));
  if (tail.U32() != Crc32c(std::string_view(bytes).substr(0, bytes.size() - 4), seed_)) {
    return damaged;
  }
  ByteReader reader(
      std::string_view(bytes).substr(kPledgeMagic.size(), bytes.size() - kPledgeMagic.size() - 4));
  const uint32_t version = reader.U32();
  std::string content(reader.Bytes(kMaxContent));
  if (version != kPledgeVersion || !reader.Finished()) {
    return damaged;
  }
  return std::optional<std::string>(std::move(content));
}

Status PledgeFile::Write(std::string_view content) const {
  PGQUORUM_CHECK(content.size() <= kMaxContent);
  ByteWriter writer;
  writer.Raw(kPledgeMagic);
  writer.U32(kPledgeVersion);
  writer.Bytes(content);
  writer.U32(Crc32c(writer.data(), seed_));
  return WriteFileDurably(path_, writer.data());
}

}  // namespace pgquorum::consensus
