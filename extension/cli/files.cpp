#include "extension/cli/files.h"

#include <cerrno>
#include <cstring>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "extension/cli/console.h"

namespace pgquorum::cli {
namespace {

Status SyncDirectory(const fs::path& directory) {
  const int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) {
    return SystemErrorErrno("could not open directory " + directory.string());
  }
  const int result = fsync(fd);
  close(fd);
  if (result != 0) {
    return SystemErrorErrno("could not sync directory " + directory.string());
  }
  return Status::Ok();
}

bool WriteAll(int fd, std::string_view content) {
  while (!content.empty()) {
    const ssize_t n = write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n <= 0) {
      return false;
    }
    content.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

}  // namespace

Status WriteFile(const fs::path& path, std::string_view content, mode_t mode) {
  struct stat old {};
  if (stat(path.c_str(), &old) == 0) {
    mode = old.st_mode & 07777;
  }
  const std::string temporary = path.string() + ".pgquorum-tmp";
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  if (fd < 0) {
    return SystemErrorErrno("could not create file " + temporary);
  }
  const bool written = fchmod(fd, mode) == 0 && WriteAll(fd, content) && fsync(fd) == 0;
  const Status failed =
      written ? Status::Ok() : SystemErrorErrno("could not write file " + temporary);
  close(fd);
  if (!written) {
    unlink(temporary.c_str());
    return failed;
  }
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    return SystemErrorErrno("could not rename " + temporary + " to " + path.string());
  }
  return SyncDirectory(path.parent_path());
}

fs::path Absolute(const std::string& path) {
  std::error_code error;
  fs::path absolute = fs::absolute(path, error).lexically_normal();
  // "dir/" and "dir" are the same directory: names derived from it must be too.
  return absolute.has_filename() ? absolute : absolute.parent_path();
}

bool IsEmptyDirectory(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error) && fs::is_empty(path, error) && !error;
}

bool Exists(const fs::path& path) {
  std::error_code error;
  return fs::exists(fs::symlink_status(path, error));
}

Status EnsurePrivateDirectory(const fs::path& path, uid_t uid, gid_t gid) {
  struct stat info {};
  if (stat(path.c_str(), &info) == 0) {
    if (!S_ISDIR(info.st_mode)) {
      return InvalidArgument(path.string() + " exists and is no directory");
    }
    if (info.st_uid == uid) {
      return Status::Ok();
    }
    if (geteuid() == 0 && IsEmptyDirectory(path) && chown(path.c_str(), uid, gid) == 0) {
      return Status::Ok();
    }
    return InvalidArgument("directory " + path.string() + " belongs to another account")
        .WithDetail("Its owner has user id " + std::to_string(info.st_uid) +
                    "; the server will run as user id " + std::to_string(uid) + ".");
  }
  std::error_code error;
  if (!path.parent_path().empty()) {
    fs::create_directories(path.parent_path(), error);
    if (error) {
      return SystemError("could not create directory " + path.parent_path().string() + ": " +
                         error.message());
    }
  }
  if (mkdir(path.c_str(), 0700) != 0) {
    return SystemErrorErrno("could not create directory " + path.string());
  }
  if (geteuid() == 0 && chown(path.c_str(), uid, gid) != 0) {
    return SystemErrorErrno("could not change the owner of " + path.string());
  }
  return Status::Ok();
}

void RemoveQuietly(const fs::path& path, bool self) {
  std::error_code error;
  if (self) {
    fs::remove_all(path, error);
    return;
  }
  for (const auto& entry : fs::directory_iterator(path, error)) {
    fs::remove_all(entry.path(), error);
  }
}

}  // namespace pgquorum::cli
