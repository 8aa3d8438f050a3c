#include "raftlog/storage/log_store.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raftlog/errors.h"
#include "raftlog/storage/errors.h"

#include "base/pure.h"

namespace pgquorum::raft {

Status LogStoreOptions::Validate() const {
  if (segment_bytes < 65'536 || segment_bytes > (uint64_t{1} << 30) || segment_bytes % 4096 != 0) {
    return Status::Error(kErrBadOption,
                         "segment size must be a multiple of 4 kB between 64 kB and 1 GB");
  }
  if (spare_segments > 16) {
    return Status::Error(kErrBadOption, "at most 16 spare segments can be kept");
  }
  return Status::Ok();
}

LogStore::LogStore(StateDirectory& directory, SnapshotStore& snapshots,
                   const LogStoreOptions& options)
    : directory_(directory), snapshots_(snapshots), options_(options) {}

Result<std::unique_ptr<LogStore>> LogStore::Open(StateDirectory& directory,
                                                 SnapshotStore& snapshots,
                                                 const LogStoreOptions& options) {
  Status valid = options.Validate();
  if (!valid.ok()) {
    return valid;
  }
  std::unique_ptr<LogStore> store(new LogStore(directory, snapshots, options));
  Status recovered = store->Recover();
  if (!recovered.ok()) {
    return recovered;
  }
  return store;
}

Status LogStore::Fail(Status status) {
  if (fatal_.ok()) {
    fatal_ = status;
  }
  return status;
}

bool LogStore::pristine() const {
  return recovered_.hard_state == HardState{} && !recovered_.last && !recovered_.snapshot.index &&
         !recovered_.refill_term;
}

Status LogStore::WriteBootstrap(const Bootstrap& bootstrap) {
  PGQUORUM_CHECK(pristine());
  return WriteAtStart(bootstrap);
}

Status LogStore::WriteForced(const Bootstrap& forced) {
  PGQUORUM_CHECK(!pristine() && forced.entry.index == recovered_.last + 1 &&
                 forced.hard_state.term > recovered_.hard_state.term);
  return WriteAtStart(forced);
}

Status LogStore::WriteAtStart(const Bootstrap& write) {
  Persist persist;
  persist.hard_state = write.hard_state;
  persist.entries = {write.entry};
  const Persist* batch = &persist;
  Status written = Write({&batch, 1});
  if (!written.ok()) {
    return written;
  }
  recovered_.hard_state = write.hard_state;
  return BuildRecovered();
}

// ---- writing --------------------------------------------------------------------------------

void LogStore::AddHead() {
  RecordHeader header;
  header.type = RecordType::kBatch;
  header.index = end_;
  header.term = end_term_;
  header.durable_back = static_cast<uint32_t>(written_ + buffer_.size() - durable_);
  AppendRecord(header, EncodeBatchHead({hard_state_, refill_}), seed_, buffer_);
}

Status LogStore::Add(RecordType type, EntryType entry_type, Term term, Index index,
                     std::string_view payload) {
  std::size_t record = RecordBytes(payload.size());
  std::size_t head = buffer_.empty() ? RecordBytes(kBatchPayloadBytes) : 0;
  if (needs_segment_ || written_ + buffer_.size() + head + record > capacity_) {
    // What is in the buffer becomes durable first: the next segment's header says so.
    Status status = Flush();
    if (status.ok()) {
      status = StartSegment(record);
    }
    if (!status.ok()) {
      return status;
    }
  }
  if (buffer_.empty()) {
    AddHead();
  }
  RecordHeader header;
  header.type = type;
  header.entry_type = entry_type;
  header.term = term;
  header.index = index;
  uint64_t offset = written_ + buffer_.size();
  header.durable_back = static_cast<uint32_t>(offset - durable_);
  AppendRecord(header, payload, seed_, buffer_);
  pending_.push_back({type, entry_type, term, index, offset});
  if (type == RecordType::kEntry || type == RecordType::kInstall) {
    end_ = index;
    end_term_ = term;
  }
  return Status::Ok();
}

Status LogStore::AddMarker(RecordType type, const SnapshotMeta& meta) {
  Status status = Add(type, EntryType::kNoOp, meta.term, meta.index,
                      EncodeSnapshotMarker({meta.size, meta.checksum}));
  marker_ = meta;
  return status;
}

Status LogStore::Write(std::span<const Persist* const> batches) {
  if (!fatal_.ok()) {
    return fatal_;
  }
  // The term and vote that hold after all of them stand in front: remembering a vote that was never
  // given is harmless, an entry of a term that is not remembered is not.
  bool work = false;
  for (const Persist* batch : batches) {
    if (batch->hard_state) {
      work |= hard_state_.term != batch->hard_state->term ||
              hard_state_.vote != batch->hard_state->vote;
      hard_state_ = *batch->hard_state;
    }
  }
  for (const Persist* batch : batches) {
    if (batch->install_snapshot) {
      Status status = AddMarker(RecordType::kInstall, *batch->install_snapshot);
      if (!status.ok()) {
        return Fail(std::move(status));
      }
    }
    for (const Entry& entry : batch->entries) {
      PGQUORUM_CHECK(entry.index <= end_ + 1);
      Status status = Add(RecordType::kEntry, entry.type, entry.term, entry.index, entry.data);
      if (!status.ok()) {
        return Fail(std::move(status));
      }
    }
  }
  if (buffer_.empty() && work) {
    std::size_t head = RecordBytes(kBatchPayloadBytes);
    if (needs_segment_ || written_ + head > capacity_) {
      Status status = StartSegment(head);
      if (!status.ok()) {
        return Fail(std::move(status));
      }
    }
    if (buffer_.empty()) {
      AddHead();
    }
  }
  Status flushed = Flush();
  return flushed.ok() ? flushed : Fail(std::move(flushed));
}

Status LogStore::MarkSnapshot(const SnapshotMeta& meta) {
  if (!fatal_.ok()) {
    return fatal_;
  }
  PGQUORUM_CHECK(meta.index <= end_ && meta.index >= marker_.index);
  Status status = AddMarker(RecordType::kSnapshot, meta);
  if (status.ok()) {
    status = Flush();
  }
  return status.ok() ? status : Fail(std::move(status));
}

Status LogStore::Prove() {
  if (!fatal_.ok()) {
    return fatal_;
  }
  if (needs_segment_ || durable_ != written_ || durable_ == kSegmentHeaderBytes ||
      written_ + RecordBytes(kBatchPayloadBytes) > capacity_) {
    return Status::Ok();
  }
  AddHead();
  Status status = file_->Write(written_, buffer_);
  // Deliberately not part of the watermark: nothing has synced it.
  written_ += buffer_.size();
  buffer_.clear();
  return status.ok() ? status : Fail(std::move(status));
}

Status LogStore::Flush() {
  if (buffer_.empty()) {
    return Status::Ok();
  }
  Status status = file_->Write(written_, buffer_);
  if (status.ok()) {
    status = file_->Sync();
  }
  if (status.ok()) {
    // Only now there is a log that must not disappear, and nobody relies on it yet.
    status = directory_.NoteLogCreated();
  }
  if (!status.ok()) {
    return status;
  }
  written_ += buffer_.size();
  durable_ = written_;
  Publish();
  buffer_.clear();
  return status;
}

// What is durable becomes visible to readers.
void LogStore::Publish() {
  std::lock_guard lock(mutex_);
  ++stats_.writes;
  ++stats_.syncs;
  stats_.bytes_written += buffer_.size();
  for (const Pending& record : pending_) {
    if (record.type == RecordType::kInstall) {
      index_.Reset(record.index, record.term);
    } else if (record.type == RecordType::kEntry) {
      PGQUORUM_CHECK(index_.AddEntry(record.index, record.term, record.entry_type, record.offset));
    }
  }
  pending_.clear();
  index_.segments().back().end = written_;
}

SegmentHeader LogStore::HeaderFor(uint64_t sequence) const {
  SegmentHeader header;
  header.cluster_id = directory_.identity().cluster_id;
  header.node = directory_.identity().node;
  header.sequence = sequence;
  if (!index_.segments().empty()) {
    header.previous_sequence = index_.segments().back().sequence;
    header.previous_end = index_.segments().back().end;
  }
  header.hard_state = hard_state_;
  header.refill = refill_;
  header.last = end_;
  header.last_term = end_term_;
  header.snapshot = marker_.index;
  header.snapshot_term = marker_.term;
  return header;
}

// The buffer is empty. Its first content is the new segment's header, so that header and records
// become durable under one sync.
Status LogStore::StartSegment(std::size_t record_bytes) {
  PGQUORUM_CHECK(buffer_.empty());
  if (!needs_segment_ && written_ != durable_) {
    // A proof (Prove) may still be in flight; the header vouches for everything before it.
    Status synced = file_->Sync();
    if (!synced.ok()) {
      return synced;
    }
    durable_ = written_;
    std::lock_guard lock(mutex_);
    index_.segments().back().end = written_;
  }
  constexpr uint64_t kPage = 4096;
  uint64_t wanted = kSegmentHeaderBytes + RecordBytes(kBatchPayloadBytes) + record_bytes;
  wanted = (wanted + kPage - 1) / kPage * kPage;
  uint64_t sequence = last_sequence_ + 1;
  SegmentHeader header = HeaderFor(sequence);
  Result<std::unique_ptr<File>> file = pool_->Take(SegmentName(sequence), wanted);
  if (!file.ok()) {
    return file.status();
  }
  last_sequence_ = sequence;
  file_ = std::move(file).value();
  Result<uint64_t> capacity = file_->Size();
  if (!capacity.ok()) {
    return capacity.status();
  }
  capacity_ = capacity.value();
  seed_ = SegmentSeed(header.cluster_id, header.node, sequence);
  written_ = 0;
  durable_ = 0;
  needs_segment_ = false;
  buffer_ = EncodeSegmentHeader(header);
  AddHead();
  std::lock_guard lock(mutex_);
  index_.AddSegment({sequence, file_, capacity_, 0, Index(), {}});
  return Status::Ok();
}

Status LogStore::Release(Index through) {
  if (!fatal_.ok()) {
    return fatal_;
  }
  PGQUORUM_CHECK(through <= marker_.index);
  std::vector<LogSegment> released;
  {
    std::lock_guard lock(mutex_);
    released = index_.Release(through);
  }
  for (LogSegment& segment : released) {
    segment.file.reset();
    Status status = pool_->Recycle(SegmentName(segment.sequence), segment.capacity);
    if (!status.ok()) {
      return Fail(std::move(status));
    }
  }
  return Status::Ok();
}

LogStoreStats LogStore::stats() const {
  std::lock_guard lock(mutex_);
  LogStoreStats stats = stats_;
  stats.first = index_.first();
  stats.last = index_.last();
  stats.segments = index_.segments().size();
  stats.bytes = 0;
  for (const LogSegment& segment : index_.segments()) {
    stats.bytes += segment.capacity;
  }
  stats.segments_made = pool_->made();
  stats.segments_recycled = pool_->recycled();
  return stats;
}

}  // namespace pgquorum::raft
