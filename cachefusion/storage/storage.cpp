#include "cachefusion/storage/storage.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/storage/errors.h"

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

constexpr std::size_t kLine = 64;

std::size_t Lines(std::size_t bytes) {
  return (bytes + kLine - 1) / kLine * kLine;
}

std::size_t FramesOffset() {
  return Lines(sizeof(StorageShared));
}
std::size_t HeadsOffset(const StorageSizes& sizes) {
  return FramesOffset() + Lines(sizeof(Frame) * sizes.frames);
}
std::size_t RingOffset(const StorageSizes& sizes) {
  return HeadsOffset(sizes) + Lines(sizeof(uint32_t) * sizes.frames);
}
std::size_t PagesOffset(const StorageSizes& sizes) {
  // Pages begin at a multiple of their size within the region.
  std::size_t end = RingOffset(sizes) + Lines(sizes.redo_ring_bytes);
  return (end + kPageBytes - 1) / kPageBytes * kPageBytes;
}

}  // namespace

std::size_t StorageSizes::MemoryBytes() const {
  return PagesOffset(*this) + kPageBytes * frames;
}

CacheMemory Storage::Lay(const StorageSizes& sizes, void* memory, StorageShared& shared) {
  PGQUORUM_CHECK(sizes.frames >= kPartitions);
  PGQUORUM_CHECK(sizes.redo_ring_bytes >= 4 * kMaxRedoRecordBytes);
  char* base = static_cast<char*>(memory);
  CacheMemory lay;
  lay.shared = &shared.cache;
  lay.frames = reinterpret_cast<Frame*>(base + FramesOffset());
  lay.heads = reinterpret_cast<uint32_t*>(base + HeadsOffset(sizes));
  lay.pages = base + PagesOffset(sizes);
  lay.frame_count = sizes.frames;
  return lay;
}

Storage::Storage(FileSystem& fs, std::string directory, InstanceId instance,
                 const StorageSizes& sizes, void* memory, Latches& latches)
    : fs_(fs),
      directory_(std::move(directory)),
      instance_(instance),
      latches_(latches),
      shared_(*static_cast<StorageShared*>(memory)),
      segments_(fs, directory_),
      double_write_(fs, JoinPath(directory_, DoubleWriteName(instance))),
      redo_(fs, directory_, shared_.redo, static_cast<char*>(memory) + RingOffset(sizes),
            sizes.redo_ring_bytes, sizes.redo_file_bytes, latches),
      cache_(Lay(sizes, memory, shared_), segments_, double_write_, redo_, shared_.redo, latches) {}

Status Storage::Open(const ControlState& control) {
  PGQUORUM_CHECK(!broken() && shared_.cache.gate.state() == GateState::kStopped);
  shared_.storage_id.store(control.storage_id);
  shared_.control_sequence.store(control.sequence);
  shared_.next_transaction.store(control.next_transaction);
  shared_.scn.store(control.next_scn);
  Status status = redo_.Start(control.storage_id, control.incarnation);
  if (status.ok()) {
    status = WriteControl(RedoAddress(kFirstRedoAddress), control.oldest_unresolved, false);
  }
  if (status.ok()) {
    status = redo_.RemoveBefore(RedoAddress(kFirstRedoAddress));
  }
  if (status.ok()) {
    shared_.cache.gate.OpenSole(Epoch(control.incarnation.value()));
  }
  return status;
}

Status Storage::WriteControl(RedoAddress checkpoint, uint64_t oldest_unresolved, bool clean) {
  ControlState state;
  state.sequence = shared_.control_sequence.load() + 1;
  state.storage_id = shared_.storage_id.load();
  state.incarnation = redo_.incarnation();
  state.checkpoint = checkpoint;
  state.clean = clean;
  state.next_transaction = shared_.next_transaction.load();
  state.next_scn = shared_.scn.load();
  state.oldest_unresolved = oldest_unresolved;
  Status written = WriteControlSlot(fs_, directory_, instance_, state);
  if (written.ok()) {
    shared_.control_sequence.store(state.sequence);
    shared_.checkpoint.store(checkpoint.value());
    shared_.checkpoints.fetch_add(1);
  } else {
    shared_.redo.broken.store(1);
  }
  return written;
}

