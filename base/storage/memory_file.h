// A file system in memory that loses power: what was not synced may be gone, in part or whole, and
// any operation can be made to fail. For tests and the simulator; same interface as the real one.
//
// The model, as hostile as the interface allows:
//   - a crash keeps any subset of the 512-byte sectors written since the last sync of the file;
//   - names are durable only after SyncDirectory; a crash keeps a prefix of the changes since;
//   - after a failed sync the unsynced writes can still be read, by a later process too, but never
//     become durable, not even by a later sync that reports success (Linux after a writeback
//     error).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/storage/file.h"

namespace pgquorum {

enum class MemoryFault : uint8_t {
  kCrash = 0,       // this operation is done in part, it and all later ones report an error
  kIoError = 1,     // a write does nothing, a sync loses what it should have saved
  kNoSpace = 2,     // a write does nothing
  kShortWrite = 3,  // the first half is written, then EIO
};

enum class MemoryLoss : uint8_t {
  kRandom = 0,  // see above
  kAll = 1,     // nothing unsynced survives
  kNone =
      2,  // only the process ends: what is not durable can still be read, and is no more durable
};

class MemoryFileSystem : public FileSystem {
 public:
  Result<std::unique_ptr<File>> Open(const std::string& path, OpenMode mode) override;
  Status Rename(const std::string& from, const std::string& to) override;
  Status Remove(const std::string& path) override;
  Status SyncDirectory(const std::string& directory) override;
  Result<std::vector<std::string>> List(const std::string& directory) override;
  Status MakeDirectory(const std::string& directory) override;
  Result<std::unique_ptr<FileLock>> Lock(const std::string& path) override;
  Result<uint64_t> DirectoryNumber(const std::string& directory) override;

  // Operations that change something (writes, syncs, creations, renames, removals, directory syncs)
  // are counted from 1.
  uint64_t operations() const;
  void FailAt(uint64_t operation, MemoryFault fault);
  // Every sync from now on takes effect for nobody: it reports success and is a lie.
  void LoseSyncs(bool lose);
  // The power goes, and comes back: faults are cleared, locks released. Files that are still open
  // fail. With kNone the power stays, and what was written waits for a sync as before.
  void PowerCycle(Random& random, MemoryLoss loss);

  // For tests that look at, or damage, what is there (and durable).
  std::string Content(const std::string& path);
  void Overwrite(const std::string& path, uint64_t offset, std::string_view data);
  void FlipBit(const std::string& path, uint64_t bit);
  // As `cp -r` does: the content is the same, the directory number is not.
  void RenumberDirectory(const std::string& directory);

 private:
  friend class MemoryFile;
  friend class MemoryLock;

  struct Write {
    uint64_t offset;
    std::string data;
  };
  struct Inode {
    std::string content;
    std::string durable;
    std::vector<Write> unsynced;
  };
  struct NameChange {
    std::string remove;  // empty: none
    std::string add;     // empty: none
    std::shared_ptr<Inode> inode;
  };
  struct Directory {
    uint64_t number = 0;
    std::vector<NameChange> unsynced;
  };
  using Names = std::map<std::string, std::shared_ptr<Inode>>;

  // The fault that hits this operation, if any. Caller holds the mutex.
  Result<std::optional<MemoryFault>> Count(const std::string& path);
  static void Apply(const Write& write, std::string& to);
  static void Apply(const NameChange& change, Names& names);
  void Change(NameChange change, const std::string& path);
  Status WriteTo(Inode& inode, uint64_t generation, uint64_t offset, std::string_view data,
                 const std::string& path);
  Status Sync(Inode& inode, uint64_t generation, const std::string& path);

  mutable std::mutex mutex_;
  Names names_;
  Names durable_names_;
  std::map<std::string, Directory> directories_;
  std::set<std::string> locks_;
  uint64_t generation_ = 0;  // power cycles
  uint64_t operations_ = 0;
  uint64_t next_number_ = 100;
  uint64_t fail_at_ = 0;
  MemoryFault fault_ = MemoryFault::kCrash;
  bool crashed_ = false;
  bool lose_syncs_ = false;
};

}  // namespace pgquorum

#include "base/pure.h"
