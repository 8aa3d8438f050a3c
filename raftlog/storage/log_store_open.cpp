// LogStore: from the recovered image to a log that can go on, and reading back.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/storage/errors.h"
#include "raftlog/bug.h"
#include "raftlog/codec.h"
#include "raftlog/storage/errors.h"
#include "raftlog/storage/log_store.h"

#include "base/pure.h"

namespace pgquorum::raft {
namespace {

// One read never takes more than this from a segment at once beyond its first record.
constexpr uint64_t kReadChunkBytes = uint64_t{4} << 20;

Status Unreadable(Index index) {
  return Status::Error(kErrDamaged, "entry " + std::to_string(index.value()) +
                                        " of the Raft log cannot be read back");
}

}  // namespace

Status LogStore::Recover() {
  FileSystem& fs = directory_.fs();
  const DirectoryIdentity& identity = directory_.identity();
  Result<LogImage> image = RecoverLog(fs, directory_.path(), identity.cluster_id, identity.node);
  if (!image.ok()) {
    return image.status();
  }
  Result<std::unique_ptr<SegmentPool>> pool =
      SegmentPool::Open(fs, directory_.path(), options_.segment_bytes, options_.spare_segments);
  if (!pool.ok()) {
    return pool.status();
  }
  pool_ = std::move(pool).value();
  Status resolved = ResolveSnapshot(image.value());
  if (!resolved.ok()) {
    return resolved;
  }
  std::vector<uint64_t> unused = image.value().unused;
  Status adopted = AdoptImage(std::move(image).value());
  if (!adopted.ok()) {
    return adopted;
  }
  // Only now: until the refill is on record these files are the evidence for it. They are removed
  // and not recycled, because their records would verify again under the same number.
  for (uint64_t sequence : unused) {
    Status removed = fs.Remove(JoinPath(directory_.path(), SegmentName(sequence)));
    if (!removed.ok()) {
      return removed;
    }
  }
  return Status::Ok();
}

// Ties the marker to its file, and the log to the snapshot: without a gap between them, and not
// ending before it.
Status LogStore::ResolveSnapshot(LogImage& image) {
  LogIndex& index = image.index;
  SnapshotMeta meta;
  if (image.snapshot) {
    Result<SnapshotMeta> found = snapshots_.Verify(image.snapshot, image.snapshot_term);
    if (found.ok()) {
      meta = std::move(found).value();
    } else if (found.status().sqlstate() != kErrDamaged &&
               found.status().sqlstate() != kErrFileMissing) {
      return found.status();
    } else if (index.first() != Index(1)) {
      image.damage += (image.damage.empty() ? "" : "; ") + found.status().message();
    }
  }
  bool gap = index.first() > meta.index + 1;
  if (gap && image.damage.empty()) {
    image.damage = "the log starts at entry " + std::to_string(index.first().value()) +
                   ", after what the snapshot covers";
  }
  // What is left in front of the damage may end in entries that had been replaced since: a log that
  // has another entry than the snapshot at its index shares nothing with it that could be trusted.
  bool other = !gap && meta.index >= index.first() && meta.index <= index.last() &&
               index.TermAt(meta.index) != meta.term;
  if (other && image.damage.empty()) {
    image.damage = "the log has another entry than its snapshot";
  }
  if (gap || other || index.last() < meta.index) {
    PGQUORUM_CHECK(!image.damage.empty() || index.last() < meta.index);
    if (image.damage.empty()) {
      image.damage = "the log ends before its snapshot";
    }
    if (std::pair(index.last_term(), index.last()) >
        std::pair(image.refill.term, image.refill.index)) {
      image.refill = {index.last_term(), index.last()};
    }
    index.segments().clear();
    index.Reset(meta.index, meta.term);
    image.needs_segment = true;
    if (!image.hard_state.vote) {
      image.hard_state.vote = directory_.identity().node;
    }
  }
  marker_ = meta;
  return Status::Ok();
}

Status LogStore::AdoptImage(LogImage image) {
  index_ = std::move(image.index);
  hard_state_ = image.hard_state;
  refill_ = image.refill;
  image_damage_ = std::move(image.damage);
  torn_bytes_ = image.torn_bytes;
  last_sequence_ = image.last_sequence;
  needs_segment_ = image.needs_segment || index_.segments().empty();
  end_ = index_.last();
  end_term_ = index_.last_term();
  if (!end_term_ && end_ == marker_.index) {
    end_term_ = marker_.term;
  }
  if (!needs_segment_) {
    const LogSegment& newest = index_.segments().back();
    file_ = newest.file;
    capacity_ = newest.capacity;
    written_ = newest.end;
    durable_ = written_;
    seed_ = SeedOf(newest);
  }
  recovered_.hard_state = hard_state_;
  if (!index_.segments().empty()) {
    Status kept = WriteTailAgain(index_.segments().back(), image.synced);
    if (kept.ok()) {
      kept = directory_.NoteLogCreated();
    }
    if (!kept.ok()) {
      return Fail(std::move(kept));
    }
  }
  if (!image_damage_.empty()) {
    // From here on the directory itself says what is missing, also after another crash.
    std::size_t head = RecordBytes(kBatchPayloadBytes);
    Status status = StartSegment(head);
    if (status.ok()) {
      status = Flush();
    }
    if (!status.ok()) {
      return Fail(std::move(status));
    }
  }
  return BuildRecovered();
}

uint32_t LogStore::SeedOf(const LogSegment& segment) const {
  const DirectoryIdentity& identity = directory_.identity();
  return SegmentSeed(identity.cluster_id, identity.node, segment.sequence);
}

// What was read back and is not known to have been synced may be in the page cache only. Its writer
// was killed before the sync: then a sync now is enough. Or the writer ended because its sync had
// failed: then the kernel takes these pages for clean, and only what is written anew reaches the
// disk. The bytes are the same ones, so that what the disk has of them already stays whole.
Status LogStore::WriteTailAgain(const LogSegment& newest, uint64_t synced) {
  if (PGQUORUM_RAFT_BUG(kTrustPageCache)) {
    return newest.file->Sync();
  }
  std::string tail(newest.end - synced, '\0');
  Result<std::size_t> got = newest.file->Read(synced, tail.data(), tail.size());
  if (!got.ok()) {
    return got.status();
  }
  const DirectoryIdentity& identity = directory_.identity();
  uint64_t at = 0;
  bool same = got.value() == tail.size();
  if (same && synced == 0) {
    same = DecodeSegmentHeader(tail, identity.cluster_id, identity.node, newest.sequence).ok();
    at = kSegmentHeaderBytes;
  }
  while (same && at < tail.size()) {
    std::optional<Record> record = ParseRecord(std::string_view(tail).substr(at), SeedOf(newest));
    same = record.has_value();
    at += same ? record->bytes : 0;
  }
  if (!same) {
    return Status::Error(kErrIo, "segment " + SegmentName(newest.sequence) +
                                     " of the Raft log reads differently each time");
  }
  Status status = newest.file->Write(synced, tail);
  return status.ok() ? newest.file->Sync() : status;
}

Status LogStore::BuildRecovered() {
  recovered_.snapshot = marker_;
  recovered_.applied = marker_.index;
  recovered_.first = index_.first();
  recovered_.last = index_.last();
  recovered_.term_starts = index_.term_starts();
  recovered_.refill_term = refill_.term;
  recovered_.refill_index = refill_.index;
  recovered_.config_entries.clear();
  for (Index index : index_.config_indexes()) {
    if (index <= marker_.index) {
      continue;
    }
    Result<std::vector<Entry>> entry = Read(index, index, 0);
    if (!entry.ok()) {
      return entry.status();
    }
    recovered_.config_entries.push_back(std::move(entry.value().front()));
  }
  return Status::Ok();
}

Result<std::vector<Entry>> LogStore::Read(Index first, Index last, uint64_t max_bytes) {
  std::vector<Entry> entries;
  uint64_t taken = 0;
  std::string chunk;
  while (first <= last) {
    std::shared_ptr<File> file;
    std::vector<uint64_t> offsets;
    uint64_t stop = 0;
    uint32_t seed = 0;
    {
      std::lock_guard lock(mutex_);
      const LogSegment* segment = index_.SegmentOf(first);
      if (segment == nullptr) {
        return Unreadable(first);
      }
      uint64_t slot = first - segment->first;
      uint64_t budget = std::min(max_bytes - std::min(max_bytes, taken), kReadChunkBytes);
      uint64_t begin = segment->offsets[slot];
      for (; slot < segment->offsets.size() && segment->first + slot <= last; ++slot) {
        if (!offsets.empty() && segment->offsets[slot] - begin > budget) {
          break;
        }
        offsets.push_back(segment->offsets[slot]);
      }
      stop = slot < segment->offsets.size() ? segment->offsets[slot] : segment->end;
      file = segment->file;
      seed = SeedOf(*segment);
    }
    chunk.resize(stop - offsets.front());
    Result<std::size_t> got = file->Read(offsets.front(), chunk.data(), chunk.size());
    if (!got.ok()) {
      return got.status();
    }
    std::string_view bytes = std::string_view(chunk).substr(0, got.value());
    for (uint64_t offset : offsets) {
      std::string_view at =
          bytes.substr(std::min<uint64_t>(offset - offsets.front(), bytes.size()));
      std::optional<Record> record = ParseRecord(at, seed);
      if (!record || record->header.type != RecordType::kEntry || record->header.index != first) {
        return Unreadable(first);
      }
      Entry entry{record->header.term, first, record->header.entry_type,
                  std::string(record->payload)};
      taken += SizeOf(entry);
      entries.push_back(std::move(entry));
      ++first;
      if (taken > max_bytes) {
        return entries;
      }
    }
  }
  return entries;
}

}  // namespace pgquorum::raft
