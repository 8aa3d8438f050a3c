// The file system of Linux behind base/storage/file.h.
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

#include "base/storage/errors.h"
#include "base/storage/file.h"

#include "base/pure.h"

namespace pgquorum {
namespace {

Status ErrnoStatus(const char* what, const std::string& path, int error) {
  std::string_view sqlstate = kErrIo;
  if (error == ENOSPC || error == EDQUOT) {
    sqlstate = kErrDiskFull;
  } else if (error == ENOENT) {
    sqlstate = kErrFileMissing;
  }
  return Status::Error(sqlstate, std::string("could not ") + what + " \"" + path +
                                     "\": " + std::generic_category().message(error));
}

// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) {
      ::close(fd_);  // nothing unsynced is ever promised, so an error here changes nothing
    }
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;

  int get() const { return fd_; }

 private:
  int fd_;
};

Result<Descriptor> OpenDescriptor(const std::string& path, int flags) {
  int fd;
  do {
    fd = ::open(path.c_str(), flags | O_CLOEXEC, 0600);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) {
    return ErrnoStatus("open", path, errno);
  }
  return Descriptor(fd);
}

class PosixFile : public File {
 public:
  PosixFile(Descriptor fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Result<std::size_t> Read(uint64_t offset, char* buffer, std::size_t size) override {
    std::size_t done = 0;
    while (done < size) {
      ssize_t n = ::pread(fd_.get(), buffer + done, size - done, static_cast<off_t>(offset + done));
      if (n < 0) {
        if (errno == EINTR) {
          continue;
        }
        return ErrnoStatus("read", path_, errno);
      }
      if (n == 0) {
        break;
      }
      done += static_cast<std::size_t>(n);
    }
    return done;
  }

  Status Write(uint64_t offset, std::string_view data) override {
    while (!data.empty()) {
      ssize_t n = ::pwrite(fd_.get(), data.data(), data.size(), static_cast<off_t>(offset));
      if (n < 0) {
        if (errno == EINTR) {
          continue;
        }
        return ErrnoStatus("write", path_, errno);
      }
      if (n == 0) {
        return ErrnoStatus("write", path_, ENOSPC);
      }
      data.remove_prefix(static_cast<std::size_t>(n));
      offset += static_cast<uint64_t>(n);
    }
    return Status::Ok();
  }

  Status Sync() override {
    // Not even EINTR is retried: a second call could report success for pages already given up.
    return ::fdatasync(fd_.get()) == 0 ? Status::Ok() : ErrnoStatus("fdatasync", path_, errno);
  }

  Result<uint64_t> Size() override {
    struct stat info {};
    if (::fstat(fd_.get(), &info) != 0) {
      return ErrnoStatus("stat", path_, errno);
    }
    return static_cast<uint64_t>(info.st_size);
  }

 private:
  Descriptor fd_;
  std::string path_;
};

class PosixLock : public FileLock {
 public:
  explicit PosixLock(Descriptor fd) : fd_(std::move(fd)) {}

 private:
  Descriptor fd_;  // flock() ends with the descriptor, also when the process is killed
};

class PosixFs : public FileSystem {
 public:
  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override {
    int flags = mode == OpenMode::kRead ? O_RDONLY : O_RDWR;
    if (mode == OpenMode::kCreate) {
      flags |= O_CREAT | O_TRUNC;
    }
    Result<Descriptor> fd = OpenDescriptor(path, flags);
    if (!fd.ok()) {
      return fd.status();
    }
    return std::unique_ptr<File>(std::make_unique<PosixFile>(std::move(fd).value(), path));
  }

  Status Rename(const std::string& from, const std::string& to) override {
    return ::rename(from.c_str(), to.c_str()) == 0 ? Status::Ok()
                                                   : ErrnoStatus("rename", from, errno);
  }

  Status Remove(const std::string& path) override {
    return ::unlink(path.c_str()) == 0 ? Status::Ok() : ErrnoStatus("remove", path, errno);
  }

  Status SyncDirectory(const std::string& directory) override {
    Result<Descriptor> fd = OpenDescriptor(directory, O_RDONLY | O_DIRECTORY);
    if (!fd.ok()) {
      return fd.status();
    }
    return ::fsync(fd.value().get()) == 0 ? Status::Ok() : ErrnoStatus("fsync", directory, errno);
  }

  Result<std::vector<std::string>> List(const std::string& directory) override {
    DIR* dir = ::opendir(directory.c_str());
    if (dir == nullptr) {
      return ErrnoStatus("open directory", directory, errno);
    }
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(dir)) {
      struct stat info {};
      if (::fstatat(::dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
          S_ISREG(info.st_mode)) {
        names.emplace_back(entry->d_name);
      }
      errno = 0;
    }
    int error = errno;
    ::closedir(dir);
    if (error != 0) {
      return ErrnoStatus("read directory", directory, error);
    }
    std::sort(names.begin(), names.end());
    return names;
  }

  Status MakeDirectory(const std::string& directory) override {
    return ::mkdir(directory.c_str(), 0700) == 0 || errno == EEXIST
               ? Status::Ok()
               : ErrnoStatus("create directory", directory, errno);
  }

  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override {
    Result<Descriptor> fd = OpenDescriptor(path, O_RDWR | O_CREAT);
    if (!fd.ok()) {
      return fd.status();
    }
    if (::flock(fd.value().get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) {
        return Status::Error(kErrInUse, "\"" + path + "\" is locked by another process");
      }
      return ErrnoStatus("lock", path, errno);
    }
    return std::unique_ptr<FileLock>(std::make_unique<PosixLock>(std::move(fd).value()));
  }

  Result<uint64_t> DirectoryNumber(const std::string& directory) override {
    struct stat info {};
    if (::stat(directory.c_str(), &info) != 0) {
      return ErrnoStatus("stat", directory, errno);
    }
    return static_cast<uint64_t>(info.st_ino);
  }
};

}  // namespace

FileSystem& PosixFileSystem() {
  static PosixFs fs;
  return fs;
}

}  // namespace pgquorum
