#include "bgworkers/replication/spool/spool.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/storage/errors.h"
#include "bgworkers/replication/core/errors.h"

#include "base/pure.h"

namespace pgquorum::replication {
namespace {

constexpr std::size_t kWriteOutBytes = std::size_t{1} << 20;
// A record says in 32 bits how far back the durable part ends.
constexpr uint64_t kMaxUnsyncedBytes = uint64_t{1} << 30;

}  // namespace

Status ValidateSpoolOptions(const SpoolOptions& options) {
  constexpr uint64_t kLeast = 65'536;
  constexpr uint64_t kMost = uint64_t{1} << 30;
  if (options.segment_bytes < kLeast || options.segment_bytes > kMost) {
    return Status::Error(kErrInvalidValue, "spool segments must have between 64 kB and 1 GB");
  }
  if (options.max_bytes < 2 * options.segment_bytes ||
      options.peer_max_bytes < options.segment_bytes) {
    return Status::Error(kErrInvalidValue,
                         "the spool's bounds must be at least two segments for an origin, and one "
                         "for what a peer may hold back");
  }
  return Status::Ok();
}

Spool::Spool(FileSystem& fs, std::string directory, uint64_t group_id, Origin own,
             const SpoolOptions& options)
    : fs_(fs),
      directory_(std::move(directory)),
      group_id_(group_id),
      own_(own),
      options_(options),
      index_(own.site, options) {}

Status Spool::Fail(Status status) {
  if (fatal_.ok()) {
    fatal_ = status;
  }
  return status;
}

Result<SpoolIndex::Appended> Spool::Append(Origin origin, uint64_t sequence, Hlc hlc,
                                           std::string_view transaction) {
  if (!fatal_.ok()) {
    return fatal_;
  }
  if (transaction.size() > kMaxSpooledBytes) {
    return Status::Error(kErrLimitExceeded, "transaction is too large for the spool")
        .WithDetail("It has " + std::to_string(transaction.size()) + " bytes; the limit is " +
                    std::to_string(kMaxSpooledBytes) + ".");
  }
  SpoolIndex::Appended appended =
      index_.Append(origin, sequence, LogRecordBytes(transaction.size()));
  if (appended != SpoolIndex::Appended::kYes) {
    return appended;
  }
  auto writer = writers_.find(origin);
  bool begins = index_.Newest(origin)->first == sequence;
  if (begins && (writer == writers_.end() || writer->second.segment.first != sequence)) {
    // The segment behind it proves the old one complete.
    Status status = writer == writers_.end() ? Status::Ok() : SyncOrigin(origin, writer->second);
    if (status.ok()) {
      status = Begin({origin, sequence}, {});
    }
    if (!status.ok()) {
      return Fail(std::move(status));
    }
    writer = writers_.find(origin);
  }
  SpoolRecord record;
  record.sequence = sequence;
  record.hlc = hlc;
  record.payload = transaction;
  Status status = AppendRecord(origin, writer->second, record);
  if (!status.ok()) {
    return Fail(std::move(status));
  }
  return appended;
}

Status Spool::AppendRecord(Origin origin, Writer& writer, SpoolRecord record) {
  if (writer.end() - writer.durable > kMaxUnsyncedBytes) {
    Status synced = SyncOrigin(origin, writer);
    if (!synced.ok()) {
      return synced;
    }
  }
  record.durable_back = static_cast<uint32_t>(writer.end() - writer.durable);
  AppendSpoolRecord(record, writer.seed, writer.buffer);
  writer.last = record.sequence;
  return writer.buffer.size() < kWriteOutBytes ? Status::Ok() : WriteOut(writer);
}

Status Spool::WriteOut(Writer& writer) {
  Status status = writer.file->Write(writer.written, writer.buffer);
  writer.written += writer.buffer.size();
  bytes_written_ += writer.buffer.size();
  writer.buffer.clear();
  return status;
}

Status Spool::SyncOrigin(Origin origin, Writer& writer) {
  if (index_.Of(origin).durable >= writer.last) {
    return Status::Ok();
  }
  Status status = writer.buffer.empty() ? Status::Ok() : WriteOut(writer);
  if (status.ok()) {
    status = writer.file->Sync();
  }
  if (!status.ok()) {
    return status;
  }
  ++syncs_;
  writer.durable = writer.written;
  writer.proven = false;
  status = index_.MarkDurable(origin, writer.last);
  return status.ok() && origin == own_ ? index_.MarkApplied(origin, writer.last) : status;
}

Status Spool::Sync() {
  if (!fatal_.ok()) {
    return fatal_;
  }
  for (auto& [origin, writer] : writers_) {
    Status status = SyncOrigin(origin, writer);
    if (!status.ok()) {
      return Fail(std::move(status));
    }
  }
  return Status::Ok();
}

Status Spool::Prove() {
  if (!fatal_.ok()) {
    return fatal_;
  }
  for (auto& [origin, writer] : writers_) {
    if (writer.proven || writer.end() != writer.durable) {
      continue;
    }
    SpoolRecord proof;
    proof.kind = SpoolRecordKind::kProof;
    proof.sequence = writer.last;
    Status status = AppendRecord(origin, writer, proof);
    if (status.ok()) {
      status = WriteOut(writer);
    }
    if (!status.ok()) {
      return Fail(std::move(status));
    }
    writer.proven = true;
  }
  return Status::Ok();
}

// Makes a segment that holds `tail`, durably and atomically, also in place of one with its name.
Status Spool::Begin(const SpoolSegment& segment, const std::vector<SpooledTransaction>& tail) {
  Writer writer;
  writer.segment = segment;
  writer.seed = SpoolSeed(identity(), segment);
  writer.last = segment.first + tail.size() - 1;
  std::string bytes = EncodeSpoolHeader(identity(), segment);
  for (const SpooledTransaction& transaction : tail) {
    SpoolRecord record;
    record.sequence = transaction.sequence;
    record.hlc = transaction.hlc;
    record.payload = transaction.bytes;
    record.durable_back = static_cast<uint32_t>(bytes.size());
    AppendSpoolRecord(record, writer.seed, bytes);
  }
  std::string name = SpoolSegmentName(segment);
  Status made = WriteAtomically(fs_, directory_, name, bytes);
  if (!made.ok()) {
    return made;
  }
  Result<std::unique_ptr<File>> file = fs_.Open(JoinPath(directory_, name), OpenMode::kReadWrite);
  if (!file.ok()) {
    return file.status();
  }
  writer.file = std::move(file).value();
  writer.written = bytes.size();
  writer.durable = bytes.size();
  writer.proven = tail.empty();
  bytes_written_ += bytes.size();
  ++syncs_;
  writers_[segment.origin] = std::move(writer);
  return Status::Ok();
}

Status Spool::Trim() {
  if (!fatal_.ok()) {
    return fatal_;
  }
  bool removed = false;
  for (Origin origin : index_.origins()) {
    Result<bool> trimmed = TrimOrigin(origin);
    if (!trimmed.ok()) {
      return Fail(trimmed.status());
    }
    removed |= trimmed.value();
  }
  Status status = removed ? fs_.SyncDirectory(directory_) : Status::Ok();
  return status.ok() ? status : Fail(std::move(status));
}

Result<bool> Spool::TrimOrigin(Origin origin) {
  std::vector<Segment> segments = index_.Trimmable(origin);
  if (segments.empty()) {
    return false;
  }
  uint64_t last = segments.back().last;
  if (segments.back() == index_.Newest(origin)) {
    // An empty segment remembers how far the origin has come.
    Status begun = Begin({origin, last + 1}, {});
    if (!begun.ok()) {
      return begun;
    }
  }
  for (const Segment& segment : segments) {
    Status status = fs_.Remove(JoinPath(directory_, SpoolSegmentName({origin, segment.first})));
    if (!status.ok()) {
      return status;
    }
  }
  index_.Trimmed(origin, last);
  return true;
}

Status Spool::StartAt(Origin origin, uint64_t sequence) {
  if (!fatal_.ok()) {
    return fatal_;
  }
  PGQUORUM_CHECK(index_.Of(origin).received <= sequence);
  Result<Origins> found = ListSegments();
  if (!found.ok()) {
    return Fail(found.status());
  }
  Status status = Drop(origin, found.value()[origin]);
  if (status.ok()) {
    status = Begin({origin, sequence + 1}, {});
  }
  if (!status.ok()) {
    return Fail(std::move(status));
  }
  index_.StartAt(origin, sequence);
  return status;
}

}  // namespace pgquorum::replication
