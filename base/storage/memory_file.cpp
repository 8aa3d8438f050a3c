#include "base/storage/memory_file.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/storage/errors.h"

#include "base/pure.h"

namespace pgquorum {
namespace {

constexpr uint64_t kSectorBytes = 512;

std::string DirectoryOf(const std::string& path) {
  return path.substr(0, path.rfind('/'));
}

Status Missing(const std::string& path) {
  return Status::Error(kErrFileMissing, "could not open \"" + path + "\": no such file");
}

Status IoError(const std::string& path) {
  return Status::Error(kErrIo, "injected error on \"" + path + "\"");
}

}  // namespace

class MemoryFile : public File {
 public:
  MemoryFile(MemoryFileSystem& fs, std::shared_ptr<MemoryFileSystem::Inode> inode, std::string path)
      : fs_(fs), inode_(std::move(inode)), path_(std::move(path)), generation_(fs.generation_) {}

  Result<std::size_t> Read(uint64_t offset, char* buffer, std::size_t size) override {
    std::lock_guard lock(fs_.mutex_);
    if (fs_.crashed_ || generation_ != fs_.generation_) {
      return IoError(path_);
    }
    const std::string& content = inode_->content;
    if (offset >= content.size()) {
      return std::size_t{0};
    }
    std::size_t n = std::min<uint64_t>(size, content.size() - offset);
    content.copy(buffer, n, offset);
    return n;
  }
  Status Write(uint64_t offset, std::string_view data) override {
    std::lock_guard lock(fs_.mutex_);
    return fs_.WriteTo(*inode_, generation_, offset, data, path_);
  }
  Status Sync() override {
    std::lock_guard lock(fs_.mutex_);
    return fs_.Sync(*inode_, generation_, path_);
  }
  Result<uint64_t> Size() override {
    std::lock_guard lock(fs_.mutex_);
    return uint64_t{inode_->content.size()};
  }

 private:
  MemoryFileSystem& fs_;
  std::shared_ptr<MemoryFileSystem::Inode> inode_;
  std::string path_;
  uint64_t generation_;
};

class MemoryLock : public FileLock {
 public:
  MemoryLock(MemoryFileSystem& fs, std::string path)
      : fs_(fs), path_(std::move(path)), generation_(fs.generation_) {}
  ~MemoryLock() override {
    std::lock_guard lock(fs_.mutex_);
    if (generation_ == fs_.generation_) {
      fs_.locks_.erase(path_);
    }
  }

