#include "cachefusion/storage/recovery.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/storage/errors.h"
#include "cachefusion/page/page_change.h"
#include "cachefusion/storage/double_write.h"
#include "cachefusion/storage/redo_log.h"
#include "cachefusion/storage/segment_store.h"
#include "cachefusion/storage/storage.h"

#include "base/pure.h"

namespace pgquorum::fusion {
namespace {

// The pages that the second pass works on, in private memory: no cache, no gate, no grants.
class Replay {
 public:
  Replay(FileSystem& fs, const std::string& directory, InstanceId instance,
         const RecoveryOptions& options)
      : segments_(fs, directory),
        double_write_(fs, JoinPath(directory, DoubleWriteName(instance))),
        max_pages_(options.max_pages_in_memory) {}

  SegmentStore& segments() { return segments_; }
  Result<int> RepairTornPages() { return double_write_.Repair(segments_); }

  // True: the change was applied; false: the page had it.
  Result<bool> Apply(const RedoPage& change, const RedoRecord& record) {
    Result<char*> page = Page(change.id);
    if (!page.ok()) {
      return page.status();
    }
    PageHeader& header = HeaderOf(page.value());
    if (header.psn > change.psn_before.value()) {
      return false;
    }
    if (header.psn < change.psn_before.value()) {
      return Status::Error(kErrDamaged, "redo of a page begins after what its file holds")
          .WithDetail("Segment " + std::to_string(change.id.segment) + ", block " +
                      std::to_string(change.id.block) + ": version " + std::to_string(header.psn) +
                      " in the file, " + std::to_string(change.psn_before.value()) +
                      " in the redo.");
    }
    Status applied = ApplyDelta(page.value(), change.delta);
    if (!applied.ok()) {
      return applied;
    }
    header.version = kPageFormatVersion;
    header.segment = change.id.segment;
    header.block = change.id.block;
    header.psn += 1;
    header.redo_incarnation = record.incarnation.value();
    header.redo_address = record.address.value();
    dirty_[change.id] = page.value();
    return true;
  }

  Status WriteAll() {
    std::vector<PageImage> batch;
    for (auto it = dirty_.begin(); it != dirty_.end();) {
      batch.push_back({it->first, it->second});
      ++it;
      if (batch.size() == kDoubleWritePages || it == dirty_.end()) {
        Status written = double_write_.WriteBatch(segments_, batch);
        if (!written.ok()) {
          return written;
        }
        batch.clear();
      }
    }
    dirty_.clear();
    return Status::Ok();
  }

 private:
  Result<char*> Page(PageId id) {
    auto found = pages_.find(id);
    if (found != pages_.end()) {
      return found->second.get();
    }
    if (pages_.size() >= max_pages_) {
      Status written = WriteAll();
      if (!written.ok()) {
        return written;
      }
      pages_.clear();
    }
    auto page = std::make_unique<char[]>(kPageBytes);
    Result<PageCheck> check = segments_.Read(id, page.get());
    if (!check.ok()) {
      return check.status();
    }
    if (check.value() == PageCheck::kDamaged) {
      return Status::Error(kErrDamaged, "page " + std::to_string(id.block) + " of segment " +
                                            std::to_string(id.segment) + " does not verify");
    }
    return (pages_[id] = std::move(page)).get();
  }

