// From what a dead instance left on the storage to pages that hold every change that was durable.
//
//   1. make sure of the redo: everything that can be read of the dead thread becomes durable
//   2. torn pages get their image back from the double-write area
//   3. first pass over the redo: which segments were removed where, the largest transaction number
//   4. second pass: each change whose page is at psn_before is repeated; a page beyond it has it
//      already; a page before it has lost something, which is damage
//   5. the pages are written; the caller opens a new thread (Storage::Open), which makes the dead
//      one garbage
// A crash at any point leaves a state from which the same is done again. Nothing is undone here:
// what a transaction did that never committed stays invisible (tx/).
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "base/storage/file.h"
#include "cachefusion/storage/format.h"

namespace pgquorum::fusion {

struct RecoveryOptions {
  std::size_t redo_file_bytes = kDefaultRedoFileBytes;
  std::size_t max_pages_in_memory = 8192;
};

struct RecoveryReport {
  ControlState control;  // for Storage::Open: a new incarnation, numbers that nobody has used
  bool clean = false;    // the last stop was in good order
  uint64_t records = 0;
  uint64_t applied = 0;  // changes of pages
  uint64_t skipped = 0;  // the page had them
  uint64_t redo_bytes = 0;
  int torn_pages = 0;  // repaired
};

// Makes the files of a new storage. Refuses a directory that already holds one.
Status CreateStorage(FileSystem& fs, const std::string& directory, const StorageIdentity& identity,
                     InstanceId instance);
// kErrFileMissing when the directory holds no storage.
Result<StorageIdentity> ReadIdentity(FileSystem& fs, const std::string& directory);
// Durable; the storage_id stays.
Status WriteIdentity(FileSystem& fs, const std::string& directory, const StorageIdentity& identity);

// The caller has made sure that no process of an earlier life can still write.
Result<RecoveryReport> Recover(FileSystem& fs, const std::string& directory, InstanceId instance,
                               const RecoveryOptions& options);

}  // namespace pgquorum::fusion

#include "base/pure.h"
