#include "extension/identity/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace pgquorum::identity {

namespace {

Status Failed(const char* what, const std::string& path, int error) {
  return Status::Error(
      error == ENOENT ? "58P01" : "58030",
      std::string("could not ") + what + " \"" + path + "\": " + std::strerror(error));
}

// Closes on every way out.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }

 private:
  int fd_;
};

std::string DirectoryOf(const std::string& path) {
  std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) {
    return ".";
  }
  return slash == 0 ? "/" : path.substr(0, slash);
}

Status WriteAll(int fd, const std::string& path, std::string_view content) {
  while (!content.empty()) {
    ssize_t written = ::write(fd, content.data(), content.size());
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written <= 0) {
      return Failed("write file", path, written == 0 ? ENOSPC : errno);
    }
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  return Status::Ok();
}

Status WriteWithMode(const std::string& path, std::string_view content, mode_t mode) {
  std::string temporary = path + ".tmp";
  Status status;
  {
    Descriptor file(
        ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode));
    if (!file.valid()) {
      return Failed("create file", temporary, errno);
    }
    status = WriteAll(file.get(), temporary, content);
    // A left-over temporary file of another owner's umask must not lend its mode.
    if (status.ok() && ::fchmod(file.get(), mode) != 0) {
      status = Failed("set permissions of file", temporary, errno);
    }
    if (status.ok() && ::fsync(file.get()) != 0) {
      status = Failed("fsync file", temporary, errno);
    }
  }
  if (status.ok() && ::rename(temporary.c_str(), path.c_str()) != 0) {
    status = Failed("rename file", temporary, errno);
  }
  if (!status.ok()) {
    ::unlink(temporary.c_str());
    return status;
  }
  return SyncDirectory(DirectoryOf(path));
}

}  // namespace

std::string ErrnoText(int error) {
  return std::strerror(error);
}

Status SyncDirectory(const std::string& path) {
  Descriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.valid() || ::fsync(directory.get()) != 0) {
    return Failed("fsync directory", path, errno);
  }
  return Status::Ok();
}

Result<std::string> ReadFile(const std::string& path, std::size_t max_bytes) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) {
    return Failed("open file", path, errno);
  }
  std::string content;
  char buffer[8192];
  for (;;) {
    ssize_t got = ::read(file.get(), buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return Failed("read file", path, errno);
    }
    if (got == 0) {
      return content;
    }
    content.append(buffer, static_cast<std::size_t>(got));
    if (content.size() > max_bytes) {
      return Failed("read file", path, EFBIG);
    }
  }
}

Result<std::optional<std::string>> ReadFileIfThere(const std::string& path, std::size_t max_bytes) {
  Result<std::string> content = ReadFile(path, max_bytes);
  if (content.ok()) {
    return std::optional<std::string>(std::move(content).value());
  }
  if (content.status().sqlstate() == "58P01") {
    return std::optional<std::string>();
  }
  return content.status();
}

Status WriteFileDurably(const std::string& path, std::string_view content) {
  return WriteWithMode(path, content, 0600);
}

Status RemoveFileDurably(const std::string& path) {
  if (::unlink(path.c_str()) != 0) {
    return errno == ENOENT ? Status::Ok() : Failed("remove file", path, errno);
  }
  return SyncDirectory(DirectoryOf(path));
}

bool FileExists(const std::string& path) {
  struct stat info;
  return ::stat(path.c_str(), &info) == 0;
}

Status MakeDirectory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0) {
    int error = errno;
    struct stat info;
    if (error == EEXIST && ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
      return Status::Ok();
    }
    return Failed("create directory", path, error);
  }
  return SyncDirectory(DirectoryOf(path));
}

Status CopyFileDurably(const std::string& from, const std::string& to) {
  struct stat info;
  if (::stat(from.c_str(), &info) != 0) {
    return Failed("read file", from, errno);
  }
  Result<std::string> content = ReadFile(from, std::size_t{16} << 20);
  if (!content.ok()) {
    return content.status();
  }
  return WriteWithMode(to, content.value(), info.st_mode & 0777);
}

}  // namespace pgquorum::identity

#include "base/pure.h"