 private:
  MemoryFileSystem& fs_;
  std::string path_;
  uint64_t generation_;
};

void MemoryFileSystem::Apply(const Write& write, std::string& to) {
  if (to.size() < write.offset + write.data.size()) {
    to.resize(write.offset + write.data.size(), '\0');
  }
  to.replace(write.offset, write.data.size(), write.data);
}

void MemoryFileSystem::Apply(const NameChange& change, Names& names) {
  if (!change.remove.empty()) {
    names.erase(change.remove);
  }
  if (!change.add.empty()) {
    names[change.add] = change.inode;
  }
}

Result<std::optional<MemoryFault>> MemoryFileSystem::Count(const std::string& path) {
  if (crashed_) {
    return IoError(path);
  }
  ++operations_;
  if (operations_ != fail_at_) {
    return std::optional<MemoryFault>();
  }
  crashed_ = fault_ == MemoryFault::kCrash;
  return std::optional(fault_);
}

Status MemoryFileSystem::WriteTo(Inode& inode, uint64_t generation, uint64_t offset,
                                 std::string_view data, const std::string& path) {
  if (generation != generation_) {
    return IoError(path);
  }
  Result<std::optional<MemoryFault>> fault = Count(path);
  if (!fault.ok()) {
    return fault.status();
  }
  bool half = false;
  if (fault.value()) {
    switch (*fault.value()) {
      case MemoryFault::kNoSpace:
        return Status::Error(kErrDiskFull, "could not write \"" + path + "\": no space left");
      case MemoryFault::kIoError:
        return IoError(path);
      case MemoryFault::kCrash:
        break;  // all of it may or may not survive
      case MemoryFault::kShortWrite:
        data = data.substr(0, data.size() / 2);
        half = true;
        break;
    }
  }
  Write write{offset, std::string(data)};
  Apply(write, inode.content);
  inode.unsynced.push_back(std::move(write));
  return half || crashed_ ? IoError(path) : Status::Ok();
}

Status MemoryFileSystem::Sync(Inode& inode, uint64_t generation, const std::string& path) {
  if (generation != generation_) {
    return IoError(path);
  }
  Result<std::optional<MemoryFault>> fault = Count(path);
  if (!fault.ok()) {
    return fault.status();
  }
  if (fault.value()) {
    if (*fault.value() != MemoryFault::kCrash) {
      inode.unsynced.clear();
    }
    return IoError(path);
  }
  if (lose_syncs_) {
    return Status::Ok();
  }
  for (const Write& write : inode.unsynced) {
    Apply(write, inode.durable);
  }
  inode.unsynced.clear();
  return Status::Ok();
}

Result<std::unique_ptr<File>> MemoryFileSystem::Open(const std::string& path, OpenMode mode) {
  std::lock_guard lock(mutex_);
  if (crashed_) {
    return IoError(path);
  }
  auto found = names_.find(path);
  if (mode == OpenMode::kCreate) {
    Result<std::optional<MemoryFault>> fault = Count(path);
    if (!fault.ok() || fault.value()) {
      return IoError(path);
    }
    Change({"", path, std::make_shared<Inode>()}, path);
    found = names_.find(path);
  } else if (found == names_.end()) {
    return Missing(path);
  }
  return std::unique_ptr<File>(std::make_unique<MemoryFile>(*this, found->second, path));
}

void MemoryFileSystem::Change(NameChange change, const std::string& path) {
  Apply(change, names_);
  directories_[DirectoryOf(path)].unsynced.push_back(std::move(change));
}

Status MemoryFileSystem::Rename(const std::string& from, const std::string& to) {
  std::lock_guard lock(mutex_);
  Result<std::optional<MemoryFault>> fault = Count(from);
  if (!fault.ok()) {
    return fault.status();
  }
  bool crash = fault.value() == MemoryFault::kCrash;
  if (fault.value() && !crash) {
    return IoError(from);
  }
  auto found = names_.find(from);
  if (found == names_.end()) {
    return Missing(from);
  }
  Change({from, to, found->second}, to);
  return crash ? IoError(from) : Status::Ok();
}

Status MemoryFileSystem::Remove(const std::string& path) {
  std::lock_guard lock(mutex_);
  Result<std::optional<MemoryFault>> fault = Count(path);
  if (!fault.ok()) {
    return fault.status();
  }
  bool crash = fault.value() == MemoryFault::kCrash;
  if (fault.value() && !crash) {
    return IoError(path);
  }
  if (!names_.contains(path)) {
    return Missing(path);
  }
  Change({path, "", nullptr}, path);
  return crash ? IoError(path) : Status::Ok();
}

Status MemoryFileSystem::SyncDirectory(const std::string& directory) {
  std::lock_guard lock(mutex_);
  Result<std::optional<MemoryFault>> fault = Count(directory);
  if (!fault.ok()) {
    return fault.status();
  }
  if (fault.value()) {
    return IoError(directory);
  }
  if (lose_syncs_) {
    return Status::Ok();
  }
  for (const NameChange& change : directories_[directory].unsynced) {
    Apply(change, durable_names_);
  }
  directories_[directory].unsynced.clear();
  return Status::Ok();
}

Result<std::vector<std::string>> MemoryFileSystem::List(const std::string& directory) {
  std::lock_guard lock(mutex_);
  if (crashed_) {
    return IoError(directory);
  }
  std::vector<std::string> names;
  for (const auto& [path, inode] : names_) {
    if (DirectoryOf(path) == directory) {
      names.push_back(path.substr(directory.size() + 1));
    }
  }
  return names;
}

Status MemoryFileSystem::MakeDirectory(const std::string& directory) {
  std::lock_guard lock(mutex_);
  if (crashed_) {
    return IoError(directory);
  }
  Directory& made = directories_[directory];
  if (made.number == 0) {
    made.number = next_number_++;
  }
  return Status::Ok();
}

Result<std::unique_ptr<FileLock>> MemoryFileSystem::Lock(const std::string& path) {
  std::lock_guard lock(mutex_);
  if (crashed_) {
    return IoError(path);
  }
  if (!locks_.insert(path).second) {
    return Status::Error(kErrInUse, "\"" + path + "\" is locked");
  }
  return std::unique_ptr<FileLock>(std::make_unique<MemoryLock>(*this, path));
}

Result<uint64_t> MemoryFileSystem::DirectoryNumber(const std::string& directory) {
  std::lock_guard lock(mutex_);
  auto found = directories_.find(directory);
  if (crashed_ || found == directories_.end()) {
    return IoError(directory);
  }
  return found->second.number;
}

uint64_t MemoryFileSystem::operations() const {
  std::lock_guard lock(mutex_);
  return operations_;
}

void MemoryFileSystem::FailAt(uint64_t operation, MemoryFault fault) {
  std::lock_guard lock(mutex_);
  fail_at_ = operation;
  fault_ = fault;
}

void MemoryFileSystem::LoseSyncs(bool lose) {
  std::lock_guard lock(mutex_);
  lose_syncs_ = lose;
}

void MemoryFileSystem::PowerCycle(Random& random, MemoryLoss loss) {
  std::lock_guard lock(mutex_);
  ++generation_;
  crashed_ = false;
  lose_syncs_ = false;
  fail_at_ = 0;
  locks_.clear();
  if (loss == MemoryLoss::kNone) {
    return;
  }
  for (auto& [path, directory] : directories_) {
    uint64_t keep = loss == MemoryLoss::kAll ? 0 : random.Between(0, directory.unsynced.size());
    for (uint64_t i = 0; i < keep; ++i) {
      Apply(directory.unsynced[i], durable_names_);
    }
    directory.unsynced.clear();
  }
  names_.clear();
  std::map<Inode*, std::shared_ptr<Inode>> survivors;
  for (auto& [path, inode] : durable_names_) {
    std::shared_ptr<Inode>& survivor = survivors[inode.get()];
    if (!survivor) {
      survivor = std::make_shared<Inode>();
      survivor->durable = inode->durable;
      for (const Write& write : inode->unsynced) {
        for (uint64_t at = write.offset; at < write.offset + write.data.size();) {
          uint64_t sector_end =
              std::min((at / kSectorBytes + 1) * kSectorBytes, write.offset + write.data.size());
          if (loss == MemoryLoss::kRandom && random.Chance(1, 2)) {
            Apply({at, write.data.substr(at - write.offset, sector_end - at)}, survivor->durable);
          }
          at = sector_end;
        }
      }
      survivor->content = survivor->durable;
    }
    inode = survivor;
    names_[path] = survivor;
  }
}

std::string MemoryFileSystem::Content(const std::string& path) {
  std::lock_guard lock(mutex_);
  auto found = names_.find(path);
  PGQUORUM_CHECK(found != names_.end());
  return found->second->content;
}

void MemoryFileSystem::Overwrite(const std::string& path, uint64_t offset, std::string_view data) {
  std::lock_guard lock(mutex_);
  auto found = names_.find(path);
  PGQUORUM_CHECK(found != names_.end());
  Write write{offset, std::string(data)};
  Apply(write, found->second->content);
  Apply(write, found->second->durable);
}

void MemoryFileSystem::FlipBit(const std::string& path, uint64_t bit) {
  char byte = Content(path).at(bit / 8);
  byte = static_cast<char>(byte ^ (1 << (bit % 8)));
  Overwrite(path, bit / 8, {&byte, 1});
}

void MemoryFileSystem::RenumberDirectory(const std::string& directory) {
  std::lock_guard lock(mutex_);
  directories_[directory].number = next_number_++;
}

}  // namespace pgquorum
