#include "extension/fusion/storage_lock.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

#include "base/storage/errors.h"
#include "base/storage/file.h"
#include "cachefusion/storage/format.h"

namespace pgquorum::fusion::server {
namespace {

constexpr char kInUse[] = "55006";
constexpr off_t kServerByte = 0;
constexpr off_t kUserByte = 1;

int g_file = -1;

Status Open(const std::string& directory) {
  if (g_file >= 0) {
    return Status::Ok();
  }
  std::string path = JoinPath(directory, kLockName);
  g_file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  return g_file >= 0
             ? Status::Ok()
             : Status::Error(kErrIo, "could not open \"" + path + "\": " + std::strerror(errno));
}

// False: somebody has a lock that conflicts.
Result<bool> Set(off_t byte, short type) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = byte;
  lock.l_len = 1;
  int result;
  do {
    result = ::fcntl(g_file, F_OFD_SETLK, &lock);
  } while (result != 0 && errno == EINTR);
  if (result == 0) {
    return true;
  }
  return errno == EAGAIN || errno == EACCES
             ? Result<bool>(false)
             : Status::Error(kErrIo, std::string("could not lock the fusion storage: ") +
                                         std::strerror(errno));
}

Status Take(off_t byte, short type, const char* otherwise) {
  Result<bool> taken = Set(byte, type);
  if (!taken.ok()) {
    return taken.status();
  }
  return taken.value() ? Status::Ok() : Status::Error(kInUse, otherwise);
}

}  // namespace

Status LockAsServer(const std::string& directory, bool again) {
  Status status = Open(directory);
  if (status.ok()) {
    status = Take(kServerByte, F_WRLCK, "another server has the fusion storage open");
  }
  if (again) {
    return status;
  }
  if (status.ok()) {
    status =
        Take(kUserByte, F_WRLCK, "processes of an earlier server still use the fusion storage");
  }
  if (status.ok()) {
    status = Take(kUserByte, F_UNLCK, "");
  }
  return status;
}

Status LockAsUser(const std::string& directory) {
  Status status = Open(directory);
  return status.ok() ? Take(kUserByte, F_RDLCK, "the fusion storage is about to change its server")
                     : status;
}

void UnlockAsServer() {
  if (g_file >= 0) {
    ::close(g_file);
    g_file = -1;
  }
}

}  // namespace pgquorum::fusion::server
