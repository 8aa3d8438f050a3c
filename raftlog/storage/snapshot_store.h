// Snapshot files of one Raft instance: written beside the log, published by rename, believed only
// when the log holds a marker for them.
//
// The steps of a new snapshot, each durable before the next (a crash between any two leaves either
// the old state or the new one):
//   1. data into NAME.partial, trailer behind it, sync                        (Save, WritePiece)
//   2. rename to NAME, sync of the directory                                  (Save, Publish)
//   3. marker and hard state in the log, sync                                 (LogStore)
//   4. only then: older log segments and older snapshots are released         (RemoveOlder)
//
// File: the state machine's bytes, then a trailer (see FORMAT.md). Thread-safe; pieces of one
// transfer come in order from one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "base/storage/file.h"
#include "raftlog/types.h"

namespace pgquorum::raft {

inline constexpr uint64_t kSnapshotMagic = 0x31504E5352515047;  // "GPQRSNP1" in file order
inline constexpr uint32_t kSnapshotFormatVersion = 1;

class SnapshotStore {
 public:
  // `directory` exists. Removes leftovers of unfinished snapshots.
  static Result<std::unique_ptr<SnapshotStore>> Open(FileSystem& fs, std::string directory,
                                                     uint64_t cluster_id);

  // --- a snapshot of this node's own state machine ---
  // Steps 1 and 2. `meta.size` and `meta.checksum` must be those of `data` (see Describe).
  Status Save(const SnapshotMeta& meta, std::string_view data);
  // Fills in size and checksum.
  static void Describe(std::string_view data, SnapshotMeta& meta);

  // --- a snapshot received in pieces ---
  // Writes `data` at `offset` of the transfer of `meta`; offset 0 begins one and drops any other.
  // Returns where the next piece belongs: less than the piece's end when it does not continue what
  // is there (0: begin again). The piece that completes it is verified and synced (step 1); when
  // size or checksum are wrong the transfer is dropped and 0 returned.
  Result<uint64_t> WritePiece(const SnapshotMeta& meta, uint64_t offset, std::string_view data);
  // Step 2 for a complete transfer. Also true for one that is already published.
  Status Publish(const SnapshotMeta& meta);

  // --- reading ---
  // The published snapshot of that position after a full check of its bytes. kErrFileMissing,
  // kErrDamaged, kErrFormat, kErrForeign.
  Result<SnapshotMeta> Verify(Index index, Term term);
  Result<std::string> Load(const SnapshotMeta& meta);
  // At most `max_bytes` from `offset`; fewer only at the end of the data.
  Result<std::string> ReadPiece(const SnapshotMeta& meta, uint64_t offset, uint64_t max_bytes);

  // Step 4: every older snapshot goes. A newer one may be published and not marked yet: it stays.
  Status RemoveOlder(Index index);

  static std::string Name(Index index, Term term);

 private:
  struct Transfer {
    SnapshotMeta meta;
    std::unique_ptr<File> file;
    uint64_t written = 0;
  };

  SnapshotStore(FileSystem& fs, std::string directory, uint64_t cluster_id)
      : fs_(fs), directory_(std::move(directory)), cluster_id_(cluster_id) {}

  std::string PathOf(const SnapshotMeta& meta) const;
  Status FinishFile(File& file, const SnapshotMeta& meta);
  Result<uint32_t> ChecksumOf(File& file, uint64_t size);
  std::string EncodeTrailer(const SnapshotMeta& meta) const;
  Result<SnapshotMeta> ReadTrailer(File& file);

  FileSystem& fs_;
  std::string directory_;
  uint64_t cluster_id_;
  std::mutex mutex_;
  std::optional<Transfer> incoming_;
  std::optional<SnapshotMeta> complete_;  // waits for Publish
};

}  // namespace pgquorum::raft

#include "base/pure.h"
