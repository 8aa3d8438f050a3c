// Replaces the content of a data directory by a finished base backup that lies inside it.
//
// The data directory itself cannot be replaced: it may be a mount point, and a service starts the
// server by its path. The server also insists, before it loads any library, on PG_VERSION,
// global/pg_control and its configuration file; these stay in place until their successor takes
// their name in one rename, so that after a crash at any point the next start gets as far as the
// intent.
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <set>
#include <string>

#include "extension/hooks/boot/clone_spaces.h"
#include "extension/hooks/boot/repair.h"
#include "extension/identity/files.h"
#include "extension/identity/identity.h"

namespace pgquorum::boot {

namespace {

namespace fs = std::filesystem;

const std::set<std::string>& KeptInPlace() {
  static const std::set<std::string> names = [] {
    std::set<std::string> all = {kCloneDirectory, kOldDirectory, "PG_VERSION", "global",
                                 "postmaster.pid"};
    for (const char* name : identity::kNodeFiles) {
      all.insert(name);
    }
    return all;
  }();
  return names;
}

// pg_wal may be a link to another file system: its target stays, its files are exchanged by
// copying.
Status ReplaceLinkedWal(const fs::path& link, const fs::path& fresh) {
  std::error_code error;
  fs::path target = fs::canonical(link, error);
  if (error) {
    return FileFailed("follow", link, error);
  }
  for (const auto& entry : fs::directory_iterator(target, error)) {
    std::error_code ignored;
    fs::remove_all(entry.path(), ignored);
  }
  for (const auto& entry : fs::directory_iterator(fresh, error)) {
    fs::copy(entry.path(), target / entry.path().filename(), fs::copy_options::recursive, error);
    if (error) {
      return FileFailed("copy", entry.path(), error);
    }
  }
  ::sync();
  fs::remove_all(fresh, error);
  return Status::Ok();
}

Status MoveOldAside(const fs::path& data, const fs::path& old) {
  std::error_code error;
  fs::create_directory(old, error);
  if (error) {
    return FileFailed("create directory", old, error);
  }
  for (const auto& entry : fs::directory_iterator(data, error)) {
    std::string name = entry.path().filename().string();
    bool linked_wal = name == "pg_wal" && fs::is_symlink(entry.symlink_status());
    if (KeptInPlace().contains(name) || linked_wal) {
      continue;
    }
    std::error_code moved;
    fs::rename(entry.path(), old / name, moved);
    if (moved) {
      return FileFailed("move", entry.path(), moved);
    }
  }
  return error ? FileFailed("read directory", data, error) : Status::Ok();
}

Status Move(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  return error ? FileFailed("move", from, error) : Status::Ok();
}

// Exchanges the files of the shared catalogs, the control file last of all: until then the
// directory is not the source's.
Status ReplaceGlobal(const fs::path& fresh, const fs::path& present) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(present, error)) {
    if (entry.path().filename() != "pg_control") {
      std::error_code ignored;
      fs::remove_all(entry.path(), ignored);
    }
  }
  for (const auto& entry : fs::directory_iterator(fresh, error)) {
    if (entry.path().filename() != "pg_control") {
      Status status = Move(entry.path(), present / entry.path().filename());
      if (!status.ok()) {
        return status;
      }
    }
  }
  return error ? FileFailed("read directory", fresh, error)
               : Move(fresh / "pg_control", present / "pg_control");
}

Status MoveNewIn(const fs::path& data, const fs::path& clone) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(clone, error)) {
    std::string name = entry.path().filename().string();
    if (KeptInPlace().contains(name)) {
      continue;  // the source's configuration is not ours; global follows below
    }
    bool linked_wal = name == "pg_wal" && fs::is_symlink(fs::symlink_status(data / name));
    Status status =
        linked_wal ? ReplaceLinkedWal(data / name, entry.path()) : Move(entry.path(), data / name);
    if (!status.ok()) {
      return status;
    }
  }
  return error ? FileFailed("read directory", clone, error)
               : ReplaceGlobal(clone / "global", data / "global");
}

Status SyncDirectory(const fs::path& path) {
  int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 || ::fsync(fd) != 0) {
    std::error_code error(errno, std::generic_category());
    if (fd >= 0) {
      ::close(fd);
    }
    return FileFailed("fsync", path, error);
  }
  ::close(fd);
  return Status::Ok();
}

}  // namespace

Status SwapInClone(const std::string& data_directory) {
  fs::path data = data_directory;
  fs::path clone = data / kCloneDirectory;
  fs::path old = data / kOldDirectory;
  std::error_code error;
  if (!fs::exists(clone / "global" / "pg_control", error)) {
    return Status::Error("58P01", "there is no finished base backup in \"" + clone.string() + "\"");
  }
  fs::remove_all(old, error);
  Status status = MoveOldAside(data, old);
  if (status.ok()) {
    status = MoveNewIn(data, clone);
  }
  if (status.ok()) {
    status = SyncDirectory(data / "global");
  }
  if (status.ok()) {
    status = SyncDirectory(data);
  }
  if (!status.ok()) {
    return status;
  }
  fs::remove_all(clone, error);
  fs::remove_all(old, error);
  return Status::Ok();
}

}  // namespace pgquorum::boot

#include "base/pure.h"
