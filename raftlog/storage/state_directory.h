// The directory of one Raft instance: whose it is, and that nobody else has it open.
//
//   lock       held (flock) by the process that has the directory open
//   identity   cluster, node, and the number of the directory itself
//   log-*      segments        spare-*  files made ahead for them
//   snapshot-* published snapshots
//
// A node that forgets its vote can elect two leaders in one term. So a directory is refused when it
// belongs to another cluster or node; when it was copied (its own number is not the recorded one: a
// clone and its original would both vote as one node); and when it is known to have held a log that
// is no longer there.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "base/status.h"
#include "base/storage/file.h"
#include "raftlog/types.h"

namespace pgquorum::raft {

inline constexpr uint64_t kIdentityMagic = 0x31444E4944515047;  // "GPQDIND1" in file order
inline constexpr uint32_t kIdentityFormatVersion = 1;

struct DirectoryIdentity {
  uint64_t cluster_id = 0;  // never 0
  NodeId node;
};

class StateDirectory {
 public:
  // Creates the directory (not its parent) and the identity when there is none and no log either.
  // `adopt_moved`: the operator vouches that the directory was moved and that no copy of it is in
  // use; the new place is recorded. Errors: kErrInUse, kErrForeign, kErrDamaged, kErrFormat, I/O.
  static Result<std::unique_ptr<StateDirectory>> Open(FileSystem& fs, std::string path,
                                                      const DirectoryIdentity& identity,
                                                      bool adopt_moved);

  // The log has moved to another directory: this one, checked like Open() does, loses its identity
  // and is refused from now on. Nothing to do when that has happened already.
  static Status Retire(FileSystem& fs, const std::string& path, const DirectoryIdentity& identity);

  const std::string& path() const { return path_; }
  FileSystem& fs() const { return fs_; }
  const DirectoryIdentity& identity() const { return identity_; }
  // A log has existed here: from now on its absence is damage.
  bool log_created() const { return log_created_; }
  Status NoteLogCreated();

 private:
  StateDirectory(FileSystem& fs, std::string path, const DirectoryIdentity& identity,
                 std::unique_ptr<FileLock> lock)
      : fs_(fs), path_(std::move(path)), identity_(identity), lock_(std::move(lock)) {}

  Status Check(bool adopt_moved);
  Status WriteIdentity();

  FileSystem& fs_;
  std::string path_;
  DirectoryIdentity identity_;
  std::unique_ptr<FileLock> lock_;
  uint64_t directory_number_ = 0;
  bool log_created_ = false;
};

}  // namespace pgquorum::raft

#include "base/pure.h"
