#include "raftlog/storage/snapshot_store.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "raftlog/codec.h"
#include "raftlog/storage/errors.h"

#include "base/pure.h"

namespace pgquorum::raft {
namespace {

// The trailer: encoded meta, then this fixed end.
//   u32 length of the meta, u32 format version, u64 cluster id, u64 magic, u32 checksum
constexpr std::size_t kTrailerEndBytes = 28;
constexpr std::size_t kMaxMetaBytes = 64 * 1024;
constexpr std::size_t kCopyBytes = std::size_t{1} << 20;
constexpr std::string_view kPrefix = "snapshot-";
constexpr std::string_view kPartialSnapshot = ".partial";
constexpr std::string_view kIncomingSuffix = ".incoming.partial";

Status Damaged(const std::string& what) {
  return Status::Error(kErrDamaged, "snapshot of the Raft log is damaged: " + what);
}

}  // namespace

std::string SnapshotStore::Name(Index index, Term term) {
  std::array<char, 64> name;
  std::snprintf(name.data(), name.size(), "snapshot-%016llx-%016llx",
                static_cast<unsigned long long>(index.value()),
                static_cast<unsigned long long>(term.value()));
  return name.data();
}

std::string SnapshotStore::PathOf(const SnapshotMeta& meta) const {
  return JoinPath(directory_, Name(meta.index, meta.term));
}

Result<std::unique_ptr<SnapshotStore>> SnapshotStore::Open(FileSystem& fs, std::string directory,
                                                           uint64_t cluster_id) {
  Result<std::vector<std::string>> names = fs.List(directory);
  if (!names.ok()) {
    return names.status();
  }
  for (const std::string& name : names.value()) {
    if (name.starts_with(kPrefix) && name.ends_with(kPartialSnapshot)) {
      Status removed = fs.Remove(JoinPath(directory, name));
      if (!removed.ok()) {
        return removed;
      }
    }
  }
  return std::unique_ptr<SnapshotStore>(new SnapshotStore(fs, std::move(directory), cluster_id));
}

void SnapshotStore::Describe(std::string_view data, SnapshotMeta& meta) {
  meta.size = data.size();
  meta.checksum = Crc32c(data);
}

std::string SnapshotStore::EncodeTrailer(const SnapshotMeta& meta) const {
  ByteWriter out;
  EncodeSnapshotMeta(meta, out);
  auto meta_bytes = static_cast<uint32_t>(out.size());
  out.U32(meta_bytes);
  out.U32(kSnapshotFormatVersion);
  out.U64(cluster_id_);
  out.U64(kSnapshotMagic);
  out.U32(Crc32c(out.data()));
  return std::move(out).Take();
}

Result<SnapshotMeta> SnapshotStore::ReadTrailer(File& file) {
  Result<uint64_t> size = file.Size();
  if (!size.ok()) {
    return size.status();
  }
  std::size_t tail = std::min<uint64_t>(size.value(), kMaxMetaBytes + kTrailerEndBytes);
  std::string bytes(tail, '\0');
  Result<std::size_t> got = file.Read(size.value() - tail, bytes.data(), tail);
  if (!got.ok()) {
    return got.status();
  }
  if (got.value() != tail || tail < kTrailerEndBytes) {
    return Damaged("too short");
  }
  std::string_view view(bytes);
  ByteReader end(view.substr(tail - kTrailerEndBytes));
  uint32_t meta_bytes = end.U32();
  uint32_t version = end.U32();
  uint64_t cluster = end.U64();
  uint64_t magic = end.U64();
  uint32_t crc = end.U32();
  if (magic != kSnapshotMagic || meta_bytes > tail - kTrailerEndBytes) {
    return Damaged("no trailer");
  }
  std::string_view trailer = view.substr(tail - kTrailerEndBytes - meta_bytes);
  if (crc != Crc32c(trailer.substr(0, trailer.size() - sizeof(crc)))) {
    return Damaged("trailer does not verify");
  }
  if (version != kSnapshotFormatVersion) {
    return Status::Error(kErrFormat,
                         "snapshot has unknown format version " + std::to_string(version));
  }
  if (cluster != cluster_id_) {
    return Status::Error(kErrForeign, "snapshot belongs to another cluster");
  }
  ByteReader in(trailer.substr(0, meta_bytes));
  SnapshotMeta meta = DecodeSnapshotMeta(in);
  if (!in.Finished() || meta.size + meta_bytes + kTrailerEndBytes != size.value()) {
    return Damaged("trailer does not fit the file");
  }
  return meta;
}

Result<uint32_t> SnapshotStore::ChecksumOf(File& file, uint64_t size) {
  std::string buffer(std::min<uint64_t>(size, kCopyBytes), '\0');
  uint32_t crc = 0;
  for (uint64_t offset = 0; offset < size;) {
    std::size_t want = std::min<uint64_t>(buffer.size(), size - offset);
    Result<std::size_t> got = file.Read(offset, buffer.data(), want);
    if (!got.ok()) {
      return got.status();
    }
    if (got.value() != want) {
      return Damaged("shorter than its size");
    }
    crc = Crc32c({buffer.data(), want}, crc);
    offset += want;
  }
  return crc;
}

Status SnapshotStore::FinishFile(File& file, const SnapshotMeta& meta) {
  Status written = file.Write(meta.size, EncodeTrailer(meta));
  return written.ok() ? file.Sync() : written;
}

Status SnapshotStore::Save(const SnapshotMeta& meta, std::string_view data) {
  std::string path = PathOf(meta);
  std::string partial = path + std::string(kPartialSnapshot);
  {
    Result<std::unique_ptr<File>> file = fs_.Open(partial, OpenMode::kCreate);
    if (!file.ok()) {
      return file.status();
    }
    Status status = file.value()->Write(0, data);
    if (status.ok()) {
      status = FinishFile(*file.value(), meta);
    }
    if (!status.ok()) {
      return status;
    }
  }
  Status renamed = fs_.Rename(partial, path);
  return renamed.ok() ? fs_.SyncDirectory(directory_) : renamed;
}

Result<uint64_t> SnapshotStore::WritePiece(const SnapshotMeta& meta, uint64_t offset,
                                           std::string_view data) {
  std::lock_guard lock(mutex_);
  if (complete_ == meta) {
    return meta.size;  // a repeated piece
  }
  if (offset == 0) {
    Result<std::unique_ptr<File>> file =
        fs_.Open(PathOf(meta) + std::string(kIncomingSuffix), OpenMode::kCreate);
    if (!file.ok()) {
      return file.status();
    }
    std::optional<Transfer> dropped = std::exchange(incoming_, std::nullopt);
    if (dropped && PathOf(dropped->meta) != PathOf(meta)) {
      Status removed = fs_.Remove(PathOf(dropped->meta) + std::string(kIncomingSuffix));
      if (!removed.ok()) {
        return removed;
      }
    }
    incoming_ = Transfer{meta, std::move(file).value(), 0};
  }
  if (!incoming_ || incoming_->meta != meta) {
    return uint64_t{0};
  }
  if (offset != incoming_->written || data.size() > meta.size - incoming_->written) {
    return incoming_->written;
  }
  Status status = incoming_->file->Write(offset, data);
  if (!status.ok()) {
    return status;
  }
  incoming_->written += data.size();
  if (incoming_->written < meta.size) {
    return incoming_->written;
  }
  Result<uint32_t> checksum = ChecksumOf(*incoming_->file, meta.size);
  if (!checksum.ok()) {
    return checksum.status();
  }
  if (checksum.value() != meta.checksum) {
    incoming_.reset();
    return uint64_t{0};
  }
  status = FinishFile(*incoming_->file, meta);
  if (!status.ok()) {
    return status;
  }
  incoming_.reset();
  complete_ = meta;
  return meta.size;
}

Status SnapshotStore::Publish(const SnapshotMeta& meta) {
  std::lock_guard lock(mutex_);
  if (complete_ != meta) {
    Result<SnapshotMeta> there = Verify(meta.index, meta.term);
    if (there.ok() && there.value() == meta) {
      return Status::Ok();
    }
    return Damaged("nothing complete to publish");
  }
  complete_.reset();
  Status renamed = fs_.Rename(PathOf(meta) + std::string(kIncomingSuffix), PathOf(meta));
  return renamed.ok() ? fs_.SyncDirectory(directory_) : renamed;
}

Result<SnapshotMeta> SnapshotStore::Verify(Index index, Term term) {
  Result<std::unique_ptr<File>> file =
      fs_.Open(JoinPath(directory_, Name(index, term)), OpenMode::kRead);
  if (!file.ok()) {
    return file.status();
  }
  Result<SnapshotMeta> meta = ReadTrailer(*file.value());
  if (!meta.ok()) {
    return meta;
  }
  if (meta.value().index != index || meta.value().term != term) {
    return Damaged("it is of another position than its name says");
  }
  Result<uint32_t> checksum = ChecksumOf(*file.value(), meta.value().size);
  if (!checksum.ok()) {
    return checksum.status();
  }
  if (checksum.value() != meta.value().checksum) {
    return Damaged("content does not verify");
  }
  return meta;
}

Result<std::string> SnapshotStore::Load(const SnapshotMeta& meta) {
  Result<std::string> data = ReadPiece(meta, 0, meta.size);
  if (data.ok() && (data.value().size() != meta.size || Crc32c(data.value()) != meta.checksum)) {
    return Damaged("content does not verify");
  }
  return data;
}

Result<std::string> SnapshotStore::ReadPiece(const SnapshotMeta& meta, uint64_t offset,
                                             uint64_t max_bytes) {
  Result<std::unique_ptr<File>> file = fs_.Open(PathOf(meta), OpenMode::kRead);
  if (!file.ok()) {
    return file.status();
  }
  std::string data(offset < meta.size ? std::min(max_bytes, meta.size - offset) : 0, '\0');
  Result<std::size_t> got = file.value()->Read(offset, data.data(), data.size());
  if (!got.ok()) {
    return got.status();
  }
  data.resize(got.value());
  return data;
}

Status SnapshotStore::RemoveOlder(Index index) {
  Result<std::vector<std::string>> names = fs_.List(directory_);
  if (!names.ok()) {
    return names.status();
  }
  std::string keep = Name(index, Term());  // names sort like indexes
  for (const std::string& name : names.value()) {
    if (name.starts_with(kPrefix) && !name.ends_with(kPartialSnapshot) && name < keep) {
      Status removed = fs_.Remove(JoinPath(directory_, name));
      if (!removed.ok()) {
        return removed;
      }
    }
  }
  return Status::Ok();
}

}  // namespace pgquorum::raft