Status Storage::Checkpoint(uint64_t oldest_unresolved) {
  LatchHold hold(latches_, kCheckpointLatch, LatchMode::kExclusive);
  RedoAddress begin = redo_.end();
  Result<std::size_t> written = cache_.WriteOlderThan(begin, SIZE_MAX);
  if (!written.ok()) {
    return written.status();
  }
  RedoAddress checkpoint = cache_.OldestDirty(begin);
  // The control file must never name a place that the thread has not reached.
  Status status = redo_.Flush(checkpoint);
  if (status.ok()) {
    status = WriteControl(checkpoint, oldest_unresolved, false);
  }
  return status.ok() ? redo_.RemoveBefore(checkpoint) : status;
}

Result<std::size_t> Storage::WriteBehind(uint64_t max_redo_bytes, std::size_t max_pages) {
  uint64_t end = redo_.end().value();
  if (end <= max_redo_bytes) {
    return std::size_t{0};
  }
  return cache_.WriteOlderThan(RedoAddress(end - max_redo_bytes), max_pages);
}

Status Storage::Close(uint64_t oldest_unresolved) {
  shared_.cache.gate.Stop();
  LatchHold hold(latches_, kCheckpointLatch, LatchMode::kExclusive);
  RedoAddress end = redo_.end();
  Result<std::size_t> written = cache_.WriteOlderThan(RedoAddress(UINT64_MAX), SIZE_MAX);
  if (!written.ok()) {
    return written.status();
  }
  Status status = redo_.Flush(redo_.end());
  if (!status.ok()) {
    return status;
  }
  // Somebody still changed pages: then this was no good order, and the next start replays.
  bool clean = redo_.end() == end && cache_.OldestDirty(end) == end;
  return WriteControl(cache_.OldestDirty(end), oldest_unresolved, clean);
}

Status Storage::RemoveSegment(uint64_t segment) {
  RedoRecord record;
  record.type = RedoType::kRemoveSegment;
  record.segment = segment;
  std::string bytes = EncodeRecord(record);
  // No checkpoint may pass the record before the files are gone: recovery would not finish it.
  LatchHold hold(latches_, kCheckpointLatch, LatchMode::kShared);
  cache_.Forget(segment);
  Result<RedoRange> range = redo_.Append(bytes);
  if (!range.ok()) {
    return range.status();
  }
  // Before the files go: a recovery that finds pages missing must know why.
  Status status = redo_.Flush(range.value().end);
  return status.ok() ? segments_.Remove(segment) : status;
}

Status WriteControlSlot(FileSystem& fs, const std::string& directory, InstanceId instance,
                        const ControlState& state) {
  Result<std::unique_ptr<File>> file =
      fs.Open(JoinPath(directory, ControlName(instance)), OpenMode::kReadWrite);
  if (!file.ok()) {
    return file.status();
  }
  Status status = file.value()->Write(state.sequence % 2 * kControlSlotBytes, EncodeControl(state));
  return status.ok() ? file.value()->Sync() : status;
}

Result<ControlState> ReadControl(FileSystem& fs, const std::string& directory,
                                 InstanceId instance) {
  std::string path = JoinPath(directory, ControlName(instance));
  Result<std::string> bytes = ReadWhole(fs, path, 2 * kControlSlotBytes);
  if (!bytes.ok()) {
    return bytes.status();
  }
  std::string_view view = bytes.value();
  Result<ControlState> best = Status::Error(kErrDamaged, "no slot of \"" + path + "\" verifies");
  for (std::size_t at = 0; at + kSectorBytes <= view.size(); at += kControlSlotBytes) {
    Result<ControlState> slot = DecodeControl(view.substr(at, kSectorBytes));
    if (!slot.ok() && slot.status().sqlstate() == kErrUnknownFormat) {
      return slot;
    }
    if (slot.ok() && (!best.ok() || slot.value().sequence > best.value().sequence)) {
      best = slot;
    }
  }
  return best;
}

}  // namespace pgquorum::fusion