  SegmentStore segments_;
  DoubleWrite double_write_;
  std::size_t max_pages_;
  std::unordered_map<PageId, std::unique_ptr<char[]>> pages_;
  std::map<PageId, char*> dirty_;  // in the order of the files
};

using Removals = std::map<uint64_t, RedoAddress>;  // segment -> its last removal

// First pass.
Status Survey(RedoReader& reader, RecoveryReport& report, Removals& removals) {
  RedoAddress begin = reader.position();
  for (;;) {
    Result<std::optional<RedoRecord>> next = reader.Next();
    if (!next.ok()) {
      return next.status();
    }
    if (!next.value()) {
      report.redo_bytes = reader.position() - begin;
      return Status::Ok();
    }
    const RedoRecord& record = *next.value();
    ++report.records;
    // The number is the low part of a transaction's word (tx/word.h).
    uint64_t number = record.transaction & ((uint64_t{1} << 56) - 1);
    report.control.next_transaction = std::max(report.control.next_transaction, number + 1);
    if (record.type == RedoType::kRemoveSegment) {
      removals[record.segment] = record.address;
    }
  }
}

// Second pass.
Status Repeat(RedoReader& reader, Replay& replay, const Removals& removals,
              RecoveryReport& report) {
  for (;;) {
    Result<std::optional<RedoRecord>> next = reader.Next();
    if (!next.ok()) {
      return next.status();
    }
    if (!next.value()) {
      return Status::Ok();
    }
    const RedoRecord& record = *next.value();
    for (std::size_t i = 0; i < record.pages; ++i) {
      auto removed = removals.find(record.page[i].id.segment);
      if (removed != removals.end() && record.address < removed->second) {
        continue;
      }
      Result<bool> applied = replay.Apply(record.page[i], record);
      if (!applied.ok()) {
        return applied.status();
      }
      ++(applied.value() ? report.applied : report.skipped);
    }
  }
}

// A segment that was removed and made again has files that began empty after its removal. Its files
// may still be the old ones only if the crash came between the record and the removal; then nothing
// was made again yet.
Status FinishRemovals(RedoReader reader, SegmentStore& segments, Removals removals) {
  for (;;) {
    Result<std::optional<RedoRecord>> next = reader.Next();
    if (!next.ok()) {
      return next.status();
    }
    if (!next.value()) {
      break;
    }
    for (std::size_t i = 0; i < next.value()->pages; ++i) {
      auto removed = removals.find(next.value()->page[i].id.segment);
      if (removed != removals.end() && next.value()->address > removed->second) {
        removals.erase(removed);
      }
    }
  }
  for (const auto& [segment, address] : removals) {
    Status status = segments.Remove(segment);
    if (!status.ok()) {
      return status;
    }
  }
  return Status::Ok();
}

// Numbers of incarnations are never used twice, not even those of starts that came to nothing.
Result<Incarnation> NextIncarnation(FileSystem& fs, const std::string& directory,
                                    Incarnation last) {
  Result<std::vector<std::string>> names = fs.List(directory);
  if (!names.ok()) {
    return names.status();
  }
  for (const std::string& name : names.value()) {
    std::optional<RedoFileId> id = ParseRedoFileName(name);
    if (id) {
      last = std::max(last, id->incarnation);
    }
  }
  return last + 1;
}

Status ReplayThread(FileSystem& fs, const std::string& directory, InstanceId instance,
                    const RecoveryOptions& options, RecoveryReport& report) {
  const ControlState& control = report.control;
  auto reader = [&] {
    return RedoReader(fs, directory, control.storage_id, control.incarnation, control.checkpoint,
                      options.redo_file_bytes);
  };
  Status status = reader().SyncFiles();
  Replay replay(fs, directory, instance, options);
  if (status.ok()) {
    Result<int> torn = replay.RepairTornPages();
    status = torn.status();
    report.torn_pages = torn.ok() ? torn.value() : 0;
  }
  Removals removals;
  if (status.ok()) {
    RedoReader first = reader();
    status = Survey(first, report, removals);
  }
  if (status.ok()) {
    status = FinishRemovals(reader(), replay.segments(), removals);
  }
  if (status.ok()) {
    RedoReader second = reader();
    status = Repeat(second, replay, removals, report);
  }
  return status.ok() ? replay.WriteAll() : status;
}

}  // namespace

Result<StorageIdentity> ReadIdentity(FileSystem& fs, const std::string& directory) {
  Result<std::string> bytes = ReadWhole(fs, JoinPath(directory, kRegistryName), 65 * kSectorBytes);
  if (!bytes.ok()) {
    return bytes.status();
  }
  return DecodeIdentity(std::string_view(bytes.value()).substr(0, kSectorBytes));
}

Status WriteIdentity(FileSystem& fs, const std::string& directory,
                     const StorageIdentity& identity) {
  return WriteAtomically(fs, directory, std::string(kRegistryName), EncodeIdentity(identity));
}

Status CreateStorage(FileSystem& fs, const std::string& directory, const StorageIdentity& identity,
                     InstanceId instance) {
  Result<StorageIdentity> there = ReadIdentity(fs, directory);
  if (there.ok() || there.status().sqlstate() != kErrFileMissing) {
    return Status::Error(kErrForeignStorage, "\"" + directory + "\" already holds a storage");
  }
  std::string control_path = JoinPath(directory, ControlName(instance));
  Status status = CreateZeroFilled(fs, control_path, 2 * kControlSlotBytes);
  if (status.ok()) {
    status = DoubleWrite::Create(fs, directory, instance);
  }
  if (status.ok()) {
    ControlState control;
    control.sequence = 1;
    control.storage_id = identity.storage_id;
    control.clean = true;
    status = WriteControlSlot(fs, directory, instance, control);
  }
  // The registry last: a storage exists when it says so.
  return status.ok() ? WriteIdentity(fs, directory, identity) : status;
}

Result<RecoveryReport> Recover(FileSystem& fs, const std::string& directory, InstanceId instance,
                               const RecoveryOptions& options) {
  Result<StorageIdentity> identity = ReadIdentity(fs, directory);
  if (!identity.ok()) {
    return identity.status();
  }
  Result<ControlState> control = ReadControl(fs, directory, instance);
  if (!control.ok()) {
    return control.status();
  }
  if (control.value().storage_id != identity.value().storage_id) {
    return Status::Error(kErrForeignStorage,
                         "the control file in \"" + directory + "\" is of another storage");
  }
  RecoveryReport report;
  report.control = control.value();
  report.clean = report.control.clean;
  if (!report.clean) {
    Status replayed = ReplayThread(fs, directory, instance, options, report);
    if (!replayed.ok()) {
      return replayed;
    }
  }
  Result<Incarnation> next = NextIncarnation(fs, directory, report.control.incarnation);
  if (!next.ok()) {
    return next.status();
  }
  report.control.incarnation = next.value();
  report.control.clean = false;
  return report;
}

}  // namespace pgquorum::fusion
