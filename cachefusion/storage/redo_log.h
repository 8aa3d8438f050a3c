// The redo thread of this instance: a stream of records, appended by every process to a ring in
// shared memory and written to files by whoever needs them durable first (group commit: the others
// wait and find their work done).
//
// Position N of the stream lies in file N / payload at 512 + N % payload, where payload is the
// file's length without its header. Files behind the checkpoint are removed by it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/storage/file.h"
#include "cachefusion/storage/format.h"
#include "cachefusion/storage/latches.h"
#include "cachefusion/storage/redo_record.h"

namespace pgquorum::fusion {

// In shared memory; a new thread begins with Start().
struct RedoShared {
  std::atomic<uint64_t> insert;   // end of the records in the ring
  std::atomic<uint64_t> durable;  // everything before is
  std::atomic<uint64_t> incarnation;
  std::atomic<uint64_t> storage_id;
  // An I/O error: what is durable is not known any more. Only a recovery clears it.
  std::atomic<uint32_t> broken;
  std::atomic<uint64_t> records;
  std::atomic<uint64_t> flushes;      // syncs done
  std::atomic<uint64_t> flush_waits;  // found durable after waiting for another's sync
  std::atomic<uint64_t> ring_full;    // appends that had to write first
};

struct RedoRange {
  RedoAddress begin;
  RedoAddress end;
};

class RedoLog {
 public:
  // `ring_bytes` is at least four times kMaxRedoRecordBytes; `file_bytes` includes the header.
  RedoLog(FileSystem& fs, std::string directory, RedoShared& shared, char* ring,
          std::size_t ring_bytes, std::size_t file_bytes, Latches& latches);

  // Begins the thread of a new incarnation: its first file is durable when this returns. Only while
  // the storage is closed.
  Status Start(uint64_t storage_id, Incarnation incarnation);

  // Puts the record's bytes (EncodeRecord) at the end of the stream.
  Result<RedoRange> Append(std::string& bytes);
  // Everything before `to` is durable.
  Status Flush(RedoAddress to);
  // Removes the files that lie wholly before `checkpoint`, of this thread, and all of earlier ones.
  Status RemoveBefore(RedoAddress checkpoint);

  RedoAddress end() const { return RedoAddress(shared_.insert.load(std::memory_order_acquire)); }
  RedoAddress durable() const {
    return RedoAddress(shared_.durable.load(std::memory_order_acquire));
  }
  Incarnation incarnation() const { return Incarnation(shared_.incarnation.load()); }

 private:
  uint64_t payload() const { return file_bytes_ - kRedoFileHeaderBytes; }
  void CopyIn(uint64_t position, std::string_view bytes);
  Status WriteOut(uint64_t from, uint64_t to);
  // The file that holds `position`, made when it is missing.
  Result<File*> FileFor(uint64_t position);
  Status Broken(Status status);

  FileSystem& fs_;
  std::string directory_;
  RedoShared& shared_;
  char* ring_;
  std::size_t ring_bytes_;
  std::size_t file_bytes_;
  Latches& latches_;
  std::unique_ptr<File> file_;
  uint64_t file_number_ = 0;
  Incarnation file_incarnation_;
};

// Reads a dead thread back, record by record, up to the first that does not verify.
class RedoReader {
 public:
  RedoReader(FileSystem& fs, std::string directory, uint64_t storage_id, Incarnation incarnation,
             RedoAddress begin, std::size_t file_bytes);

  // Makes everything that is there durable: it was perhaps read from memory only, and what recovery
  // shows to others must not go away with the next loss of power.
  Status SyncFiles();
  // The next record, valid until the next call; none at the end of the thread.
  Result<std::optional<RedoRecord>> Next();
  // End of the last record returned.
  RedoAddress position() const { return RedoAddress(position_); }

 private:
  // Makes `window_` hold at least `length` bytes from the position on; false at the end of the
  // files.
  Result<bool> Fill(std::size_t length);
  Result<bool> OpenFile(uint64_t number);

  FileSystem& fs_;
  std::string directory_;
  uint64_t storage_id_;
  Incarnation incarnation_;
  uint64_t position_;
  std::size_t file_bytes_;
  std::unique_ptr<File> file_;
  uint64_t file_number_ = 0;
  std::string window_;  // bytes of the stream from window_begin_ on
  uint64_t window_begin_;
};

}  // namespace pgquorum::fusion

#include "base/pure.h"
