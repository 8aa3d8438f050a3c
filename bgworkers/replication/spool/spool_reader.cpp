#include "bgworkers/replication/spool/spool_reader.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/storage/errors.h"
#include "bgworkers/replication/core/errors.h"

#include "base/pure.h"

namespace pgquorum::replication {
namespace {

constexpr std::size_t kReadAheadBytes = std::size_t{256} << 10;

}  // namespace

SpoolReader::SpoolReader(FileSystem& fs, std::string directory, const SpoolIdentity& identity,
                         Origin origin, uint64_t next)
    : fs_(fs), directory_(std::move(directory)), identity_(identity), origin_(origin), next_(next) {
  PGQUORUM_CHECK(next > 0);
}

void SpoolReader::Seek(uint64_t next) {
  PGQUORUM_CHECK(next > 0);
  next_ = next;
  file_.reset();
}

Status SpoolReader::Damaged() const {
  return Status::Error(kErrDamaged, "spool segment " + SpoolSegmentName(segment_) +
                                        " is damaged at offset " + std::to_string(offset_));
}

// Opens the segment that holds next_.
Status SpoolReader::Locate() {
  Result<std::vector<std::string>> names = fs_.List(directory_);
  if (!names.ok()) {
    return names.status();
  }
  SpoolSegment found;
  uint64_t limit = 0;
  for (const std::string& name : names.value()) {
    std::optional<SpoolSegment> segment = ParseSpoolSegmentName(name);
    if (!segment || segment->origin != origin_) {
      continue;
    }
    if (segment->first <= next_) {
      found = std::max(found, *segment);
    } else if (limit == 0 || segment->first < limit) {
      limit = segment->first;
    }
  }
  if (found.first == 0) {
    return Status::Error(kErrSequenceGap, "the spool no longer holds transaction " +
                                              std::to_string(next_) + " of origin " +
                                              origin_.ToString());
  }
  if (file_ && found == segment_) {
    return Damaged();  // nothing else holds it
  }
  Result<std::unique_ptr<File>> file =
      fs_.Open(JoinPath(directory_, SpoolSegmentName(found)), OpenMode::kRead);
  if (!file.ok()) {
    return file.status();
  }
  file_ = std::move(file).value();
  segment_ = found;
  limit_ = limit;
  seed_ = SpoolSeed(identity_, segment_);
  offset_ = 0;
  Status loaded = Load(kSpoolHeaderBytes);
  Status valid = loaded.ok() ? CheckSpoolHeader(rest(), identity_, segment_) : loaded;
  if (!valid.ok()) {
    file_.reset();
    return valid;
  }
  Skip(kSpoolHeaderBytes);
  return Status::Ok();
}

// Reads the file anew from offset_ on, `bytes` and some more.
Status SpoolReader::Load(std::size_t bytes) {
  at_ = 0;
  buffer_.resize(std::max(bytes, kReadAheadBytes));
  Result<std::size_t> got = file_->Read(offset_, buffer_.data(), buffer_.size());
  if (!got.ok()) {
    buffer_.clear();
    return got.status();
  }
  buffer_.resize(got.value());
  return Status::Ok();
}

void SpoolReader::Skip(std::size_t bytes) {
  offset_ += bytes;
  at_ = std::min(at_ + bytes, buffer_.size());
}

// Whether there is a record at offset_, of which all that is needed lies in the buffer: the payload
// of a transaction that comes before next_ is not looked at.
Result<bool> SpoolReader::ParseHere(SpoolRecord& record) {
  std::optional<LogRecordHeader> header = ParseLogRecordHeader(rest(), seed_, kMaxSpooledBytes);
  if (!header) {
    return false;
  }
  std::size_t whole = LogRecordBytes(header->length);
  if (header->first < next_) {
    record.sequence = header->first;
    record.bytes = whole;
    return true;
  }
  if (rest().size() < whole) {
    Status loaded = Load(whole);
    if (!loaded.ok()) {
      return loaded;
    }
  }
  std::optional<SpoolRecord> parsed = ParseSpoolRecord(rest(), seed_);
  if (parsed) {
    record = *parsed;
  }
  return parsed.has_value();
}

// The record at offset_. The buffer may have been read before the record was written, and a newer
// segment may have begun since the file was opened.
Result<SpoolRecord> SpoolReader::NextRecord() {
  SpoolRecord record;
  for (bool fresh = false;;) {
    if (!file_ || (limit_ != 0 && next_ >= limit_)) {
      Status located = Locate();
      if (!located.ok()) {
        return located;
      }
    }
    Result<bool> parsed = ParseHere(record);
    if (!parsed.ok()) {
      return parsed.status();
    }
    if (parsed.value()) {
      return record;
    }
    Status retry = fresh ? Locate() : Load(kReadAheadBytes);
    if (!retry.ok()) {
      return retry;
    }
    fresh = !fresh;
  }
}

Result<std::vector<SpooledTransaction>> SpoolReader::Read(uint64_t durable, std::size_t max_bytes) {
  std::vector<SpooledTransaction> read;
  std::size_t bytes = 0;
  uint64_t start = next_;
  while (next_ <= durable) {
    Result<SpoolRecord> record = NextRecord();
    if (!record.ok() && !read.empty()) {
      break;  // what comes next is told when it is asked for
    }
    if (!record.ok()) {
      Seek(start);
      return record.status();
    }
    const SpoolRecord& found = record.value();
    if (found.sequence > next_) {
      Status damaged = Damaged();
      Seek(start);
      return damaged;
    }
    if (found.sequence == next_ && found.kind == SpoolRecordKind::kTransaction) {
      if (!read.empty() && bytes + found.payload.size() > max_bytes) {
        break;
      }
      bytes += found.payload.size();
      read.push_back({found.sequence, found.hlc, std::string(found.payload)});
      ++next_;
    }
    Skip(found.bytes);
  }
  return read;
}

}  // namespace pgquorum::replication
