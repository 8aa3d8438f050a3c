// The file system as the stores of the pure rooms need it, so that tests and the simulator can
// replace it by one that loses power. Paths are plain; nothing here follows a current directory of
// its own.
//
// Every error is a Status (kErrIo, kErrDiskFull, kErrFileMissing, kErrInUse) that names the path.
// Nothing is retried but EINTR: after a failed write or sync nobody knows what the disk holds, and
// Linux reports a lost write to one fsync only (the "fsyncgate" of 2018). The stores built on this
// turn such an error into a sticky one and never touch their files again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace pgquorum {

// An open file. Reads may run in parallel with everything; writes and syncs come from one thread.
class File {
 public:
  virtual ~File() = default;

  // Up to `size` bytes from `offset` into `buffer`; returns how many, fewer only at the file's end.
  virtual Result<std::size_t> Read(uint64_t offset, char* buffer, std::size_t size) = 0;
  // All of `data` at `offset`, or an error after which the range's content is unknown.
  virtual Status Write(uint64_t offset, std::string_view data) = 0;
  // Everything written so far is durable, with the metadata needed to read it (fdatasync).
  virtual Status Sync() = 0;
  virtual Result<uint64_t> Size() = 0;
};

// Held until destroyed. Two holders of one path never exist, not even within a process.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

enum class OpenMode : uint8_t {
  kRead = 0,
  kReadWrite = 1,  // of an existing file
  kCreate = 2,     // read-write; an existing file is emptied
};

// Safe for use by several threads on different files.
class FileSystem {
 public:
  virtual ~FileSystem() = default;

  virtual Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) = 0;
  // Atomic; replaces `to`. Durable after SyncDirectory.
  virtual Status Rename(const std::string& from, const std::string& to) = 0;
  virtual Status Remove(const std::string& path) = 0;
  // The names in `directory` (its creations, renames and removals) are durable.
  virtual Status SyncDirectory(const std::string& directory) = 0;
  // Names of the regular files, sorted.
  virtual Result<std::vector<std::string>> List(const std::string& directory) = 0;
  // With the mode 0700; an existing directory is left as it is. The parent must exist.
  virtual Status MakeDirectory(const std::string& directory) = 0;
  // Never waits: kErrInUse when somebody holds it. Creates the file.
  virtual Result<std::unique_ptr<FileLock>> Lock(const std::string& path) = 0;
  // A number that stays as long as the directory exists in its place and that a copy of it does not
  // share (the inode).
  virtual Result<uint64_t> DirectoryNumber(const std::string& directory) = 0;
};

// A file of `size` zero bytes, really written (an fdatasync into it later has no metadata to
// update: 95 µs instead of 145 on the reference machine) and synced. Its name is not: see
// FileSystem::SyncDirectory.
Status CreateZeroFilled(FileSystem& fs, const std::string& path, uint64_t size);

// The whole content. kErrDamaged beyond `max_bytes`.
Result<std::string> ReadWhole(FileSystem& fs, const std::string& path, uint64_t max_bytes);

// `content` under `path`, durably and atomically: temporary file, sync, rename, directory sync.
Status WriteAtomically(FileSystem& fs, const std::string& directory, const std::string& name,
                       std::string_view content);

std::string JoinPath(std::string_view directory, std::string_view name);

// The one of the operating system; stateless.
FileSystem& PosixFileSystem();

}  // namespace pgquorum

#include "base/pure.h"
