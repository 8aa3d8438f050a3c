#include "raftlog/storage/state_directory.h"

#include <algorithm>
#include <vector>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "raftlog/errors.h"
#include "raftlog/storage/errors.h"
#include "raftlog/storage/log_format.h"

#include "base/pure.h"

namespace pgquorum::raft {
namespace {

constexpr const char* kLockName = "lock";
constexpr const char* kIdentityName = "identity";
constexpr uint64_t kMaxIdentityBytes = 4096;

struct Stored {
  uint32_t version = 0;
  DirectoryIdentity identity;
  uint64_t directory_number = 0;
  bool log_created = false;
};

Result<Stored> Decode(std::string_view bytes, const std::string& path) {
  ByteReader in(bytes);
  Stored stored;
  uint64_t magic = in.U64();
  stored.version = in.U32();
  stored.identity.cluster_id = in.U64();
  stored.identity.node = NodeId(in.U64());
  stored.directory_number = in.U64();
  stored.log_created = in.Bool();
  std::size_t checked = bytes.size() - in.remaining();
  uint32_t crc = in.U32();
  if (!in.Finished() || magic != kIdentityMagic || crc != Crc32c(bytes.substr(0, checked))) {
    return Status::Error(kErrDamaged, "identity file in \"" + path + "\" does not verify");
  }
  if (stored.version != kIdentityFormatVersion) {
    return Status::Error(kErrFormat, "identity file in \"" + path + "\" has unknown version " +
                                         std::to_string(stored.version));
  }
  return stored;
}

}  // namespace

Result<std::unique_ptr<StateDirectory>> StateDirectory::Open(FileSystem& fs, std::string path,
                                                             const DirectoryIdentity& identity,
                                                             bool adopt_moved) {
  if (identity.cluster_id == 0 || !identity.node) {
    return Status::Error(kErrBadOption, "cluster id and node id must not be zero");
  }
  Status made = fs.MakeDirectory(path);
  if (!made.ok()) {
    return made;
  }
  Result<std::unique_ptr<FileLock>> lock = fs.Lock(JoinPath(path, kLockName));
  if (!lock.ok()) {
    return lock.status();
  }
  std::unique_ptr<StateDirectory> directory(
      new StateDirectory(fs, std::move(path), identity, std::move(lock).value()));
  Status checked = directory->Check(adopt_moved);
  if (!checked.ok()) {
    return checked;
  }
  return directory;
}

Status StateDirectory::Retire(FileSystem& fs, const std::string& path,
                              const DirectoryIdentity& identity) {
  Result<std::string> bytes = ReadWhole(fs, JoinPath(path, kIdentityName), kMaxIdentityBytes);
  if (!bytes.ok()) {
    return bytes.status().sqlstate() == kErrFileMissing ? Status::Ok() : bytes.status();
  }
  Result<std::unique_ptr<StateDirectory>> open = Open(fs, path, identity, false);
  if (!open.ok()) {
    return open.status();
  }
  Status removed = fs.Remove(JoinPath(path, kIdentityName));
  return removed.ok() ? fs.SyncDirectory(path) : removed;
}

Status StateDirectory::Check(bool adopt_moved) {
  Result<uint64_t> number = fs_.DirectoryNumber(path_);
  if (!number.ok()) {
    return number.status();
  }
  directory_number_ = number.value();
  Result<std::string> bytes = ReadWhole(fs_, JoinPath(path_, kIdentityName), kMaxIdentityBytes);
  if (!bytes.ok() && bytes.status().sqlstate() != kErrFileMissing) {
    return bytes.status();
  }
  Result<std::vector<std::string>> names = fs_.List(path_);
  if (!names.ok()) {
    return names.status();
  }
  bool has_log = std::any_of(names.value().begin(), names.value().end(),
                             [](const auto& name) { return ParseSegmentName(name).has_value(); });
  if (!bytes.ok()) {
    if (has_log) {
      return Status::Error(kErrDamaged, "\"" + path_ + "\" holds a Raft log but no identity file");
    }
    return WriteIdentity();
  }
  Result<Stored> stored = Decode(bytes.value(), path_);
  if (!stored.ok()) {
    return stored.status();
  }
  const Stored& found = stored.value();
  if (found.identity.cluster_id != identity_.cluster_id || found.identity.node != identity_.node) {
    return Status::Error(kErrForeign, "\"" + path_ + "\" belongs to another cluster or node")
        .WithDetail("It is of node " + std::to_string(found.identity.node.value()) + ".");
  }
  log_created_ = found.log_created;
  if (log_created_ && !has_log) {
    return Status::Error(kErrDamaged, "the Raft log in \"" + path_ + "\" has disappeared")
        .WithHint("Remove this node from the cluster and let it join again under a new id.");
  }
  if (found.directory_number != directory_number_) {
    if (!adopt_moved) {
      return Status::Error(kErrForeign, "\"" + path_ + "\" is a copy of this node's directory")
          .WithDetail("What the original has voted and acknowledged since is not in a copy.")
          .WithHint(
              "Move the original back. If it is gone, remove this node from the cluster and "
              "let it join again under a new id.");
    }
    return WriteIdentity();
  }
  return Status::Ok();
}

Status StateDirectory::NoteLogCreated() {
  if (log_created_) {
    return Status::Ok();
  }
  log_created_ = true;
  return WriteIdentity();
}

Status StateDirectory::WriteIdentity() {
  ByteWriter out;
  out.U64(kIdentityMagic);
  out.U32(kIdentityFormatVersion);
  out.U64(identity_.cluster_id);
  out.U64(identity_.node.value());
  out.U64(directory_number_);
  out.Bool(log_created_);
  out.U32(Crc32c(out.data()));
  return WriteAtomically(fs_, path_, kIdentityName, out.data());
}

}  // namespace pgquorum::raft
